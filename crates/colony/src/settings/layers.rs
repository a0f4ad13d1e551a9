//! The four places where a value may come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use toml::{Table, Value};

use super::table::{ALL, CONFIG_VARIABLE, Setting};
use super::unknown;

/// The file that is looked for in the current directory.
const FILE_NAME: &str = "colony.toml";

/// Values given by flags.
#[derive(Debug, Default)]
pub(crate) struct Flags(BTreeMap<&'static str, (&'static str, String)>);

impl Flags {
    /// Notes a flag, when it was given.
    pub(crate) fn set(
        &mut self,
        setting: &'static Setting,
        flag: &'static str,
        value: Option<impl ToString>,
    ) {
        if let Some(value) = value {
            self.0.insert(setting.name, (flag, value.to_string()));
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// The settings file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl Origin {
    /// Places with smaller numbers go before others.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Variable(_) => 1,
            Self::File(_) => 2,
            Self::Default => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What was set where.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    flags: Flags,
    variables: BTreeMap<&'static str, String>,
    file: BTreeMap<String, String>,
    file_path: PathBuf,
    warnings: Vec<String>,
}

impl Layers {
    /// Reads variables and file. `config` is the flag that names the file.
    pub(crate) fn read(flags: Flags, config: Option<&Path>) -> anyhow::Result<Self> {
        let mut variables = BTreeMap::new();
        for setting in ALL {
            if let Some(value) = variable(setting.variable)? {
                variables.insert(setting.name, value);
            }
        }
        let named = match config {
            Some(path) => Some(path.to_owned()),
            None => variable(CONFIG_VARIABLE)?.map(PathBuf::from),
        };
        let file_path = named.clone().unwrap_or_else(|| FILE_NAME.into());
        let file = match std::fs::read_to_string(&file_path) {
            Ok(text) => parse_file(&text)
                .with_context(|| format!("failed to use {}", file_path.display()))?,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                BTreeMap::new()
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    let name = file_path.display();
                    format!("failed to read the settings file {name}")
                });
            }
        };
        Ok(Self {
            flags,
            variables,
            file,
            file_path,
            warnings: unknown::warnings(environment_names()),
        })
    }

    /// What was set that has no effect.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value that counts, if anybody set one.
    pub(crate) fn find(&self, setting: &Setting) -> Option<(&str, Origin)> {
        if let Some((flag, value)) = self.flags.0.get(setting.name) {
            return Some((value, Origin::Flag(flag)));
        }
        if let Some(value) = self.variables.get(setting.name) {
            return Some((value, Origin::Variable(setting.variable)));
        }
        let value = self.file.get(setting.name)?;
        Some((value, Origin::File(self.file_path.clone())))
    }

    #[cfg(test)]
    pub(super) fn of(flags: Flags, variables: &[(&'static str, &str)], file: &str) -> Self {
        Self {
            flags,
            variables: variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            file: parse_file(file).unwrap(),
            file_path: FILE_NAME.into(),
            warnings: Vec::new(),
        }
    }
}

/// Names that are not UTF-8 are nobody's.
fn environment_names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// An environment variable; an empty one is as not set.
fn variable(name: &'static str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("failed to read the variable {name}: it is not UTF-8 text")
        }
    }
}

/// The settings of a file by name.
fn parse_file(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| anyhow!("{}", error.to_string().trim_end()))?;
    let mut values = BTreeMap::new();
    flatten("", &table, &mut values)?;
    for name in values.keys() {
        if !ALL.iter().any(|setting| setting.name == name) {
            let advice = unknown::advice(name, ALL.iter().map(|setting| setting.name));
            bail!("there is no setting `{name}`; {advice}");
        }
    }
    Ok(values)
}

fn flatten(
    prefix: &str,
    table: &Table,
    values: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{name}."), inner, values)?,
            value => {
                let text = value_text(value).ok_or_else(|| {
                    anyhow!("`{name}` must be a text, a number, true or false, or a list of texts")
                })?;
                values.insert(name, text);
            }
        }
    }
    Ok(())
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{ANT_TAGS, AUTH, LISTEN, LOG};
    use super::*;

    #[test]
    fn flag_beats_variable_beats_file() {
        let mut flags = Flags::default();
        flags.set(&LISTEN, "--listen", Some("flag"));
        let variables = [("listen", "variable"), ("auth", "variable")];
        let file = "listen = 'file'\nauth = false\n[ant]\ntags = ['a', 'b']\n";
        let layers = Layers::of(flags, &variables, file);
        let found = |setting| layers.find(setting);
        let from_file = Origin::File(FILE_NAME.into());
        assert_eq!(found(&LISTEN), Some(("flag", Origin::Flag("--listen"))));
        assert_eq!(
            found(&AUTH),
            Some(("variable", Origin::Variable("COLONY_AUTH")))
        );
        assert_eq!(found(&ANT_TAGS), Some(("a,b", from_file)));
        assert_eq!(found(&LOG), None);
    }

    #[test]
    fn a_file_is_refused_with_the_reason() {
        for (text, expected) in [
            ("colour = 'red'", "there is no setting `colour`"),
            ("[ant]\nsize = 1", "there is no setting `ant.size`"),
            ("listen = 1.5", "`listen` must be a text"),
            ("listen = ", "line 1"),
        ] {
            let error = parse_file(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
