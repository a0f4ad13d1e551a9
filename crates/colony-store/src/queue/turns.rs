//! The fronts of flows: what may be taken next when flows take turns.

use colony_core::id::TaskId;

use super::{COLUMNS, QueuedTask, queued};
use crate::error::StoreError;
use crate::params;
use crate::tx::{Dialect, Tx};

/// Flows looked at in one look. More are looked at in turns.
const FLOWS_MAX: usize = 64;

type Flow = (i64, String);

/// The first `limit` tasks of each flow under a key, of the best rank first. When there are very many
/// flows, those after `last` come first. Nothing is locked: who has the run's lock decides.
///
/// # Errors
///
/// The database's.
pub fn fronts(
    tx: &mut Tx<'_>,
    key: &str,
    last: &str,
    limit: u32,
) -> Result<Vec<QueuedTask>, StoreError> {
    let mut flows = flows_after(tx, key, &(i64::MIN, String::new()))?;
    let best = flows.first().map(|(rank, _)| *rank);
    if let Some(best) = best
        && flows.len() == FLOWS_MAX
        && flows.iter().all(|(rank, _)| *rank == best)
    {
        let mut after = flows_after(tx, key, &(best, last.to_owned()))?;
        after.retain(|flow| flow.0 == best && !flows.contains(flow));
        flows.extend(after);
    }
    match tx.dialect() {
        Dialect::Sqlite => one_by_one(tx, key, &flows, limit),
        Dialect::Postgres => together(tx, key, &flows, limit),
    }
}

/// The flows with tasks under a key that come after one, by rank and name. Hops from one to the next.
fn flows_after(tx: &mut Tx<'_>, key: &str, after: &Flow) -> Result<Vec<Flow>, StoreError> {
    let next = "SELECT rank, flow FROM queue WHERE key = $1 AND (rank, flow) > ($2, $3) \
                ORDER BY rank, flow LIMIT 1";
    if tx.dialect() == Dialect::Sqlite {
        let mut flows: Vec<Flow> = Vec::new();
        while flows.len() < FLOWS_MAX {
            let (rank, flow) = flows.last().unwrap_or(after);
            let Some(row) = tx.query_opt(next, &[&key, rank, flow])? else {
                break;
            };
            flows.push((row.get(0)?, row.get(1)?));
        }
        return Ok(flows);
    }
    let sql = format!(
        "WITH RECURSIVE flows (rank, flow, n) AS ( \
            SELECT rank, flow, 1 FROM ({next}) AS first \
            UNION ALL \
            SELECT next.rank, next.flow, n + 1 FROM flows, LATERAL ( \
                SELECT queue.rank, queue.flow FROM queue WHERE key = $1 \
                AND (queue.rank, queue.flow) > (flows.rank, flows.flow) \
                ORDER BY queue.rank, queue.flow LIMIT 1) AS next WHERE n < {FLOWS_MAX} \
         ) SELECT rank, flow FROM flows"
    );
    let rows = tx.query(&sql, &[&key, &after.0, &after.1])?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

fn one_by_one(
    tx: &mut Tx<'_>,
    key: &str,
    flows: &[Flow],
    limit: u32,
) -> Result<Vec<QueuedTask>, StoreError> {
    // A number rather than a parameter, rounded, so that few texts exist.
    let rounded = limit.next_power_of_two();
    let sql = format!(
        "SELECT {COLUMNS} FROM queue WHERE key = $1 AND rank = $2 AND flow = $3 \
         ORDER BY task_id LIMIT {rounded}"
    );
    let mut fronts: Vec<QueuedTask> = Vec::new();
    let mut rank_before = None;
    for (rank, flow) in flows {
        // What is behind enough of a better rank is not taken now.
        if rank_before.is_some_and(|before| before != *rank) && fronts.len() >= limit as usize {
            break;
        }
        rank_before = Some(*rank);
        let rows = tx.query(&sql, &[&key, rank, flow])?;
        for row in rows.iter().take(limit as usize) {
            fronts.push(queued(row)?);
        }
    }
    Ok(fronts)
}

fn together(
    tx: &mut Tx<'_>,
    key: &str,
    flows: &[Flow],
    limit: u32,
) -> Result<Vec<QueuedTask>, StoreError> {
    let rounded = limit.next_power_of_two();
    let sql = format!(
        "WITH flows (rank, flow) AS (VALUES {{rows: int, text}}) \
         SELECT front.* FROM flows, LATERAL ( \
            SELECT {COLUMNS} FROM queue WHERE key = $1 AND queue.rank = flows.rank \
            AND queue.flow = flows.flow ORDER BY task_id LIMIT {rounded}) AS front"
    );
    let rows = tx.query_rows(&sql, &[&key], flows, |(rank, flow)| params![rank, flow])?;
    let mut fronts: Vec<QueuedTask> = rows.iter().map(queued).collect::<Result<_, _>>()?;
    fronts.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(fronts)
}

fn place(task: &QueuedTask) -> (i64, &str, TaskId) {
    (task.rank, &task.flow, task.task_id)
}
