//! Runs (`foreman-api` 7.1 to 7.4).

use colony_api::runs::Pagination;
use colony_core::id::RunId;
use colony_core::state::RunStatus;
use colony_engine::ledger::{Command, CreateRun, LedgerList, Outcome, RunChange, SortBy};

use super::once::perform;
use super::{Answer, Call, ok};
use crate::runs::check::Fields;
use crate::runs::query::Query;
use crate::runs::render::spliced;
use crate::runs::state::RunsState;

/// POST `/runs`.
pub(super) async fn create(state: &RunsState, mut call: Call) -> Answer {
    let org_id = call.org_id.clone();
    let look = |fields: &mut Fields| CreateRun {
        org_id,
        input: fields.json("inputData"),
        metadata: fields.object("metadata"),
    };
    let new = call.look(look).await?;
    let view = call.view;
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Run(row) => (201, spliced(&view.run(row.clone()))),
        other => unreachable!("creating a run gives a run, not {other:?}"),
    };
    let refuse = |error| call.refuse(error, "Run");
    perform(state, &call, Command::CreateRun(new), render, refuse).await
}

impl Call {
    /// The run that the path names.
    pub(super) fn run_id(&self) -> Result<RunId, crate::runs::refusal::Refusal> {
        self.part(0).parse().map_err(|_| self.unknown("Run"))
    }
}

/// GET `/runs/{id}`.
pub(super) async fn get(state: &RunsState, call: Call) -> Answer {
    let found = state.ledger().run(&call.org_id, call.run_id()?).await;
    let row = found.map_err(|error| call.refuse(error, "Run"))?;
    Ok(ok(&call.view.run(row)))
}

/// PATCH `/runs/{id}`.
pub(super) async fn change(state: &RunsState, mut call: Call) -> Answer {
    let words = || -> Vec<&str> {
        RunStatus::ALL
            .iter()
            .map(|status| status.as_str())
            .collect()
    };
    let look = move |fields: &mut Fields| RunChange {
        status: fields.word("status", &words()),
        output: fields.clearable("outputData"),
        error: fields.clearable("errorData"),
        metadata: fields.object("metadata"),
    };
    let change = call.look(look).await?;
    let id = call.run_id()?;
    let changed = state.ledger().change_run(&call.org_id, id, change).await;
    let row = changed.map_err(|error| call.refuse(error, "Run"))?;
    Ok(ok(&call.view.run(row)))
}

/// Words of `sortOrder`; the meaning is "ascending".
pub(super) const ORDERS: &[(&str, bool)] = &[("asc", true), ("desc", false)];

/// The parameters that lists of runs and of tasks share.
pub(super) fn list_query(org_id: &str, query: &mut Query) -> LedgerList {
    const SORTS: &[(&str, SortBy)] = &[
        ("created_at", SortBy::Created),
        ("started_at", SortBy::Started),
        ("completed_at", SortBy::Completed),
    ];
    LedgerList {
        org_id: org_id.to_owned(),
        run_id: None,
        limit: query.integer("limit", 1, 100).unwrap_or(20),
        offset: query.count("offset").unwrap_or(0),
        status: query.filled("status"),
        sort_by: query.word("sortBy", SORTS).unwrap_or_default(),
        ascending: query.word("sortOrder", ORDERS).unwrap_or(false),
    }
}

/// Where a page is.
pub(super) fn pagination(list: &LedgerList, total: u64) -> Pagination {
    Pagination {
        total,
        limit: list.limit.unsigned_abs(),
        offset: list.offset.unsigned_abs(),
    }
}

/// GET `/runs`.
pub(super) async fn list(state: &RunsState, mut call: Call) -> Answer {
    let list = list_query(&call.org_id, &mut call.query);
    call.query.finish()?;
    let page = state.ledger().list_runs(list.clone()).await;
    let page = page.map_err(|error| call.refuse(error, "Run"))?;
    let rows = page
        .rows
        .into_iter()
        .map(|row| call.view.run(row))
        .collect();
    Ok(ok(&call.view.list(rows, pagination(&list, page.total))))
}
