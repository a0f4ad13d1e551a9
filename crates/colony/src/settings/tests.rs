//! Every setting reaches what it sets, whatever way it is given.

use std::collections::BTreeSet;

use colony_server::runs::{AuthMode, DataTotal, DialectSetting, ListEnvelope, TimestampsSetting};

use super::table::ALL;
use super::*;

/// A setting, a value for the file, and whether the settings hold that.
type Case = (&'static str, &'static str, fn(&Settings) -> bool);

const OWN: &[Case] = &[
    ("data_dir", "'/d'", |s| s.data_dir.path().ends_with("d")),
    ("database_url", "'sqlite:/x'", |s| {
        s.database.to_string() == "sqlite:/x"
    }),
    ("listen", "'[::1]:1'", |s| s.listen.to_string() == "[::1]:1"),
    ("auth", "false", |s| {
        !s.auth && s.runs_api.auth == AuthMode::Off
    }),
    ("http.hosts", "['A.b', 'c:1']", |s| {
        s.http.hosts == ["a.b", "c:1"]
    }),
    ("http.connections_max", "7", |s| {
        s.http.limits.connections_max == 7
    }),
    ("http.connections_per_address_max", "7", |s| {
        s.http.limits.connections_per_address_max == 7
    }),
    ("http.bodies_bytes_max", "80000000", |s| {
        s.http.limits.bodies_bytes_max == 80_000_000
    }),
    ("ant.enabled", "'off'", |s| s.ant.is_none()),
    ("ant.methods", "['shell']", |s| {
        ant(s, |ant| ant.methods.len() == 1)
    }),
    ("ant.tags", "['A', 'b']", |s| {
        ant(s, |ant| ant.tags == ["a", "b"])
    }),
    ("ant.capacity", "7", |s| ant(s, |ant| ant.capacity == 7)),
    ("ant.environment", "['A']", |s| {
        ant(s, |ant| ant.environment == ["A"])
    }),
    ("ant.run_as", "'u'", |s| {
        ant(s, |ant| {
            ant.run_as == Some(RunAsText::Name("u".to_owned()))
                // That user has to get there.
                && ant.work_dir.ends_with("colony-work")
        })
    }),
    ("ant.work_dir", "'/w'", |s| {
        ant(s, |ant| ant.work_dir.as_os_str() == "/w")
    }),
    ("database_writers", "7", |s| s.database_writers == 7),
    ("drain_grace", "'7s'", |s| s.drain_grace.as_secs() == 7),
    ("jobs.default_method", "'shell'", |s| {
        s.default_method.as_str() == "SHELL"
    }),
    ("log", "'debug'", |s| s.log == "debug"),
    ("url", "'http://h/'", |s| {
        s.url.as_deref() == Some("http://h")
    }),
    ("token", "'t'", |s| {
        s.token.as_ref().is_some_and(|x| x.0 == "t")
    }),
    ("api_key", "'k'", |s| {
        s.api_key.as_ref().is_some_and(|x| x.0 == "k")
    }),
];

const RUNS: &[Case] = &[
    ("runs_api.auth", "'off'", |s| {
        s.auth && s.runs_api.auth == AuthMode::Off
    }),
    ("runs_api.dialect", "'auto'", |s| {
        s.runs_api.dialect == DialectSetting::Auto
    }),
    ("runs_api.timestamps", "'ms'", |s| {
        s.runs_api.timestamps == Some(TimestampsSetting::Ms)
    }),
    ("runs_api.list_envelope", "'data'", |s| {
        s.runs_api.list_envelope == Some(ListEnvelope::Data)
    }),
    ("runs_api.data_total", "'page'", |s| {
        s.runs_api.data_total == Some(DataTotal::Page)
    }),
    ("runs_api.static_key", "'k'", |s| {
        s.runs_api.static_key.as_ref().is_some_and(|x| x.0 == "k")
    }),
    ("runs_api.trust_well_formed_keys", "true", |s| {
        s.runs_api.trust_well_formed_keys
    }),
    ("runs_api.default_organization", "'o'", |s| {
        s.runs_api.default_organization == "o"
    }),
    ("runs_api.rate_limit.requests", "0", |s| {
        s.runs_api.rate_limit.requests == 0
    }),
    ("runs_api.rate_limit.window_ms", "7", |s| {
        s.runs_api.rate_limit.window_ms == 7
    }),
    ("runs_api.trusted_proxies", "['::1', '10.0.0.1']", |s| {
        s.runs_api.trusted_proxies.len() == 2
    }),
    ("runs_api.cors_origins", "['https://a.b:1']", |s| {
        s.runs_api.cors_origins == ["https://a.b:1"]
    }),
    ("runs_api.environment", "'test'", |s| {
        s.runs_api.environment == "test"
    }),
    ("runs_api.redis.host", "'h'", |s| {
        s.runs_api.redis.host.as_deref() == Some("h")
    }),
    ("runs_api.redis.port", "7", |s| {
        s.runs_api.redis.port == Some(7)
    }),
    ("runs_api.redis.password", "'p'", |s| {
        s.runs_api
            .redis
            .password
            .as_ref()
            .is_some_and(|x| x.0 == "p")
    }),
    ("runs_api.redis.db", "0", |s| s.runs_api.redis.db == Some(0)),
    ("runs_api.queues.tasks", "'t'", |s| {
        s.runs_api.queues.tasks == "t"
    }),
    ("runs_api.queues.results", "'r'", |s| {
        s.runs_api.queues.results == "r"
    }),
    ("runs_api.body_timeout_ms", "7", |s| {
        s.runs_api.body_timeout_ms == 7
    }),
];

/// Tested by itself: it needs a file.
const ELSEWHERE: [&str; 1] = ["database_url_file"];

fn ant(settings: &Settings, holds: fn(&AntSettings) -> bool) -> bool {
    settings.ant.as_ref().is_some_and(holds)
}

fn resolve(variables: &[(&'static str, &str)], file: &str) -> anyhow::Result<Settings> {
    let layers = Layers::of(Flags::default(), variables, file);
    Settings::resolve(&layers, Profile::Queen)
}

fn in_file(name: &str, value: &str) -> String {
    format!("{name} = {value}\n")
}

#[test]
fn every_setting_reaches_what_it_sets() {
    let untouched = resolve(&[], "").unwrap();
    for (name, value, holds) in OWN.iter().chain(RUNS) {
        let by_file = resolve(&[], &in_file(name, value)).unwrap();
        assert!(holds(&by_file), "{name} = {value} in the file");
        // Lists are separated by commas there.
        let text = value.replace(['[', ']', '\'', ' '], "");
        let text = if *name == "listen" { "[::1]:1" } else { &text };
        let by_variable = resolve(&[(name, text)], "").unwrap();
        assert!(holds(&by_variable), "{name} = {text} in a variable");
        // There is one method that it can have.
        let is_default = holds(&untouched) && *name != "ant.methods";
        assert!(!is_default, "{name}: {value} is the default");
    }
}

#[test]
fn no_setting_is_left_out() {
    let tested = OWN.iter().chain(RUNS).map(|(name, ..)| *name);
    let tested: BTreeSet<&str> = tested.chain(ELSEWHERE).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|setting| setting.name).collect();
    assert_eq!(tested, all);
    let settings = resolve(&[], "").unwrap();
    let shown: BTreeSet<&str> = (settings.shown().iter())
        .map(|shown| shown.setting.name)
        .collect();
    assert_eq!(shown, all);
}

#[test]
fn bad_values_of_the_apis_are_refused_with_the_rule() {
    for (name, value, expected) in [
        ("runs_api.timestamps", "'iso8601'", "give one of iso, ms"),
        (
            "runs_api.environment",
            "'staging'",
            "give one of development, production, test",
        ),
        ("runs_api.rate_limit.requests", "-1", "give a number from 0"),
        ("runs_api.rate_limit.window_ms", "0", "give a number from 1"),
        (
            "runs_api.trusted_proxies",
            "['proxy']",
            "`proxy` is no address",
        ),
        ("runs_api.cors_origins", "['https://a/b']", "is no origin"),
        ("runs_api.cors_origins", "['*']", "is no origin"),
        (
            "runs_api.redis.port",
            "70000",
            "give a number from 1 to 65535",
        ),
        ("runs_api.queues.tasks", "'a:b'", "without `:`"),
        (
            "runs_api.default_organization",
            "''",
            "give 1 to 255 characters",
        ),
        ("http.bodies_bytes_max", "1", "give a number from 67108864"),
        ("http.connections_max", "0", "give a number from 1"),
        ("http.hosts", "['http://a']", "is no host"),
    ] {
        let error = resolve(&[], &in_file(name, value)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
}

#[test]
fn the_runs_api_without_keys_is_for_this_machine() {
    let file = "listen = '0.0.0.0:1'\n[runs_api]\nauth = 'off'\n";
    let error = resolve(&[], file).unwrap().check_queen().unwrap_err();
    assert!(
        error.to_string().contains("`runs_api.auth` = off"),
        "{error}"
    );
    let file = file.replace("0.0.0.0", "127.0.0.1");
    assert!(resolve(&[], &file).unwrap().check_queen().is_ok());
    // The other way round: only the Jobs API is open.
    let file = "auth = 'off'\n[runs_api]\nauth = 'on'\n";
    assert_eq!(resolve(&[], file).unwrap().runs_api.auth, AuthMode::On);
}

#[test]
fn the_nearer_one_of_url_and_file_counts() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("url");
    std::fs::write(&path, "sqlite:/from/file\n").unwrap();
    let (name, path) = ("database_url_file", path.to_str().unwrap());
    let database = |variables: &[(&'static str, &str)], file: &str| {
        resolve(variables, file).map(|settings| settings.database.to_string())
    };
    let of_file = database(&[(name, path)], "database_url = 'sqlite:/x'").unwrap();
    assert_eq!(of_file, "sqlite:/from/file");
    let in_file = in_file(name, &format!("'{path}'"));
    let nearer = database(&[("database_url", "sqlite:/x")], &in_file).unwrap();
    assert_eq!(nearer, "sqlite:/x");
    let both = database(&[("database_url", "sqlite:/x"), (name, path)], "");
    assert!(both.unwrap_err().to_string().contains("set one of them"));
    let error = database(&[(name, "/nowhere")], "").unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
}

#[test]
fn passwords_on_the_command_line_and_open_files_are_told() {
    let mut flags = Flags::default();
    let url = "postgres://u:geheim@h/d";
    flags.set(&DATABASE_URL, "--database-url", Some(url));
    let layers = Layers::of(flags, &[], "");
    let settings = Settings::resolve(&layers, Profile::Queen).unwrap();
    let said = settings.warnings().join("\n");
    assert!(said.contains("--database-url-file"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
    assert!(
        resolve(&[("database_url", url)], "")
            .unwrap()
            .warnings()
            .is_empty()
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), url).unwrap();
    let path = file.path().to_str().unwrap();
    let warnings = || {
        let settings = resolve(&[("database_url_file", path)], "").unwrap();
        settings.warnings().len()
    };
    assert_eq!(warnings(), 0);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file.path(), open).unwrap();
    assert_eq!(warnings(), 1);
}
