//! Texts of settings as values. Each error says what may be given instead.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use colony_core::method::Method;
use colony_spec::duration::parse_duration;
use colony_store::Database;

use crate::data_dir::DataDir;

/// Methods that the ant inside a queen has executors for.
const ANT_CAN: &[Method] = &[Method::Shell];

/// Most tasks that one ant runs at once.
pub(super) const CAPACITY_MAX: u32 = 1000;

pub(super) fn parse_path(text: &str) -> Result<DataDir, String> {
    match text {
        "" => Err("give the path of a directory".to_owned()),
        path => Ok(DataDir::at(path)),
    }
}

pub(super) fn parse_directory(text: &str) -> Result<PathBuf, String> {
    parse_path(text).map(|directory| directory.path().to_owned())
}

/// A user as it was named; whether there is one is looked at when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunAsText {
    Name(String),
    Numbers { uid: u32, gid: Option<u32> },
}

pub(super) fn parse_run_as(text: &str) -> Result<Option<RunAsText>, String> {
    let rule = || "give the name of a user, or UID or UID:GID as numbers".to_owned();
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    // The largest number means "leave it as it is" to the system.
    let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
    let parsed = match (text, number(user), group.map(number)) {
        ("", ..) => return Ok(None),
        ("root", ..) | (_, Some(0), _) => {
            return Err("that is root itself; leave it away, or give another user".to_owned());
        }
        (_, _, Some(Some(0))) => {
            return Err("that group is root's; give another".to_owned());
        }
        (_, Some(uid), None) => RunAsText::Numbers { uid, gid: None },
        (_, Some(uid), Some(Some(gid))) => RunAsText::Numbers {
            uid,
            gid: Some(gid),
        },
        (name, None, None) if !name.starts_with(|first: char| first.is_ascii_digit()) => {
            RunAsText::Name(name.to_owned())
        }
        _ => return Err(rule()),
    };
    Ok(Some(parsed))
}

pub(super) fn parse_database(text: &str) -> Result<Database, String> {
    Database::parse(text).map_err(|error| format!("failed to {error}"))
}

pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.replace("localhost:", "127.0.0.1:")
        .parse()
        .map_err(|_| "give ADDRESS:PORT, such as 127.0.0.1:7777 or [::1]:7777".to_owned())
}

pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match &*text.to_lowercase() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err("give on or off".to_owned()),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let text = text.trim();
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words = choices.iter().map(|(word, _)| *word);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// A whole number within bounds.
pub(super) fn number<N>(text: &str, bounds: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + Display,
{
    let found = text.trim().parse().ok();
    found
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| format!("give a number from {} to {}", bounds.start(), bounds.end()))
}

/// The same, or nothing.
pub(super) fn number_or_none<N>(text: &str, bounds: RangeInclusive<N>) -> Result<Option<N>, String>
where
    N: FromStr + PartialOrd + Display,
{
    match text.trim() {
        "" => Ok(None),
        text => number(text, bounds).map(Some),
    }
}

pub(super) fn parse_method(text: &str) -> Result<Method, String> {
    text.to_uppercase().parse().map_err(|_| {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.as_str()).collect();
        format!(
            "`{text}` is no method; the methods are {}",
            names.join(", ")
        )
    })
}

pub(super) fn parse_ant_methods(text: &str) -> Result<Vec<Method>, String> {
    let methods: Vec<Method> = words(text).map(parse_method).collect::<Result<_, _>>()?;
    let missing = methods.iter().find(|method| !ANT_CAN.contains(method));
    if methods.is_empty() || missing.is_some() {
        let can: Vec<&str> = ANT_CAN.iter().map(|method| method.as_str()).collect();
        return Err(format!(
            "the ant inside a queen can do {}; for no ant at all set `ant.enabled` to off",
            can.join(", ")
        ));
    }
    Ok(methods)
}

pub(super) fn parse_capacity(text: &str) -> Result<u32, String> {
    number(text, 1..=CAPACITY_MAX)
}

pub(super) fn parse_writers(text: &str) -> Result<usize, String> {
    number(text, 1..=64)
}

pub(super) fn parse_log(text: &str) -> Result<String, String> {
    let rule = "give a level (error, warn, info, debug, trace, off) or module=level pairs";
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; {rule}")),
    }
}

pub(super) fn parse_url(text: &str) -> Result<Option<String>, String> {
    let good = text.is_empty() || text.starts_with("http://") || text.starts_with("https://");
    match good {
        true => Ok(optional(text.trim_end_matches('/'))),
        false => Err("give a URL such as http://127.0.0.1:7777".to_owned()),
    }
}

pub(super) fn optional(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

pub(super) fn parse_grace(text: &str) -> Result<std::time::Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}; give one such as 30s or 5m"))
}
