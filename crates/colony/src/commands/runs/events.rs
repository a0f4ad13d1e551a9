//! `colony runs events`: following a run until it ends.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use colony_api::runs_client::{Event, EventKind};

use super::super::{Common, block_on, to_json};
use super::find;
use crate::cli::RunsEventsArgs;
use crate::client::show;
use crate::exit::{Exit, Problem};
use crate::output;

pub(super) fn events(args: &RunsEventsArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    let mut seen = Seen::default();
    let mut exit = Exit::Completed;
    let see = |event: &Event| {
        let object = Object::of(event)?;
        if seen.is_news(&object) {
            match args.json {
                true => output::exact(&object.line(&event.id)?),
                false => output::data(&show::event(&event.kind)),
            }
        }
        let EventKind::Run(run) = &event.kind else {
            return Ok(true);
        };
        exit = run.status.into();
        Ok(!run.status.is_terminal())
    };
    block_on(ledger.follow(&args.id.to_string(), see))?;
    Ok(exit)
}

/// The run or task of an event, as the API gives it.
struct Object {
    kind: &'static str,
    id: String,
    json: String,
}

impl Object {
    fn of(event: &Event) -> anyhow::Result<Self> {
        let (kind, id, json) = match &event.kind {
            EventKind::Run(run) => ("run", &run.id, to_json(run)?),
            EventKind::Task(task) => ("task", &task.id, to_json(task)?),
        };
        Ok(Self {
            kind,
            id: id.clone(),
            json,
        })
    }

    /// The event as a line of JSON.
    fn line(&self, event_id: &str) -> anyhow::Result<String> {
        let (kind, id) = (to_json(&self.kind)?, to_json(&event_id)?);
        let data = &self.json;
        Ok(format!(r#"{{"event":{kind},"id":{id},"data":{data}}}"#))
    }
}

/// What was shown last of each run and task: after a break events may come twice.
#[derive(Default)]
struct Seen(HashMap<String, u64>);

impl Seen {
    fn is_news(&mut self, object: &Object) -> bool {
        let mut hasher = DefaultHasher::new();
        object.json.hash(&mut hasher);
        let hash = hasher.finish();
        self.0.insert(object.id.clone(), hash) != Some(hash)
    }
}
