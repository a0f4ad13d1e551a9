//! The sources of values and their order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use colony_core::time::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::reserved::is_reserved;
use crate::data::{SECRET_CHARS_MIN, TemplateData};
use crate::model::Variables;

/// A config of an organization, a user or a job.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Value,
    /// Whether the value must not show.
    pub secret: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: &dyn fmt::Debug = if self.secret { &"[****]" } else { &self.value };
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("value", value)
            .finish()
    }
}

/// Built-ins of a request that runs (rank 7).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BuiltIns {
    /// `JobID`: the id of the request.
    pub job_id: String,
    /// `JobRetry`: attempts of the job so far.
    pub job_retry: u32,
    /// `JobElapsedSecs`: seconds since this execution attempt started.
    pub job_elapsed_secs: u64,
    /// `SemVersion`: the author's version.
    pub sem_version: String,
}

/// The task that is being rendered (rank 13).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attempt {
    /// `TaskType`.
    pub task_type: String,
    /// `TaskRetry`: attempts of the task so far.
    pub task_retry: u32,
}

/// The sources of values, lowest rank first. Empty ones take no part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layers {
    /// Rank 1.
    pub organization_configs: Vec<Config>,
    /// Rank 2.
    pub user_configs: Vec<Config>,
    /// `JobType`; also a placeholder (rank 3) where no request runs.
    pub job_type: String,
    /// Rank 4.
    pub job_variables: Variables,
    /// Rank 5.
    pub job_configs: Vec<Config>,
    /// `UserID` (rank 6).
    pub user_id: Option<String>,
    /// `OrganizationID` (rank 6).
    pub organization_id: Option<String>,
    /// Rank 7; `None` where no request runs, such as at upload.
    pub built_ins: Option<BuiltIns>,
    /// Request parameters (rank 9).
    pub params: Variables,
    /// Contexts of the job execution (rank 10).
    pub contexts: Variables,
    /// Time and zone of the date built-ins (rank 11).
    pub now: Option<(Timestamp, TimeZone)>,
    /// Rank 13.
    pub attempt: Option<Attempt>,
}

impl Layers {
    /// The data of templates. A task's own `variables` (rank 12) are added when it is rendered.
    pub fn template_data(&self) -> TemplateData {
        let mut data = TemplateData::hiding(self.secrets());
        let public = self.without_secrets().merged(&Variables::new());
        for (name, value) in self.merged(&Variables::new()) {
            data.insert(&name, &value);
            if public.get(&name) != Some(&value) {
                data.mark_secret(&name, public.get(&name));
            }
        }
        if let Some((now, zone)) = &self.now {
            data.insert_dates(*now, zone);
        }
        if let Some(built_ins) = &self.built_ins
            && !self.is_overridden("JobElapsedSecs")
        {
            // Unsigned in the reference, which shows in comparisons.
            data.insert_unsigned("JobElapsedSecs", built_ins.job_elapsed_secs);
        }
        data.insert_last(self.attempt_values());
        data
    }

    /// The environment of a task's commands: strings raw, numbers decimal, lists and maps as JSON.
    pub fn environment(&self, task_variables: &Variables) -> BTreeMap<String, String> {
        let mut values = self.merged(task_variables);
        values.extend(self.attempt_values());
        values
            .into_iter()
            .map(|(name, value)| (name, value_text(&value)))
            .collect()
    }

    /// The environment of a task's commands, without what parameters and run data give to reserved
    /// names ([`is_reserved`]); and those names.
    pub fn safe_environment(
        &self,
        task_variables: &Variables,
    ) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let outside = self.params.iter().chain(self.contexts.iter());
        let reserved = outside.filter(|(name, _)| is_reserved(name));
        let reserved: BTreeSet<String> = reserved.map(|(name, _)| name.to_owned()).collect();
        if reserved.is_empty() {
            return (self.environment(task_variables), reserved);
        }
        let mut layers = self.clone();
        for values in [&mut layers.params, &mut layers.contexts] {
            let kept = values.iter().filter(|(name, _)| !is_reserved(name));
            let kept: Variables = kept
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect();
            *values = kept;
        }
        (layers.environment(task_variables), reserved)
    }

    /// The values to hide: those of all secret configs.
    pub fn secrets(&self) -> Vec<String> {
        let secrets: BTreeSet<String> = self
            .configs()
            .filter(|config| config.secret)
            .map(|config| value_text(&config.value))
            .filter(|text| text.chars().count() >= SECRET_CHARS_MIN)
            .collect();
        secrets.into_iter().collect()
    }

    /// The same without secret configs, for what is forwarded to other jobs (9.7).
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut layers = self.clone();
        layers.organization_configs.retain(|config| !config.secret);
        layers.user_configs.retain(|config| !config.secret);
        layers.job_configs.retain(|config| !config.secret);
        layers
    }

    /// The value that the ranks 1 to 10 give to a name.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.merged(&Variables::new()).remove(name)
    }

    /// Which of `required_params` have no value in configs, job variables or parameters.
    pub fn missing_params(&self, required: &[String]) -> Vec<String> {
        let has_value = |name: &str| {
            let config = self.configs().filter(|config| config.name == name);
            config
                .map(|config| &config.value)
                .chain(self.job_variables.get(name))
                .chain(self.params.get(name))
                .any(|value| !value_text(value).is_empty())
        };
        let missing = required.iter().filter(|name| !has_value(name));
        missing.cloned().collect()
    }

    fn configs(&self) -> impl Iterator<Item = &Config> {
        self.organization_configs
            .iter()
            .chain(&self.user_configs)
            .chain(&self.job_configs)
    }

    /// Ranks 1 to 10, with task variables at rank 8.
    fn merged(&self, task_variables: &Variables) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        put_configs(&mut values, &self.organization_configs);
        put_configs(&mut values, &self.user_configs);
        let placeholders = BuiltIns {
            job_id: "0".to_owned(),
            ..BuiltIns::default()
        };
        put_built_ins(&mut values, &placeholders, &self.job_type);
        values.remove("SemVersion");
        put(&mut values, &self.job_variables);
        put_configs(&mut values, &self.job_configs);
        for (name, id) in [
            ("UserID", &self.user_id),
            ("OrganizationID", &self.organization_id),
        ] {
            if let Some(id) = id {
                values.insert(name.to_owned(), Value::from(id.as_str()));
            }
        }
        if let Some(built_ins) = &self.built_ins {
            put_built_ins(&mut values, built_ins, &self.job_type);
        }
        put(&mut values, task_variables);
        put(&mut values, &self.params);
        put(&mut values, &self.contexts);
        values
    }

    fn is_overridden(&self, name: &str) -> bool {
        self.params.get(name).is_some() || self.contexts.get(name).is_some()
    }

    fn attempt_values(&self) -> BTreeMap<String, Value> {
        self.attempt
            .iter()
            .fold(BTreeMap::new(), |mut values, attempt| {
                values.insert(
                    "TaskType".to_owned(),
                    Value::from(attempt.task_type.as_str()),
                );
                values.insert("TaskRetry".to_owned(), Value::from(attempt.task_retry));
                values
            })
    }
}

fn put(values: &mut BTreeMap<String, Value>, variables: &Variables) {
    for (name, value) in variables.iter() {
        values.insert(name.to_owned(), value.clone());
    }
}

fn put_configs(values: &mut BTreeMap<String, Value>, configs: &[Config]) {
    for config in configs {
        values.insert(config.name.clone(), config.value.clone());
    }
}

fn put_built_ins(values: &mut BTreeMap<String, Value>, built_ins: &BuiltIns, job_type: &str) {
    for (name, value) in [
        ("JobID", Value::from(built_ins.job_id.as_str())),
        ("JobType", Value::from(job_type)),
        ("JobRetry", Value::from(built_ins.job_retry)),
        ("JobElapsedSecs", Value::from(built_ins.job_elapsed_secs)),
        ("SemVersion", Value::from(built_ins.sem_version.as_str())),
    ] {
        values.insert(name.to_owned(), value);
    }
}

/// A value as the environment shows it (10.3).
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
