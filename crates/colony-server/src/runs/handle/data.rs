//! Run data (`foreman-api` 7.9 to 7.12, 9).

use axum::http::StatusCode;
use colony_api::runs::Deleted;
use colony_core::id::{RunDataId, TaskId};
use colony_core::ledger::{DataFilter, KeyPattern, TagMode};
use colony_engine::ledger::{
    Command, DataQuery, DataSort, Delete, LedgerError, Missing, Outcome, WriteData,
};
use colony_store::Text;

use super::once::perform;
use super::run::ORDERS;
use super::{Answer, Call, ok};
use crate::runs::check::{Fields, NAME, TAGS_MAX};
use crate::runs::query::Query;
use crate::runs::refusal::{Refusal, answer};
use crate::runs::render::spliced;
use crate::runs::state::RunsState;

/// An entry as it was sent.
struct Entry {
    key: String,
    value: Text,
    task: Option<(TaskId, String)>,
    tags: Vec<String>,
    metadata: Option<Text>,
}

fn entry(fields: &mut Fields) -> Entry {
    Entry {
        key: fields.required_text("key", NAME),
        value: fields.json("value"),
        task: fields.required_uuid("taskId"),
        tags: fields.texts("tags", TAGS_MAX).unwrap_or_default(),
        metadata: fields.object("metadata"),
    }
}

/// POST `/runs/{runId}/data`.
pub(super) async fn write(state: &RunsState, mut call: Call) -> Answer {
    let new = call.look(entry).await?;
    let run_id = call.run_id()?;
    let Some((task_id, task_text)) = new.task else {
        return Err(Refusal::Internal);
    };
    let new = WriteData {
        org_id: call.org_id.clone(),
        run_id,
        task_id,
        key: new.key,
        value: new.value,
        tags: new.tags,
        metadata: new.metadata,
    };
    let view = call.view;
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Data(row) => (201, spliced(&view.data(row.clone()))),
        other => unreachable!("writing data gives an entry, not {other:?}"),
    };
    let refuse = |error| match error {
        LedgerError::Missing {
            what: Missing::Task,
            ..
        } => Refusal::NotFound(format!("Task not found: {task_text}")),
        error => call.refuse(error, "Run"),
    };
    perform(state, &call, Command::WriteData(new), render, refuse).await
}

fn data_query(query: &mut Query) -> DataQuery {
    const MODES: &[(&str, TagMode)] = &[("any", TagMode::Any), ("all", TagMode::All)];
    const SORTS: &[(&str, DataSort)] = &[
        ("created_at", DataSort::Created),
        ("updated_at", DataSort::Updated),
        ("key", DataSort::Key),
    ];
    let filter = DataFilter {
        key: query.filled("key"),
        keys: query.list("keys"),
        key_prefixes: query.list("keyStartsWith"),
        pattern: query
            .filled("keyPattern")
            .map(|pattern| KeyPattern::new(&pattern)),
        tags: query.list("tags"),
        tag_prefixes: query.list("tagStartsWith"),
        tag_mode: query.word("tagMode", MODES).unwrap_or_default(),
    };
    let size = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
    DataQuery {
        filter,
        include_all: query.text("includeAll").as_deref() == Some("true"),
        limit: size(query.integer("limit", 1, 1000).unwrap_or(100)),
        offset: size(query.count("offset").unwrap_or(0)),
        sort_by: query.word("sortBy", SORTS).unwrap_or_default(),
        ascending: query.word("sortOrder", ORDERS).unwrap_or(false),
    }
}

/// GET `/runs/{runId}/data`.
pub(super) async fn query(state: &RunsState, mut call: Call) -> Answer {
    let query = data_query(&mut call.query);
    call.query.finish_data()?;
    let place = (query.limit as u64, query.offset as u64);
    let run_id = call.run_id()?;
    let page = state.ledger().query_data(&call.org_id, run_id, query).await;
    let page = page.map_err(|error| call.refuse(error, "Run"))?;
    Ok(answer(StatusCode::OK, call.view.data_page(&page, place)))
}

/// PATCH `/runs/{runId}/data/{dataId}/tags`.
pub(super) async fn change_tags(state: &RunsState, mut call: Call) -> Answer {
    let look = |fields: &mut Fields| {
        let mut texts = |name| fields.texts(name, TAGS_MAX).unwrap_or_default();
        (texts("add"), texts("remove"))
    };
    let (add, remove) = call.look(look).await?;
    let unknown = || format!("Run data not found: {}", call.part(1));
    let ids = (call.part(0).parse(), call.part(1).parse::<RunDataId>());
    let (Ok(run_id), Ok(id)) = ids else {
        return Err(Refusal::NotFound(unknown()));
    };
    let tagged = state
        .ledger()
        .tag_data(&call.org_id, (run_id, id), (add, remove))
        .await;
    let row = tagged.map_err(|error| Refusal::of(error, call.view, unknown))?;
    Ok(ok(&call.view.data(row)))
}

/// DELETE `/runs/{runId}/data`.
pub(super) async fn delete(state: &RunsState, mut call: Call) -> Answer {
    let key = call.query.filled("key");
    let id = call.query.uuid::<RunDataId>("id");
    call.query.finish()?;
    let delete = match (id, key) {
        (Some(id), _) => Delete::Entry(id),
        (None, Some(key)) => Delete::Key(key),
        (None, None) => {
            call.query.object("Must provide either key or id parameter");
            call.query.finish()?;
            return Err(Refusal::Internal);
        }
    };
    let run_id = call.run_id()?;
    let deleted = state
        .ledger()
        .delete_data(&call.org_id, run_id, delete)
        .await;
    let deleted = deleted.map_err(|error| match error {
        LedgerError::Missing {
            what: Missing::Match,
            ..
        } => Refusal::NotFound("No matching run data found".to_owned()),
        error => call.refuse(error, "Run"),
    })?;
    Ok(ok(&Deleted { deleted }))
}
