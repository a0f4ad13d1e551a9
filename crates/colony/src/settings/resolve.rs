//! From what was set to what the program works with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use colony_core::method::Method;
use colony_server::runs::{AuthMode, RunsApiSettings};
use colony_store::Database;

use super::http::HttpSettings;
use super::layers::Layers;
use super::parse::{
    CAPACITY_MAX, RunAsText, optional, parse_ant_methods, parse_capacity, parse_directory,
    parse_grace, parse_listen, parse_log, parse_method, parse_path, parse_run_as, parse_switch,
    parse_url, parse_writers, words,
};
use super::reader::{Reader, Shown};
use super::table::{
    ANT_CAPACITY, ANT_ENABLED, ANT_ENVIRONMENT, ANT_METHODS, ANT_RUN_AS, ANT_TAGS, ANT_WORK_DIR,
    API_KEY, AUTH, DATA_DIR, DATABASE_WRITERS, DEFAULT_METHOD, DRAIN_GRACE, LISTEN, LOG, TOKEN,
    URL,
};
use crate::data_dir::DataDir;

/// Where toolchains are: who runs a job in a shell expects them to be found as in that shell.
const TOOLCHAINS: &str = "CARGO_HOME,RUSTUP_HOME,RUSTUP_TOOLCHAIN,GOPATH,JAVA_HOME";

/// Who asks: some defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `colony run`: everything in a directory of the project, quiet.
    Run,
    /// The server, and clients of it.
    Queen,
}

/// Every setting with its value.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: DataDir,
    pub(crate) database: Database,
    /// Connections to PostgreSQL that write.
    pub(crate) database_writers: usize,
    pub(crate) listen: SocketAddr,
    pub(crate) auth: bool,
    pub(crate) http: HttpSettings,
    pub(crate) ant: Option<AntSettings>,
    pub(crate) drain_grace: Duration,
    pub(crate) default_method: Method,
    pub(crate) runs_api: RunsApiSettings,
    pub(crate) log: String,
    pub(crate) url: Option<String>,
    pub(crate) token: Option<Secret>,
    pub(crate) api_key: Option<Secret>,
    warnings: Vec<String>,
    shown: Vec<Shown>,
}

/// The ant inside a queen.
#[derive(Debug, Clone)]
pub(crate) struct AntSettings {
    pub(crate) methods: Vec<Method>,
    pub(crate) tags: Vec<String>,
    pub(crate) capacity: u32,
    /// Names of variables that commands see.
    pub(crate) environment: Vec<String>,
    /// Where its attempts work.
    pub(crate) work_dir: PathBuf,
    /// As whom its commands run; none = as this process.
    pub(crate) run_as: Option<RunAsText>,
}

/// A text that `Debug` hides.
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    /// Reads every setting.
    pub(crate) fn resolve(layers: &Layers, profile: Profile) -> anyhow::Result<Self> {
        let mut reader = Reader::new(layers);
        let mut warnings = layers.warnings().to_vec();
        let data_dir = reader.read_or(&DATA_DIR, default_data_dir(profile), parse_path)?;
        let database = format!("sqlite:{}", data_dir.database().display());
        let database = reader.database(database, &mut warnings)?;
        let database_writers = reader.read(&DATABASE_WRITERS, parse_writers)?;
        let listen = reader.read(&LISTEN, parse_listen)?;
        let auth = reader.read(&AUTH, parse_switch)?;
        let http = reader.http()?;
        let ant = reader.ant(profile, &data_dir)?;
        let drain_grace = reader.read(&DRAIN_GRACE, parse_grace)?;
        let default_method = match profile {
            Profile::Run => Method::Shell,
            Profile::Queen => Method::Kubernetes,
        };
        let default_method =
            reader.read_or(&DEFAULT_METHOD, default_method.as_str(), parse_method)?;
        let runs_api = reader.runs_api(auth)?;
        let log = match profile {
            Profile::Run => "error",
            Profile::Queen => "info",
        };
        let log = reader.read_or(&LOG, log, parse_log)?;
        let url = reader.read(&URL, parse_url)?;
        let token = reader.read(&TOKEN, |text| Ok(optional(text)))?;
        let api_key = reader.read(&API_KEY, |text| Ok(optional(text)))?;
        Ok(Self {
            data_dir,
            database,
            database_writers,
            listen,
            auth,
            http,
            ant,
            drain_grace,
            default_method,
            runs_api,
            log,
            url,
            token: token.map(Secret),
            api_key: api_key.map(Secret),
            warnings,
            shown: reader.shown,
        })
    }

    /// Rules that only a queen has to keep.
    pub(crate) fn check_queen(&self) -> anyhow::Result<()> {
        let open = match (self.auth, self.runs_api.auth) {
            (false, _) => ("auth", "run commands on this machine"),
            (true, AuthMode::Off) => ("runs_api.auth", "give work to the workers of this queen"),
            (true, AuthMode::On) => return Ok(()),
        };
        if !self.listen.ip().is_loopback() {
            let (setting, harm) = open;
            bail!(
                "failed to use the setting `{setting}` = off: with `listen` = {} everyone on the \
                 network could {harm}; turn authentication on, or listen on 127.0.0.1",
                self.listen
            );
        }
        Ok(())
    }

    /// What the user should know about what was set.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every setting with its origin, in order.
    pub(crate) fn shown(&self) -> &[Shown] {
        &self.shown
    }
}

impl Reader<'_> {
    fn ant(&mut self, profile: Profile, data_dir: &DataDir) -> anyhow::Result<Option<AntSettings>> {
        let enabled = self.read(&ANT_ENABLED, parse_switch)?;
        let methods = self.read(&ANT_METHODS, parse_ant_methods)?;
        let tags = self.read(&ANT_TAGS, |text| {
            Ok(words(text).map(str::to_lowercase).collect())
        })?;
        let capacity = self.read_or(&ANT_CAPACITY, default_capacity(), parse_capacity)?;
        let environment = match profile {
            Profile::Run => TOOLCHAINS,
            Profile::Queen => "",
        };
        let environment = self.read_or(&ANT_ENVIRONMENT, environment, |text| {
            Ok(words(text).map(str::to_owned).collect())
        })?;
        let run_as = self.read(&ANT_RUN_AS, parse_run_as)?;
        let work_dir = match run_as {
            Some(_) => data_dir.work_beside(),
            None => data_dir.work(),
        };
        let work_dir = self.read_or(
            &ANT_WORK_DIR,
            work_dir.display().to_string(),
            parse_directory,
        )?;
        Ok(enabled.then_some(AntSettings {
            methods,
            tags,
            capacity,
            environment,
            work_dir,
            run_as,
        }))
    }
}

fn default_data_dir(profile: Profile) -> String {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let path = match profile {
        Profile::Run => Some(".colony".into()),
        Profile::Queen => set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|parent| parent.join("colony")),
    };
    path.unwrap_or_else(|| ".colony".into())
        .display()
        .to_string()
}

/// Most commands wait more than they compute; whoever runs builds sets less.
fn default_capacity() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (4 * cores).clamp(4, CAPACITY_MAX as usize).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Flags;

    fn resolve(file: &str) -> anyhow::Result<Settings> {
        Settings::resolve(&Layers::of(Flags::default(), &[], file), Profile::Queen)
    }

    #[test]
    fn defaults_make_a_private_queen_with_an_ant() {
        let settings = resolve("data_dir = '/d'").unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7777");
        assert_eq!(settings.database.to_string(), "sqlite:/d/colony.db");
        assert!(settings.auth && settings.check_queen().is_ok());
        assert!(settings.ant.is_some_and(|ant| ant.capacity >= 4));
    }

    #[test]
    fn bad_values_name_setting_origin_and_rule() {
        for (file, expected) in [
            (
                "listen = 'here'",
                "`listen` = here (file colony.toml): give ADDRESS:PORT",
            ),
            ("auth = 'perhaps'", "give on or off"),
            ("[ant]\ncapacity = 0", "`ant.capacity` = 0"),
            ("[ant]\nmethods = ['DOCKER']", "can do SHELL"),
            ("[ant]\nmethods = ['X']", "`X` is no method"),
            ("[ant]\nrun_as = '1:x'", "give the name of a user, or UID"),
            ("[ant]\nrun_as = '0'", "is root"),
            ("[ant]\nrun_as = '7:0'", "is root's"),
            ("[ant]\nrun_as = 'root'", "is root"),
            (
                "[ant]\nrun_as = '4294967295'",
                "give the name of a user, or UID",
            ),
            ("[ant]\nwork_dir = ''", "give the path of a directory"),
            ("drain_grace = '5'", "add a unit"),
            (
                "database_url = 'mysql://u:geheim@h/d'",
                "expected `sqlite:PATH`",
            ),
            ("url = 'colony.example.org'", "give a URL"),
            ("log = 'a=b=c'", "give a level"),
        ] {
            let error = resolve(file).unwrap_err().to_string();
            assert!(error.contains(expected), "{file}: {error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn without_authentication_only_loopback_is_served() {
        let open = resolve("auth = 'off'\nlisten = '0.0.0.0:1'").unwrap();
        assert!(open.check_queen().unwrap_err().to_string().contains("auth"));
        assert!(resolve("auth = 'off'").unwrap().check_queen().is_ok());
    }

    #[test]
    fn secrets_are_not_shown() {
        let file = "token = 'geheim'\ndatabase_url = 'postgres://u:geheim@h/d'";
        let settings = resolve(file).unwrap();
        assert!(!format!("{settings:?}").contains("geheim"));
        assert_eq!(settings.token.unwrap().0, "geheim");
    }
}
