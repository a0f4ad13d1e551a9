//! Every setting and environment variable of the program, declared once.

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
    /// Its value is never shown.
    pub(crate) secret: bool,
}

macro_rules! settings {
    ($($(#[$secret:ident])? $id:ident $name:literal $variable:literal $about:literal)*) => {
        $(
            pub(crate) static $id: Setting = Setting {
                name: $name,
                variable: $variable,
                about: $about,
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
        "directory of database, objects and work"
    DATABASE_URL "database_url" "COLONY_DATABASE_URL"
        "sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    LISTEN "listen" "COLONY_LISTEN"
        "ADDRESS:PORT on which the queen listens; port 0 picks one"
    AUTH "auth" "COLONY_AUTH"
        "on or off: whether callers must show a token; off only on a loopback address"
    ANT_ENABLED "ant.enabled" "COLONY_ANT_ENABLED"
        "on or off: whether the queen has an ant inside"
    ANT_METHODS "ant.methods" "COLONY_ANT_METHODS"
        "methods of that ant, separated by commas"
    ANT_TAGS "ant.tags" "COLONY_ANT_TAGS"
        "tags of that ant, separated by commas"
    ANT_CAPACITY "ant.capacity" "COLONY_ANT_CAPACITY"
        "how many tasks that ant runs at once, from 1 to 1000"
    ANT_ENVIRONMENT "ant.environment" "COLONY_ANT_ENVIRONMENT"
        "variables of this process that commands see beside PATH, HOME, LANG and TZ"
    DRAIN_GRACE "drain_grace" "COLONY_DRAIN_GRACE"
        "how long running tasks may go on when the queen is asked to end, such as 30s"
    DEFAULT_METHOD "jobs.default_method" "COLONY_JOBS_DEFAULT_METHOD"
        "method of tasks that name neither a method nor a container"
    RUNS_DIALECT "runs_api.dialect" "COLONY_RUNS_API_DIALECT"
        "classic, current or auto: which generation of Runs API clients is served"
    RUNS_TRUST "runs_api.trust_well_formed_keys" "COLONY_RUNS_API_TRUST_WELL_FORMED_KEYS"
        "on or off: whether every well-formed fmn_ key is let in; for closed networks only"
    #[secret] RUNS_STATIC_KEY "runs_api.static_key" "COLONY_RUNS_API_STATIC_KEY"
        "a key of the Runs API beside those made by `colony key create`"
    LOG "log" "COLONY_LOG"
        "what is logged to stderr: a level, or module=level separated by commas"
    URL "url" "COLONY_URL"
        "address of the queen for client commands; else the file `address` in the data directory"
    #[secret] TOKEN "token" "COLONY_TOKEN"
        "token for client commands; else the file `admin.token` in the data directory"
    #[secret] API_KEY "api_key" "COLONY_API_KEY"
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
}
