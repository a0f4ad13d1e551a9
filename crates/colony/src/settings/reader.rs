//! Reads settings one by one and notes what each is and where it came from.

use anyhow::anyhow;
use colony_store::Database;

use super::layers::{Layers, Origin};
use super::table::{DATABASE_URL, Fallback, Setting};

/// A setting as `colony config` shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) setting: &'static Setting,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Reads from the layers.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) shown: Vec<Shown>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            shown: Vec::new(),
        }
    }

    /// A setting whose default the table knows.
    pub(super) fn read<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let default = match setting.default {
            Fallback::Text(text) => text.to_owned(),
            Fallback::Of(tell) => tell(),
            Fallback::Words(_) => String::new(),
        };
        self.read_or(setting, default, parse)
    }

    /// A setting whose default follows from others.
    pub(super) fn read_or<T>(
        &mut self,
        setting: &'static Setting,
        default: impl Into<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let (text, origin) = match self.layers.find(setting) {
            Some((text, origin)) => (text.to_owned(), origin),
            None => (default.into(), Origin::Default),
        };
        self.take(setting, &text, origin, parse)
    }

    /// A setting whose text was found.
    pub(super) fn take<T>(
        &mut self,
        setting: &'static Setting,
        text: &str,
        origin: Origin,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let value = parse(text).map_err(|rule| {
            let (name, value) = (setting.name, shown_value(setting, text));
            anyhow!("failed to use the setting `{name}` = {value} ({origin}): {rule}")
        })?;
        self.shown.push(Shown {
            setting,
            value: shown_value(setting, text),
            origin,
        });
        Ok(value)
    }
}

fn shown_value(setting: &Setting, text: &str) -> String {
    if setting.secret && !text.is_empty() {
        return "***".to_owned();
    }
    if std::ptr::eq(setting, &DATABASE_URL) {
        // Its password is not for everybody.
        return Database::parse(text).map_or_else(|_| "***".to_owned(), |url| url.to_string());
    }
    text.to_owned()
}
