//! The data of one rendering.

use std::collections::BTreeMap;
use std::fmt;

use colony_core::time::Timestamp;
use colony_template::Value as TemplateValue;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::data::SECRET_CHARS_MIN;

/// The data of one rendering, with what must not show in its errors.
#[derive(Clone, Default)]
pub struct TemplateData {
    values: BTreeMap<String, TemplateValue>,
    /// Values that nothing overrides (rank 13).
    last: BTreeMap<String, Value>,
    secrets: Vec<String>,
    /// Names whose value comes from a secret config, with what they are without it.
    secret_names: BTreeMap<String, Option<TemplateValue>>,
}

impl fmt::Debug for TemplateData {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl TemplateData {
    /// No values yet, but what to mask.
    pub(super) fn hiding(secrets: Vec<String>) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    /// Notes that a value comes from a secret config, and what the name means without it.
    pub(super) fn mark_secret(&mut self, name: &str, public: Option<&Value>) {
        let public = public.map(task_value);
        self.secret_names.insert(name.to_owned(), public);
    }

    /// The same without the values of secret configs.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut data = self.clone();
        for (name, public) in &self.secret_names {
            match public {
                Some(value) => data.values.insert(name.clone(), value.clone()),
                None => data.values.remove(name),
            };
        }
        data.secret_names.clear();
        data
    }

    /// Sets a value. Lists and maps become compact JSON text, as tasks see them (5.4).
    pub fn insert(&mut self, name: &str, value: &Value) {
        self.put(name, task_value(value));
    }

    /// Sets an unsigned number, which differs from a signed one when it is compared.
    pub(super) fn insert_unsigned(&mut self, name: &str, number: u64) {
        self.put(name, TemplateValue::Uint(number));
    }

    /// Sets the values that nothing overrides.
    pub(super) fn insert_last(&mut self, values: BTreeMap<String, Value>) {
        self.last = values;
    }

    fn put(&mut self, name: &str, value: TemplateValue) {
        self.secret_names.remove(name);
        self.values.insert(name.to_owned(), value);
    }

    /// Sets a value that keeps its structure, for upload and for the data of triggers.
    pub fn insert_structured(&mut self, name: &str, value: &Value) {
        self.put(name, TemplateValue::from(value));
    }

    /// Whether there is a value of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.last.contains_key(name)
    }

    /// The text with every secret value masked.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.secrets {
            for part in std::iter::once(secret.as_str()).chain(secret.lines()) {
                if part.chars().count() >= SECRET_CHARS_MIN {
                    masked = masked.replace(part, "[****]");
                }
            }
        }
        masked
    }

    pub(super) fn insert_dates(&mut self, now: Timestamp, zone: &TimeZone) {
        let Ok(instant) = jiff::Timestamp::from_millisecond(now.as_millis()) else {
            return;
        };
        let local = instant.to_zoned(zone.clone());
        for (name, value) in [
            ("UnescapeHTML", Value::from(true)),
            ("DateYear", Value::from(local.year())),
            ("DateMonth", Value::from(month_name(local.month()))),
            ("DateDay", Value::from(local.day())),
            ("YearDay", Value::from(local.day_of_year())),
            ("FullDate", Value::from(local.date().to_string())),
            ("EpochSecs", Value::from(instant.as_second())),
        ] {
            self.insert(name, &value);
        }
    }

    /// The map that the engine reads.
    pub(crate) fn to_value(&self) -> TemplateValue {
        let last = self.last.iter();
        let last = last.map(|(name, value)| (name.as_str(), TemplateValue::from(value)));
        let values = self.values.iter();
        let values = values.map(|(name, value)| (name.as_str(), value.clone()));
        TemplateValue::Map(values.chain(last).collect())
    }
}

/// A value as tasks see it: lists and maps are compact JSON text.
fn task_value(value: &Value) -> TemplateValue {
    match value {
        Value::Array(_) | Value::Object(_) => TemplateValue::from(value.to_string()),
        scalar => TemplateValue::from(scalar),
    }
}

fn month_name(month: i8) -> &'static str {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let index = usize::try_from(month - 1).unwrap_or_default();
    NAMES.get(index).copied().unwrap_or("")
}
