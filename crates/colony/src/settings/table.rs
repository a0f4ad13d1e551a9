//! Every setting and environment variable of the program, declared once.

use colony_server::runs::RunsApiSettings;

use Fallback::{Of, Text, Words};

/// Names the settings file; the flag `--config` goes before it. Beside the variables of the
/// settings, `HOME`, `XDG_DATA_HOME`, `NO_COLOR` and `TERM` mean what they mean everywhere.
pub(crate) const CONFIG_VARIABLE: &str = "COLONY_CONFIG";

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// As in `colony.toml`, tables joined by dots.
    pub(crate) name: &'static str,
    /// The name in capitals, dots as underscores.
    pub(crate) variable: &'static str,
    /// What it does and what it may be.
    pub(crate) about: &'static str,
    /// What counts when nobody sets it.
    pub(crate) default: Fallback,
    /// Its value is never shown.
    pub(crate) secret: bool,
}

/// What counts when nobody sets a setting.
#[derive(Debug)]
pub(crate) enum Fallback {
    /// This text; nothing when it is empty.
    Text(&'static str),
    /// What the part of the program says that is set by it.
    Of(fn() -> String),
    /// What follows from other settings or the machine, in words.
    Words(&'static str),
}

impl Setting {
    /// What counts when nobody sets it, as documents say it.
    pub(crate) fn default_for_people(&self) -> String {
        let text = match self.default {
            Text(text) => text.to_owned(),
            Of(tell) => tell(),
            Words(words) => return words.to_owned(),
        };
        match &*text {
            "" => "none".to_owned(),
            text => format!("`{text}`"),
        }
    }
}

/// The defaults of the Runs API.
fn runs() -> RunsApiSettings {
    RunsApiSettings::default()
}

macro_rules! settings {
    ($($(#[$secret:ident])? $id:ident $name:literal $variable:literal ($default:expr)
        $about:literal)*) => {
        $(
            pub(crate) static $id: Setting = Setting {
                name: $name,
                variable: $variable,
                about: $about,
                default: $default,
                secret: settings!(@secret $($secret)?),
            };
        )*

        /// All settings, in the order in which they are shown.
        pub(crate) static ALL: &[&Setting] = &[$(&$id),*];
    };
    (@secret secret) => { true };
    (@secret) => { false };
}

settings! {
    DATA_DIR "data_dir" "COLONY_DATA_DIR"
        (Words("`~/.local/share/colony`; `colony run`: `./.colony`"))
        "directory of database, objects and work"
    DATABASE_URL_FILE "database_url_file" "COLONY_DATABASE_URL_FILE" (Text(""))
        "a file that holds the database URL, so that no password is in the environment or in `ps`"
    DATABASE_URL "database_url" "COLONY_DATABASE_URL"
        (Words("`colony.db` in the data directory"))
        "sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE; a password that is not in \
         it is looked for in PGPASSWORD, PGPASSFILE and ~/.pgpass"
    DATABASE_WRITERS "database_writers" "COLONY_DATABASE_WRITERS"
        (Of(|| colony_store::StoreConfig::WRITERS.to_string()))
        "how many connections to PostgreSQL write at once, from 1 to 64; SQLite has one writer"
    LISTEN "listen" "COLONY_LISTEN" (Text("127.0.0.1:7777"))
        "ADDRESS:PORT on which the queen listens; port 0 picks one"
    AUTH "auth" "COLONY_AUTH" (Text("on"))
        "on or off: whether callers must show a token; off only on a loopback address"
    HTTP_HOSTS "http.hosts" "COLONY_HTTP_HOSTS" (Text(""))
        "names, separated by commas, under which clients may reach the queen beside the address \
         that it listens on, such as colony.example.org behind a proxy"
    HTTP_CONNECTIONS "http.connections_max" "COLONY_HTTP_CONNECTIONS_MAX"
        (Text("10000"))
        "how many connections may be open at once; never more than half of the files that the queen may open"
    HTTP_PER_ADDRESS "http.connections_per_address_max" "COLONY_HTTP_CONNECTIONS_PER_ADDRESS_MAX"
        (Text("7500"))
        "how many of them one address may have; never more than three quarters of all"
    HTTP_BODIES "http.bodies_bytes_max" "COLONY_HTTP_BODIES_BYTES_MAX"
        (Text("268435456"))
        "how many bytes the bodies of running calls may take, with what they are parsed into; more are answered 503"
    ANT_ENABLED "ant.enabled" "COLONY_ANT_ENABLED" (Text("on"))
        "on or off: whether the queen has an ant inside"
    ANT_METHODS "ant.methods" "COLONY_ANT_METHODS" (Text("SHELL"))
        "methods of that ant, separated by commas"
    ANT_TAGS "ant.tags" "COLONY_ANT_TAGS" (Text(""))
        "tags of that ant, separated by commas; `*` stands for all"
    ANT_CAPACITY "ant.capacity" "COLONY_ANT_CAPACITY"
        (Words("four for each core, at least 4"))
        "how many tasks that ant runs at once, from 1 to 1000"
    ANT_ENVIRONMENT "ant.environment" "COLONY_ANT_ENVIRONMENT"
        (Words("none; `colony run`: those by which toolchains are found"))
        "variables of this process that commands see beside PATH, HOME, LANG and TZ"
    ANT_RUN_AS "ant.run_as" "COLONY_ANT_RUN_AS" (Text(""))
        "as whom tasks run when the queen is root: a user's name, or UID or UID:GID as numbers; see \
         docs/security.md"
    ANT_WORK_DIR "ant.work_dir" "COLONY_ANT_WORK_DIR"
        (Words("`work` in the data directory; with `ant.run_as` a directory beside that, with `-work` \
            behind its name"))
        "directory in which each running task has one of its own; with `ant.run_as` outside of the data directory"
    DRAIN_GRACE "drain_grace" "COLONY_DRAIN_GRACE" (Text("30s"))
        "how long running tasks may go on when the queen is asked to end, such as 30s"
    DEFAULT_METHOD "jobs.default_method" "COLONY_JOBS_DEFAULT_METHOD"
        (Words("`KUBERNETES`; `colony run`: `SHELL`"))
        "method of tasks that name neither a method nor a container"
    RUNS_AUTH "runs_api.auth" "COLONY_RUNS_API_AUTH" (Words("as `auth`"))
        "on or off: whether callers of the Runs API must show a key; off only on a loopback address"
    RUNS_DIALECT "runs_api.dialect" "COLONY_RUNS_API_DIALECT" (Text("classic"))
        "classic, current or auto: which generation of Runs API clients is served"
    RUNS_TIMESTAMPS "runs_api.timestamps" "COLONY_RUNS_API_TIMESTAMPS"
        (Words("the dialect's"))
        "iso or ms: how times are written"
    RUNS_ENVELOPE "runs_api.list_envelope" "COLONY_RUNS_API_LIST_ENVELOPE"
        (Words("the dialect's"))
        "both, items or data: which members lists have"
    RUNS_DATA_TOTAL "runs_api.data_total" "COLONY_RUNS_API_DATA_TOTAL"
        (Words("the dialect's"))
        "matching or page: what the total of a query of run data counts"
    #[secret] RUNS_STATIC_KEY "runs_api.static_key" "COLONY_RUNS_API_STATIC_KEY" (Text(""))
        "a key of the Runs API beside those made by `colony key create`; the organization is in x-org-id"
    RUNS_TRUST "runs_api.trust_well_formed_keys" "COLONY_RUNS_API_TRUST_WELL_FORMED_KEYS"
        (Text("off"))
        "on or off: whether every well-formed fmn_ key is let in; for closed networks only"
    RUNS_DEFAULT_ORG "runs_api.default_organization" "COLONY_RUNS_API_DEFAULT_ORGANIZATION"
        (Of(|| runs().default_organization))
        "organization of callers that name none: with the static key, or without authentication"
    RUNS_RATE_REQUESTS "runs_api.rate_limit.requests" "COLONY_RUNS_API_RATE_LIMIT_REQUESTS"
        (Of(|| runs().rate_limit.requests.to_string()))
        "how many calls a key, else an address, may make in a window; 0 is no limit"
    RUNS_RATE_WINDOW "runs_api.rate_limit.window_ms" "COLONY_RUNS_API_RATE_LIMIT_WINDOW_MS"
        (Of(|| runs().rate_limit.window_ms.to_string()))
        "length of that window in milliseconds"
    RUNS_PROXIES "runs_api.trusted_proxies" "COLONY_RUNS_API_TRUSTED_PROXIES" (Text(""))
        "addresses of proxies, separated by commas, whose X-Forwarded-For counts"
    RUNS_CORS "runs_api.cors_origins" "COLONY_RUNS_API_CORS_ORIGINS" (Text(""))
        "origins, separated by commas, whose pages may call from a browser, such as https://app.example.org"
    RUNS_ENVIRONMENT "runs_api.environment" "COLONY_RUNS_API_ENVIRONMENT"
        (Of(|| runs().environment))
        "development, production or test; told by /config and /health"
    RUNS_REDIS_HOST "runs_api.redis.host" "COLONY_RUNS_API_REDIS_HOST" (Text(""))
        "Redis of clients that bring their own queue, told by /config; localhost is told when none is set"
    RUNS_REDIS_PORT "runs_api.redis.port" "COLONY_RUNS_API_REDIS_PORT" (Text(""))
        "its port; 6379 is told when none is set"
    #[secret] RUNS_REDIS_PASSWORD "runs_api.redis.password" "COLONY_RUNS_API_REDIS_PASSWORD" (Text(""))
        "its password; told to every caller with a key"
    RUNS_REDIS_DB "runs_api.redis.db" "COLONY_RUNS_API_REDIS_DB" (Text(""))
        "number of its database"
    RUNS_QUEUE_TASKS "runs_api.queues.tasks" "COLONY_RUNS_API_QUEUES_TASKS"
        (Of(|| runs().queues.tasks))
        "name of the queue of tasks of such clients, told by /config"
    RUNS_QUEUE_RESULTS "runs_api.queues.results" "COLONY_RUNS_API_QUEUES_RESULTS"
        (Of(|| runs().queues.results))
        "name of their queue of results; nothing is ever in it"
    RUNS_BODY_TIMEOUT "runs_api.body_timeout_ms" "COLONY_RUNS_API_BODY_TIMEOUT_MS"
        (Of(|| runs().body_timeout_ms.to_string()))
        "how long a request of the Runs API may take to arrive, in milliseconds"
    LOG "log" "COLONY_LOG" (Words("`info`; `colony run`: `error`"))
        "what is logged to stderr: a level, or module=level separated by commas"
    URL "url" "COLONY_URL" (Words("the file `address` in the data directory"))
        "address of the queen for client commands"
    #[secret] TOKEN "token" "COLONY_TOKEN" (Words("the file `admin.token` in the data directory"))
        "token for client commands of the Jobs API"
    #[secret] API_KEY "api_key" "COLONY_API_KEY" (Text(""))
        "key for client commands of the Runs API; the flag --key-file names a file with one"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_follow_from_names() {
        for setting in ALL {
            let expected = format!("COLONY_{}", setting.name.to_uppercase().replace('.', "_"));
            assert_eq!(setting.variable, expected);
        }
    }

    #[test]
    fn names_are_declared_once() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
