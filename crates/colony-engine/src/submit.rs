//! Submitting requests (`formicary-api` 7.2, 8.5).

use std::sync::Arc;

use colony_core::id::RequestId;
use colony_core::queue_key;
use colony_core::state::JobState;
use colony_core::text::{code_point, control_in_name, control_in_text};
use colony_core::time::Timestamp;
use colony_store::definition::{self, DefinitionRow};
use colony_store::request::RequestRow;
use serde_json::{Map, Value};

use crate::ant::AntRoom;
use crate::compile::Compiled;
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::readiness::readiness;
use crate::runs::{Readiness, Submission, Submitted};

/// Longest value of a parameter, in characters (`formicary-api` 6.4).
const PARAM_CHARS_MAX: usize = 1_000_000;
/// Longest text for free searches, in characters (`formicary-api` 6.4).
const QUICK_SEARCH_CHARS_MAX: usize = 1000;

/// A wish to run a definition.
#[derive(Debug, Clone, Default)]
pub struct Submit {
    /// Name of the job, or `name:sem_version`.
    pub job_type: String,
    /// Wanted `sem_version`; empty = the newest.
    pub job_version: String,
    /// Parameters.
    pub params: Map<String, Value>,
    /// For people.
    pub description: String,
    /// For filtering.
    pub platform: String,
    /// For filtering.
    pub job_group: String,
    /// Higher first.
    pub job_priority: i64,
    /// Limit of the job in milliseconds; 0 = the definition's.
    pub timeout_ms: i64,
    /// Unique among unfinished requests.
    pub user_key: Option<String>,
    /// Request that this one belongs to.
    pub parent_id: Option<RequestId>,
    /// Not before; none = now.
    pub scheduled_at: Option<Timestamp>,
}

impl Engine {
    /// Stores a request. It runs once it is due and there is room.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for an unknown job, [`EngineError::Invalid`] for bad parameters,
    /// [`EngineError::KeyTaken`].
    pub async fn submit(&self, caller: &Caller, submit: Submit) -> Result<RequestRow, EngineError> {
        check(&submit)?;
        let row = loop {
            let compiled = self.version_of(caller, &submit).await?;
            let row = self.request_row(caller, &submit, &compiled.row);
            let due = row.scheduled_at <= row.created_at;
            let readiness = match due {
                true => readiness(self, &row, &compiled)?,
                false => Readiness::Ready,
            };
            let rooms = self.room_for(due, &readiness, &compiled);
            let submission = Submission {
                row: row.clone(),
                compiled,
                readiness,
            };
            match self.perform_with(submission, rooms).await? {
                Submitted::Stored => break row,
                Submitted::Outdated => self.definitions.forget_version(&place(caller, &submit)),
            }
        };
        Ok(row)
    }

    /// A place at an ant for the first task of a job that may run at once.
    pub(crate) fn room_for(
        &self,
        due: bool,
        readiness: &Readiness,
        compiled: &Compiled,
    ) -> Vec<AntRoom> {
        let first = compiled.plan.task(&compiled.plan.first);
        let first = first.filter(|_| due && *readiness == Readiness::Ready);
        let key = first.map(|task| queue_key::ant(task.method, &task.tags));
        key.and_then(|key| self.ants.keep_one(&key))
            .into_iter()
            .collect()
    }

    /// The definition that a submission means, from memory if it was looked up before: it is checked
    /// when the request is stored.
    async fn version_of(
        &self,
        caller: &Caller,
        submit: &Submit,
    ) -> Result<Arc<Compiled>, EngineError> {
        let place = place(caller, submit);
        if let Some(id) = self.definitions.version(&place) {
            return self.compiled(id).await;
        }
        let (engine, wanted, name) = (self.clone(), place.clone(), submit.job_type.clone());
        let compiled = self
            .store
            .read(move |tx| {
                let (org_id, job_type, version) = &wanted;
                let row = definition::find_definition_by_type(tx, org_id, job_type, version)?;
                let row = row.ok_or_else(|| EngineError::not_found("job definition", &name))?;
                engine.definitions.load(tx, row.id)
            })
            .await?;
        self.definitions.set_version(place, compiled.row.id);
        Ok(compiled)
    }

    pub(crate) fn request_row(
        &self,
        caller: &Caller,
        submit: &Submit,
        definition: &DefinitionRow,
    ) -> RequestRow {
        let now = self.now();
        let params = Value::Object(submit.params.clone());
        RequestRow {
            id: RequestId::new(self.ids.next_uuid()),
            org_id: caller.org_id.clone(),
            user_id: caller.user_text(),
            parent_id: submit.parent_id,
            schedule_key: definition.schedule_key(),
            definition_id: definition.id,
            job_type: definition.job_type.clone(),
            job_version: submit.job_version.clone(),
            job_state: JobState::Pending,
            job_priority: submit.job_priority,
            user_key: submit.user_key.clone(),
            description: submit.description.clone(),
            platform: submit.platform.clone(),
            job_group: submit.job_group.clone(),
            timeout_ms: submit.timeout_ms,
            schedule_attempts: 0,
            retried: 0,
            paused_count: 0,
            cron_triggered: false,
            hard_restart: false,
            cascade_cancel: false,
            error_code: String::new(),
            error_message: String::new(),
            current_task: String::new(),
            run_id: None,
            last_run_id: None,
            params: params.to_string(),
            quick_search: quick_search(submit, &definition.job_type),
            scheduled_at: submit.scheduled_at.map_or(now, |at| at.max(now)),
            created_at: now,
            updated_at: now,
            ended_at: None,
        }
    }
}

/// Organization, name and wanted `sem_version` of what is submitted.
fn place(caller: &Caller, submit: &Submit) -> (String, String, String) {
    let (job_type, version) = match submit.job_type.split_once(':') {
        Some((job_type, version)) => (job_type, version),
        None => (&*submit.job_type, &*submit.job_version),
    };
    (
        caller.org_id.clone(),
        job_type.to_owned(),
        version.to_owned(),
    )
}

fn check(submit: &Submit) -> Result<(), EngineError> {
    if submit.job_type.is_empty() {
        return Err(EngineError::Invalid("job_type is required".to_owned()));
    }
    for (name, value) in &submit.params {
        if value.is_null() {
            let message = format!("parameter `{name}` is null; leave it out or give it a value");
            return Err(EngineError::Invalid(message));
        }
        let chars = value
            .as_str()
            .map_or_else(|| value.to_string().len(), |text| text.chars().count());
        if chars > PARAM_CHARS_MAX {
            let message = format!(
                "parameter `{name}` has {chars} characters; the limit is {PARAM_CHARS_MAX}"
            );
            return Err(EngineError::Invalid(message));
        }
    }
    check_texts(submit)
}

fn check_texts(submit: &Submit) -> Result<(), EngineError> {
    let names = [
        ("job_type", &submit.job_type),
        ("job_version", &submit.job_version),
        ("platform", &submit.platform),
        ("job_group", &submit.job_group),
    ];
    let key = submit.user_key.as_ref().map(|key| ("user_key", key));
    let params = submit
        .params
        .keys()
        .map(|name| ("a parameter's name", name));
    let names = names.into_iter().chain(key).chain(params);
    let described = control_in_text(&submit.description).map(|letter| ("description", letter));
    let found = names
        .filter_map(|(what, text)| Some((what, control_in_name(text)?)))
        .chain(described)
        .next();
    match found {
        None => Ok(()),
        Some((what, letter)) => Err(EngineError::Invalid(format!(
            "{what} holds the control character {}; remove it",
            code_point(letter)
        ))),
    }
}

/// `description platform job_type error_code error_message;` and `name=value` of the parameters
/// (`formicary-api` 6.4).
fn quick_search(submit: &Submit, job_type: &str) -> String {
    let mut text = format!("{} {} {job_type}  ;", submit.description, submit.platform);
    for (name, value) in &submit.params {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name}={value}"));
        if text.len() > QUICK_SEARCH_CHARS_MAX * 4 {
            break;
        }
    }
    text.chars()
        .filter(|c| *c != '\0')
        .take(QUICK_SEARCH_CHARS_MAX)
        .collect()
}
