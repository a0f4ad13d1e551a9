//! Events to be sent at a time.

use colony_core::id::{RequestId, RunId, TaskId};
use colony_core::time::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;
use crate::params;
use crate::row::Row;
use crate::tx::{Dialect, Tx};

/// What a timer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// A request becomes due; the subject is the request.
    RequestDue,
    /// A task's delay is over; the subject is the run, the detail the task's name.
    TaskDue,
    /// A job's delay before its next attempt is over; the subject is the run.
    JobRetryDue,
    /// A program's task that was put off is offered to workers; the subject is the task.
    OfferDue,
}

impl TimerKind {
    const ALL: [Self; 4] = [
        Self::RequestDue,
        Self::TaskDue,
        Self::JobRetryDue,
        Self::OfferDue,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::RequestDue => "request_due",
            Self::TaskDue => "task_due",
            Self::JobRetryDue => "job_retry_due",
            Self::OfferDue => "offer_due",
        }
    }
}

/// A stored timer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// What it means.
    pub kind: TimerKind,
    /// Id of the request, run or task.
    pub subject: Uuid,
    /// Name of the task, or empty.
    pub detail: String,
    /// When.
    pub due_at: Timestamp,
}

impl Timer {
    /// A timer about a request.
    pub fn request(kind: TimerKind, id: RequestId, due_at: Timestamp) -> Self {
        Self {
            kind,
            subject: id.uuid(),
            detail: String::new(),
            due_at,
        }
    }

    /// A timer about a run, or one of its tasks.
    pub fn run(kind: TimerKind, id: RunId, task: &str, due_at: Timestamp) -> Self {
        Self {
            kind,
            subject: id.uuid(),
            detail: task.to_owned(),
            due_at,
        }
    }

    /// When a program's task is offered to workers.
    pub fn offer(id: TaskId, due_at: Timestamp) -> Self {
        Self {
            kind: TimerKind::OfferDue,
            subject: id.uuid(),
            detail: String::new(),
            due_at,
        }
    }
}

/// Sets timers, in place of earlier ones of the same kind, subject and detail.
///
/// # Errors
///
/// The database refused it.
pub fn set(tx: &mut Tx<'_>, timers: &[Timer]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO timers (kind, subject, detail, due_at) VALUES {rows: text, id, text, int} \
         ON CONFLICT (subject, kind, detail) DO UPDATE SET due_at = excluded.due_at",
        &[],
        timers,
        |timer| {
            params![
                timer.kind.as_str(),
                &timer.subject,
                &timer.detail,
                &timer.due_at,
            ]
        },
    )
}

/// Removes all timers of some subjects.
///
/// # Errors
///
/// The database refused it.
pub fn clear(tx: &mut Tx<'_>, subjects: &[Uuid]) -> Result<(), StoreError> {
    tx.send_list(
        "DELETE FROM timers WHERE subject IN ({list})",
        &[],
        subjects,
    )
}

/// A timer that is due.
#[derive(Debug)]
pub struct Due {
    /// Id of the request or run.
    pub subject: Uuid,
    /// The timer, unless its row makes no sense.
    pub timer: Result<Timer, StoreError>,
}

/// At most `limit` timers that are due, oldest first.
///
/// # Errors
///
/// The database's.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError> {
    let sql = format!(
        "SELECT kind, subject, detail, due_at FROM timers WHERE due_at <= $1 \
         ORDER BY due_at LIMIT {limit}"
    );
    let rows = tx.query(&sql, &[&now])?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                subject: row.get(1)?,
                timer: timer(row),
            })
        })
        .collect()
}

fn timer(row: &Row) -> Result<Timer, StoreError> {
    let word: &str = row.get(0)?;
    let kind = TimerKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    Ok(Timer {
        kind: kind.ok_or_else(|| row.misfit("kind", "unknown kind of timer".to_owned()))?,
        subject: row.get(1)?,
        detail: row.get(2)?,
        due_at: row.get(3)?,
    })
}

/// Removes timers.
///
/// # Errors
///
/// The database refused it.
pub fn remove(tx: &mut Tx<'_>, timers: &[Timer]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => "DELETE FROM timers WHERE subject = $1 AND kind = $2 AND detail = $3",
        Dialect::Postgres => {
            "WITH old (subject, kind, detail) AS (VALUES {rows: id, text, text}) \
             DELETE FROM timers USING old WHERE timers.subject = old.subject \
             AND timers.kind = old.kind AND timers.detail = old.detail"
        }
    };
    tx.send_rows(sql, &[], timers, |timer| {
        params![&timer.subject, timer.kind.as_str(), &timer.detail]
    })
}

/// When something is due next: a timer, a lease's expiry or deadline, a job's deadline.
///
/// # Errors
///
/// The database's.
pub fn next_due(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let row = tx.query_one(
        "SELECT MIN(due_at) FROM ( \
            SELECT MIN(due_at) AS due_at FROM timers \
            UNION ALL SELECT MIN(expires_at) FROM leases \
            UNION ALL SELECT MIN(deadline_at) FROM leases WHERE deadline_at IS NOT NULL \
            UNION ALL SELECT MIN(deadline_at) FROM runs WHERE deadline_at IS NOT NULL \
         ) AS due",
        &[],
    )?;
    row.get(0)
}
