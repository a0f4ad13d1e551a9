//! Leases: time-limited rights to work on a task, whoever works on it.

use std::collections::BTreeMap;
use std::fmt;

use colony_core::id::{AttemptRef, RunId, TaskId};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::params;
use crate::row::Row;
use crate::tx::{Dialect, Tx};

/// What kind of worker holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HolderKind {
    /// An ant of ours.
    Ant,
    /// A user's program.
    Worker,
    /// The queen itself.
    Queen,
}

impl HolderKind {
    const ALL: [Self; 3] = [Self::Ant, Self::Worker, Self::Queen];

    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ant => "ant",
            Self::Worker => "worker",
            Self::Queen => "queen",
        }
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// What kind of worker.
    pub kind: HolderKind,
    /// Its id.
    pub id: String,
}

impl Holder {
    /// An ant.
    pub fn ant(id: impl Into<String>) -> Self {
        let (kind, id) = (HolderKind::Ant, id.into());
        Self { kind, id }
    }

    /// A user's program.
    pub fn worker(id: impl Into<String>) -> Self {
        let (kind, id) = (HolderKind::Worker, id.into());
        Self { kind, id }
    }

    /// The queen.
    pub fn queen() -> Self {
        let (kind, id) = (HolderKind::Queen, "queen".to_owned());
        Self { kind, id }
    }
}

impl fmt::Display for Holder {
    /// As the Jobs API shows who did a task: workers are told apart from ants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HolderKind::Worker => write!(f, "worker:{}", self.id),
            HolderKind::Ant | HolderKind::Queen => f.write_str(&self.id),
        }
    }
}

/// The right to work on a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task, and the number of the lease.
    pub attempt: AttemptRef,
    /// Its run.
    pub run_id: RunId,
    /// Owner of the task.
    pub org_id: String,
    /// The engine runs the task as part of a job; else a program owns it.
    pub of_job: bool,
    /// Who.
    pub holder: Holder,
    /// When it was given.
    pub started_at: Timestamp,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
    /// When the attempts of a job's task must be over.
    pub deadline_at: Option<Timestamp>,
    /// The holder was asked to stop.
    pub stop: bool,
}

const COLUMNS: &str = "leases.task_id, leases.epoch, leases.run_id, leases.org_id, leases.of_job, \
     leases.holder_kind, leases.holder, leases.started_at, leases.expires_at, leases.deadline_at, \
     leases.stop";

pub(crate) const LEASE_COLUMNS: &str = COLUMNS;

/// A lease whose columns begin at `first`.
pub(crate) fn lease_at(row: &Row, first: usize) -> Result<Lease, StoreError> {
    let word: &str = row.get(first + 5)?;
    let kind = HolderKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    let kind =
        kind.ok_or_else(|| row.misfit("holder_kind", "unknown kind of holder".to_owned()))?;
    let stop: Option<&str> = row.get(first + 10)?;
    Ok(Lease {
        attempt: AttemptRef {
            task_id: row.get(first)?,
            epoch: row.get(first + 1)?,
        },
        run_id: row.get(first + 2)?,
        org_id: row.get(first + 3)?,
        of_job: row.get(first + 4)?,
        holder: Holder {
            kind,
            id: row.get(first + 6)?,
        },
        started_at: row.get(first + 7)?,
        expires_at: row.get(first + 8)?,
        deadline_at: row.get(first + 9)?,
        stop: stop.is_some(),
    })
}

fn lease(row: &Row) -> Result<Lease, StoreError> {
    lease_at(row, 0)
}

/// Stores new leases.
///
/// # Errors
///
/// The database refused it; a task has one lease.
pub fn insert(tx: &mut Tx<'_>, leases: &[Lease]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO leases (task_id, epoch, run_id, org_id, of_job, holder_kind, holder, \
         started_at, expires_at, deadline_at) \
         VALUES {rows: id, int, id, text, bool, text, text, int, int, int}",
        &[],
        leases,
        |lease| {
            params![
                &lease.attempt.task_id,
                &lease.attempt.epoch,
                &lease.run_id,
                &lease.org_id,
                &lease.of_job,
                lease.holder.kind.as_str(),
                &lease.holder.id,
                &lease.started_at,
                &lease.expires_at,
                &lease.deadline_at,
            ]
        },
    )
}

/// A lease that is still current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub attempt: AttemptRef,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The holder was asked to stop.
    pub stop: bool,
}

/// Extends leases of one kind of holder, and of one organization if that is given. Returns those that
/// are current. A worker that was asked to stop keeps what is left of its lease, to report in. A lease
/// that somebody else is changing right now is not waited for: it is about to end, or was extended.
///
/// # Errors
///
/// The database's.
pub fn renew(
    tx: &mut Tx<'_>,
    (kind, org_id): (HolderKind, Option<&str>),
    attempts: &[AttemptRef],
    expires_at: Timestamp,
) -> Result<Vec<Held>, StoreError> {
    let ends = match kind {
        HolderKind::Worker => "CASE WHEN stop IS NULL THEN $1 ELSE expires_at END",
        HolderKind::Ant | HolderKind::Queen => "$1",
    };
    let returning = "RETURNING leases.task_id, leases.epoch, leases.expires_at, leases.stop";
    let sql = match tx.dialect() {
        Dialect::Sqlite => format!(
            "UPDATE leases SET expires_at = {ends} WHERE task_id = $4 AND epoch = $5 \
             AND holder_kind = $2 AND ($3 IS NULL OR org_id = $3) {returning}"
        ),
        Dialect::Postgres => format!(
            "WITH held (task_id, epoch) AS (VALUES {{rows: id, int}}), \
             free AS MATERIALIZED (SELECT leases.task_id FROM leases JOIN held \
                ON leases.task_id = held.task_id AND leases.epoch = held.epoch \
                WHERE holder_kind = $2 AND ($3::text IS NULL OR org_id = $3) \
                ORDER BY leases.task_id FOR UPDATE OF leases SKIP LOCKED) \
             UPDATE leases SET expires_at = {ends} FROM free \
             WHERE leases.task_id = free.task_id {returning}"
        ),
    };
    let shared: [&dyn crate::value::ToParam; 3] = [&expires_at, &kind.as_str(), &org_id];
    let rows = tx.query_rows(&sql, &shared, attempts, |attempt| {
        params![&attempt.task_id, &attempt.epoch]
    })?;
    let mut renewed: Vec<Held> = rows.iter().map(held).collect::<Result<_, _>>()?;
    let is_missing = |attempt: &&AttemptRef| !renewed.iter().any(|held| held.attempt == **attempt);
    let missing: Vec<AttemptRef> = attempts.iter().filter(is_missing).copied().collect();
    if tx.dialect() == Dialect::Postgres && !missing.is_empty() {
        renewed.extend(locked(tx, (kind, org_id), &missing)?);
    }
    Ok(renewed)
}

/// Those of some leases that are current, as they are.
fn locked(
    tx: &mut Tx<'_>,
    (kind, org_id): (HolderKind, Option<&str>),
    attempts: &[AttemptRef],
) -> Result<Vec<Held>, StoreError> {
    let sql = "WITH held (task_id, epoch) AS (VALUES {rows: id, int}) \
               SELECT leases.task_id, leases.epoch, leases.expires_at, leases.stop FROM leases \
               JOIN held ON leases.task_id = held.task_id AND leases.epoch = held.epoch \
               WHERE holder_kind = $1 AND ($2::text IS NULL OR org_id = $2)";
    let rows = tx.query_rows(sql, &[&kind.as_str(), &org_id], attempts, |attempt| {
        params![&attempt.task_id, &attempt.epoch]
    })?;
    rows.iter().map(held).collect()
}

fn held(row: &Row) -> Result<Held, StoreError> {
    let stop: Option<&str> = row.get(3)?;
    Ok(Held {
        attempt: AttemptRef {
            task_id: row.get(0)?,
            epoch: row.get(1)?,
        },
        expires_at: row.get(2)?,
        stop: stop.is_some(),
    })
}

/// Extends leases whatever kind of holder they have: nobody asked for it.
///
/// # Errors
///
/// The database's.
pub fn extend(tx: &mut Tx<'_>, ids: &[TaskId], expires_at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE leases SET expires_at = $1 WHERE task_id IN ({list})";
    tx.send_list(sql, &[&expires_at], ids)
}

/// The leases of some tasks. On PostgreSQL they are locked.
///
/// # Errors
///
/// The database's.
pub fn lock(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<BTreeMap<TaskId, Lease>, StoreError> {
    let lock = tx.for_update();
    let sql =
        format!("SELECT {COLUMNS} FROM leases WHERE task_id IN ({{list}}) ORDER BY task_id{lock}");
    let rows = tx.query_list(&sql, &[], ids)?;
    let by_task = |row: &Row| lease(row).map(|lease| (lease.attempt.task_id, lease));
    rows.iter().map(by_task).collect()
}

/// Ends leases.
///
/// # Errors
///
/// The database refused it.
pub fn remove(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<(), StoreError> {
    tx.send_list("DELETE FROM leases WHERE task_id IN ({list})", &[], ids)
}

/// Asks holders to stop, with a word for why.
///
/// # Errors
///
/// The database refused it.
pub fn ask_to_stop(tx: &mut Tx<'_>, stops: &[(TaskId, &str)]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => "UPDATE leases SET stop = $2 WHERE task_id = $1",
        Dialect::Postgres => {
            "WITH new (task_id, stop) AS (VALUES {rows: id, text}) \
             UPDATE leases SET stop = new.stop FROM new WHERE leases.task_id = new.task_id"
        }
    };
    tx.send_rows(sql, &[], stops, |(id, stop)| params![id, *stop])
}

/// Changes until when the attempts of leased tasks may last.
///
/// # Errors
///
/// The database refused it.
pub fn set_deadlines(
    tx: &mut Tx<'_>,
    deadlines: &[(TaskId, Option<Timestamp>)],
) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => "UPDATE leases SET deadline_at = $2 WHERE task_id = $1",
        Dialect::Postgres => {
            "WITH new (task_id, deadline_at) AS (VALUES {rows: id, int}) UPDATE leases \
             SET deadline_at = new.deadline_at FROM new WHERE leases.task_id = new.task_id"
        }
    };
    tx.send_rows(sql, &[], deadlines, |(id, at)| params![id, at])
}

/// The lease of an attempt, while it is current.
///
/// # Errors
///
/// The database's.
pub fn find(tx: &mut Tx<'_>, attempt: AttemptRef) -> Result<Option<Lease>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM leases WHERE task_id = $1 AND epoch = $2");
    let row = tx.query_opt(&sql, &[&attempt.task_id, &attempt.epoch])?;
    row.as_ref().map(lease).transpose()
}

/// A lease about which something is to be done.
#[derive(Debug)]
pub struct DueLease {
    /// The task.
    pub task_id: TaskId,
    /// The lease, unless its row makes no sense.
    pub lease: Result<Lease, StoreError>,
}

/// Leases that were not renewed in time.
///
/// # Errors
///
/// The database's.
pub fn expired(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<DueLease>, StoreError> {
    due(tx, "expires_at", now, limit)
}

/// Leases whose task has run out of time.
///
/// # Errors
///
/// The database's.
pub fn overdue(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<DueLease>, StoreError> {
    due(tx, "deadline_at", now, limit)
}

fn due(
    tx: &mut Tx<'_>,
    column: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<DueLease>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM leases WHERE {column} IS NOT NULL AND {column} <= $1 \
         ORDER BY {column} LIMIT {limit}"
    );
    due_leases(&tx.query(&sql, &[&now])?)
}

fn due_leases(rows: &[Row]) -> Result<Vec<DueLease>, StoreError> {
    let due = |row: &Row| {
        Ok(DueLease {
            task_id: row.get(0)?,
            lease: lease(row),
        })
    };
    rows.iter().map(due).collect()
}

/// The leases that an ant holds.
///
/// # Errors
///
/// The database's.
pub fn of_ant(tx: &mut Tx<'_>, id: &str) -> Result<Vec<DueLease>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM leases WHERE holder = $1 AND holder_kind = 'ant'");
    due_leases(&tx.query(&sql, &[&id])?)
}
