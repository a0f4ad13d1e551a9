//! Requests: wishes to run a definition.

mod change;

use std::collections::BTreeMap;

use colony_core::id::{DefinitionId, RequestId, RunId};
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::list::{self, Column, Kind, ListError, ListQuery, Listing, Page};
use crate::params;
use crate::row::Row;
use crate::tx::Tx;

pub use change::{
    Ended, RequestChange, Requeue, change_requests, reconsider, requests_due, restart_request,
    serve_requests, unserved_keys,
};

/// A stored request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    /// Its id.
    pub id: RequestId,
    /// Owner.
    pub org_id: String,
    /// Who submitted it; empty without authentication.
    pub user_id: String,
    /// Request that forked this one.
    pub parent_id: Option<RequestId>,
    /// Requests of one organization and type queue under this key.
    pub schedule_key: String,
    /// The version it is pinned to.
    pub definition_id: DefinitionId,
    /// Name of the job.
    pub job_type: String,
    /// Wanted `sem_version`; empty = the newest.
    pub job_version: String,
    /// Where it is.
    pub job_state: JobState,
    /// Higher first.
    pub job_priority: i64,
    /// Unique among unfinished requests.
    pub user_key: Option<String>,
    /// For people.
    pub description: String,
    /// For filtering.
    pub platform: String,
    /// For filtering.
    pub job_group: String,
    /// Limit of the job in milliseconds; 0 = the definition's.
    pub timeout_ms: i64,
    /// How often the scheduler looked at it.
    pub schedule_attempts: u32,
    /// Retries and restarts of the job.
    pub retried: u32,
    /// Pauses.
    pub paused_count: u32,
    /// Made by cron.
    pub cron_triggered: bool,
    /// The next run repeats every task.
    pub hard_restart: bool,
    /// Cancelled with its parent.
    pub cascade_cancel: bool,
    /// Why it failed; empty otherwise.
    pub error_code: String,
    /// Why it failed, or what it waits for.
    pub error_message: String,
    /// Task that waits for approval, or resume point.
    pub current_task: String,
    /// Current execution.
    pub run_id: Option<RunId>,
    /// Execution before the current one.
    pub last_run_id: Option<RunId>,
    /// JSON object.
    pub params: String,
    /// Text for free searches.
    pub quick_search: String,
    /// Not before.
    pub scheduled_at: Timestamp,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// When its state became final.
    pub ended_at: Option<Timestamp>,
}

/// Columns of [`RequestRow`], in order.
pub(crate) const COLUMNS: &str = "id, org_id, user_id, parent_id, schedule_key, definition_id, job_type, \
    job_version, job_state, job_priority, user_key, description, platform, job_group, timeout_ms, \
    schedule_attempts, retried, paused_count, cron_triggered, hard_restart, cascade_cancel, \
    error_code, error_message, current_task, run_id, last_run_id, params, quick_search, \
    scheduled_at, created_at, updated_at, ended_at";

impl RequestRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            user_id: row.get(2)?,
            parent_id: row.get(3)?,
            schedule_key: row.get(4)?,
            definition_id: row.get(5)?,
            job_type: row.get(6)?,
            job_version: row.get(7)?,
            job_state: row.get(8)?,
            job_priority: row.get(9)?,
            user_key: row.get(10)?,
            description: row.get(11)?,
            platform: row.get(12)?,
            job_group: row.get(13)?,
            timeout_ms: row.get(14)?,
            schedule_attempts: row.get(15)?,
            retried: row.get(16)?,
            paused_count: row.get(17)?,
            cron_triggered: row.get(18)?,
            hard_restart: row.get(19)?,
            cascade_cancel: row.get(20)?,
            error_code: row.get(21)?,
            error_message: row.get(22)?,
            current_task: row.get(23)?,
            run_id: row.get(24)?,
            last_run_id: row.get(25)?,
            params: row.get(26)?,
            quick_search: row.get(27)?,
            scheduled_at: row.get(28)?,
            created_at: row.get(29)?,
            updated_at: row.get(30)?,
            ended_at: row.get(31)?,
        })
    }
}

/// A request to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRequest {
    /// The request as it will be.
    pub row: RequestRow,
    /// It is due and waits for the scheduler.
    pub eligible: bool,
    /// The queue that no ant serves and that it waits for.
    pub unserved: Option<String>,
}

/// Stores new requests.
///
/// # Errors
///
/// The database refused it; an unfinished request may hold the same `user_key`.
pub fn insert_requests(tx: &mut Tx<'_>, requests: &[NewRequest]) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO requests ({COLUMNS}, eligible, unserved) VALUES {{rows: id, text, text, id, \
         text, id, text, text, text, int, text, text, text, text, int, int, int, int, bool, bool, \
         bool, text, text, text, id, id, text, text, int, int, int, int, bool, text}}"
    );
    tx.send_rows(&sql, &[], requests, |new| {
        let row = &new.row;
        params![
            &row.id,
            &row.org_id,
            &row.user_id,
            &row.parent_id,
            &row.schedule_key,
            &row.definition_id,
            &row.job_type,
            &row.job_version,
            &row.job_state,
            &row.job_priority,
            &row.user_key,
            &row.description,
            &row.platform,
            &row.job_group,
            &row.timeout_ms,
            &row.schedule_attempts,
            &row.retried,
            &row.paused_count,
            &row.cron_triggered,
            &row.hard_restart,
            &row.cascade_cancel,
            &row.error_code,
            &row.error_message,
            &row.current_task,
            &row.run_id,
            &row.last_run_id,
            &row.params,
            &row.quick_search,
            &row.scheduled_at,
            &row.created_at,
            &row.updated_at,
            &row.ended_at,
            &new.eligible,
            &new.unserved,
        ]
    })
}

/// The unfinished requests that hold some keys of users.
///
/// # Errors
///
/// The database's.
pub fn holders_of_keys(
    tx: &mut Tx<'_>,
    keys: &[String],
) -> Result<BTreeMap<String, RequestId>, StoreError> {
    let sql = "SELECT user_key, id FROM requests WHERE user_key IN ({list})";
    let rows = tx.query_list(sql, &[], keys)?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Requests by id; one whose row makes no sense has the reason instead.
pub type LoadedRequests = BTreeMap<RequestId, Result<RequestRow, StoreError>>;

/// Loads requests. Unknown ones are left out.
///
/// # Errors
///
/// The database's.
pub fn find_requests(tx: &mut Tx<'_>, ids: &[RequestId]) -> Result<LoadedRequests, StoreError> {
    load(tx, ids, "")
}

/// As [`find_requests`], locked until the end of the transaction, in the order of their ids.
///
/// # Errors
///
/// The database's.
pub fn lock_requests(tx: &mut Tx<'_>, ids: &[RequestId]) -> Result<LoadedRequests, StoreError> {
    let lock = tx.for_update();
    load(tx, ids, lock)
}

fn load(tx: &mut Tx<'_>, ids: &[RequestId], lock: &str) -> Result<LoadedRequests, StoreError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE id IN ({{list}}) ORDER BY id{lock}");
    let rows = tx.query_list(&sql, &[], &ids)?;
    let loaded = rows
        .iter()
        .map(|row| Ok((row.get(0)?, RequestRow::from_row(row))));
    loaded.collect()
}

/// The request of that id.
///
/// # Errors
///
/// The database's.
pub fn find_request(tx: &mut Tx<'_>, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE id = $1");
    let row = tx.query_opt(&sql, &[&id])?;
    row.as_ref().map(RequestRow::from_row).transpose()
}

/// The owner of a request, whatever else its row says.
///
/// # Errors
///
/// The database's.
pub fn owner(tx: &mut Tx<'_>, id: RequestId) -> Result<Option<String>, StoreError> {
    let row = tx.query_opt("SELECT org_id FROM requests WHERE id = $1", &[&id])?;
    row.map(|row| row.get(0)).transpose()
}

/// The request of that id, locked until the end of the transaction.
///
/// # Errors
///
/// The database's.
pub fn lock_request(tx: &mut Tx<'_>, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE id = $1{}",
        tx.for_update()
    );
    let row = tx.query_opt(&sql, &[&id])?;
    row.as_ref().map(RequestRow::from_row).transpose()
}

/// One page of requests.
///
/// # Errors
///
/// The query names what is not there, or the database failed.
pub fn list_requests(tx: &mut Tx<'_>, query: &ListQuery) -> Result<Page<RequestRow>, ListError> {
    list::list(tx, &LISTING, query, RequestRow::from_row)
}

/// `GET /api/jobs/requests` (`formicary-api` 7.2).
const LISTING: Listing = Listing {
    table: "requests",
    columns: COLUMNS,
    only: "1 = 1",
    fields: &[
        Column {
            name: "id",
            kind: Kind::Id,
        },
        Column {
            name: "job_type",
            kind: Kind::Text,
        },
        Column {
            name: "job_state",
            kind: Kind::Text,
        },
        Column {
            name: "platform",
            kind: Kind::Text,
        },
        Column {
            name: "job_group",
            kind: Kind::Text,
        },
        Column {
            name: "job_version",
            kind: Kind::Text,
        },
        Column {
            name: "job_priority",
            kind: Kind::Int,
        },
        Column {
            name: "user_key",
            kind: Kind::Text,
        },
        Column {
            name: "parent_id",
            kind: Kind::Id,
        },
        Column {
            name: "job_definition_id",
            kind: Kind::Id,
        },
        Column {
            name: "job_execution_id",
            kind: Kind::Id,
        },
        Column {
            name: "organization_id",
            kind: Kind::Text,
        },
        Column {
            name: "user_id",
            kind: Kind::Text,
        },
        Column {
            name: "error_code",
            kind: Kind::Text,
        },
        Column {
            name: "cron_triggered",
            kind: Kind::Bool,
        },
        Column {
            name: "retried",
            kind: Kind::Int,
        },
        Column {
            name: "current_task",
            kind: Kind::Text,
        },
        Column {
            name: "scheduled_at",
            kind: Kind::Time,
        },
        Column {
            name: "created_at",
            kind: Kind::Time,
        },
        Column {
            name: "updated_at",
            kind: Kind::Time,
        },
    ],
    search_contains: &[
        "job_type",
        "description",
        "user_id",
        "org_id",
        "quick_search",
    ],
    search_equals: &[],
    search_latest: Some("updated_at"),
};
