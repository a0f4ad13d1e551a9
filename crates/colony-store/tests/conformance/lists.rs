//! Pages of runs and tasks, and their totals, against a plain sort of all rows, after random
//! histories.

use std::collections::BTreeMap;

use colony_core::id::{Epoch, RunId, TaskId};
use colony_core::ledger::Marks;
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use colony_store::ledger::list::{self, LedgerList, SortBy};
use colony_store::ledger::run::{self, Growth};
use colony_store::ledger::task::{self, NewTask};
use colony_store::ledger::{RunRow, TaskRow, Waiting, count};
use colony_store::{StoreError, Tx};
use colony_testkit::{TestStore, both_databases};
use uuid::Uuid;

/// The multiplier of SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn time(&mut self) -> Option<Timestamp> {
        // Few, so that many are equal.
        (self.below(3) > 0).then(|| Timestamp::from_millis(self.below(9) as i64))
    }
}

fn new_run(random: &mut Random, number: u128) -> RunRow {
    RunRow {
        id: RunId::new(Uuid::from_u128(number)),
        org_id: random.pick(&["acme", "other"]).to_owned(),
        status: random.pick(RunStatus::ALL),
        input: "{}".into(),
        output: None,
        error: None,
        metadata: None,
        total_tasks: 0,
        completed_tasks: 0,
        failed_tasks: 0,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        marks: Marks::default(),
    }
}

fn new_task(random: &mut Random, run: &RunRow, number: u128) -> NewTask {
    let row = TaskRow {
        id: TaskId::new(Uuid::from_u128(number)),
        run_id: run.id,
        parent_task_id: None,
        org_id: run.org_id.clone(),
        kind: "t".to_owned(),
        status: TaskStatus::Pending,
        input: "{}".into(),
        output: None,
        error: None,
        metadata: None,
        max_retries: 3,
        queue_job_id: None,
        epoch: Epoch(0),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        marks: Marks::default(),
        priority: 0,
        waiting: Some(Waiting::Offered),
    };
    NewTask {
        row,
        // One in ten is there already, perhaps.
        dedupe_key: (random.below(2) == 0).then(|| random.below(20).to_string()),
    }
}

/// Creates, changes and starts rows, in groups of any size.
fn step(tx: &mut Tx<'_>, random: &mut Random, runs: &mut Vec<RunRow>) -> Result<(), StoreError> {
    let now = Timestamp::from_millis(random.below(9) as i64);
    let number = |random: &mut Random| (random.below(1 << 40) as u128) << 80;
    match random.below(6) {
        0 => {
            let new: Vec<RunRow> = (0..=random.below(4))
                .map(|n| {
                    let number = number(random) + n as u128;
                    new_run(random, number)
                })
                .collect();
            run::insert_runs(tx, &new)?;
            runs.extend(new);
        }
        1 | 2 => {
            let run = runs[random.below(runs.len())].clone();
            let new: Vec<NewTask> = (0..=random.below(9))
                .map(|n| {
                    let number = number(random) + n as u128;
                    new_task(random, &run, number)
                })
                .collect();
            let stored = task::insert_tasks(tx, &new)?;
            let growth = Growth {
                total: stored.len() as i64,
                ..Growth::default()
            };
            run::grow_runs(tx, &[(run.id, growth)].into(), now)?;
        }
        3 => {
            let index = random.below(runs.len());
            let row = &mut runs[index];
            row.status = random.pick(RunStatus::ALL);
            row.marks.started_at = random.time();
            row.marks.completed_at = random.time();
            run::update_run(tx, row)?;
        }
        4 => {
            let ids = some_tasks(tx, random)?;
            let mut rows: Vec<TaskRow> = task::lock_tasks(tx, &ids)?
                .into_iter()
                .map(|task| task.row)
                .collect();
            for row in &mut rows {
                row.status = random.pick(TaskStatus::ALL);
                row.marks.started_at = random.time();
                row.marks.completed_at = random.time();
            }
            task::update_tasks(tx, &rows)?;
        }
        _ => {
            let ids = some_tasks(tx, random)?;
            task::start_tasks(tx, &ids, now)?;
            // What no verb does today: a statement over many rows, of several organizations.
            let status = random.pick(TaskStatus::ALL);
            let (from, to) = (random.pick(TaskStatus::ALL), random.below(9) as i64);
            tx.execute(
                "UPDATE tasks SET status = $1 WHERE status = $2 AND started_at = $3",
                &[&status, &from, &to],
            )?;
        }
    }
    Ok(())
}

fn some_tasks(tx: &mut Tx<'_>, random: &mut Random) -> Result<Vec<TaskId>, StoreError> {
    let rows = tx.query("SELECT id FROM tasks", &[])?;
    let ids: Vec<TaskId> = rows
        .iter()
        .map(|row| row.get(0))
        .collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter(|_| random.below(9) == 0).collect())
}

/// What a list knows of a row.
struct Plain {
    id: Uuid,
    org_id: String,
    run_id: Option<Uuid>,
    status: String,
    started_at: Option<i64>,
    completed_at: Option<i64>,
}

fn plain(tx: &mut Tx<'_>, table: &str, run_id: &str) -> Result<Vec<Plain>, StoreError> {
    let sql = format!("SELECT id, org_id, status, started_at, completed_at{run_id} FROM {table}");
    tx.query(&sql, &[])?
        .iter()
        .map(|row| {
            Ok(Plain {
                id: row.get(0)?,
                org_id: row.get(1)?,
                status: row.get(2)?,
                started_at: row.get(3)?,
                completed_at: row.get(4)?,
                run_id: if run_id.is_empty() { None } else { row.get(5)? },
            })
        })
        .collect()
}

fn expected(rows: &[Plain], list: &LedgerList) -> (Vec<Uuid>, u64) {
    let run_id = list.run_id.map(RunId::uuid);
    let mut found: Vec<(i64, Uuid)> = (rows.iter())
        .filter(|row| row.org_id == list.org_id)
        .filter(|row| run_id.is_none() || row.run_id == run_id)
        .filter(|row| {
            list.status
                .as_ref()
                .is_none_or(|status| *status == row.status)
        })
        .map(|row| match list.sort_by {
            SortBy::Created => (0, row.id),
            SortBy::Started => (row.started_at.unwrap_or(i64::MAX), row.id),
            SortBy::Completed => (row.completed_at.unwrap_or(i64::MAX), row.id),
        })
        .collect();
    found.sort_unstable();
    if !list.ascending {
        found.reverse();
    }
    let total = found.len() as u64;
    let page = (found.into_iter())
        .skip(usize::try_from(list.offset).unwrap())
        .take(usize::try_from(list.limit).unwrap());
    (page.map(|(_, id)| id).collect(), total)
}

/// Every combination of filter and order, at several places.
fn lists(random: &mut Random, runs: &[RunRow], total: usize) -> Vec<LedgerList> {
    let mut lists = Vec::new();
    let statuses = [
        "pending",
        "queued",
        "running",
        "completed",
        "failed",
        "nonsense",
    ];
    for status in statuses.map(Some).into_iter().chain([None]) {
        for sort_by in [SortBy::Created, SortBy::Started, SortBy::Completed] {
            for ascending in [true, false] {
                for run in [None, Some(random.pick_run(runs))] {
                    lists.push(LedgerList {
                        org_id: "acme".to_owned(),
                        run_id: run,
                        status: status.map(str::to_owned),
                        sort_by,
                        ascending,
                        offset: match random.below(3) {
                            0 => 0,
                            1 => random.below(total + 2) as i64,
                            _ => random.below(20) as i64,
                        },
                        limit: 1 + random.below(9) as i64,
                    });
                }
            }
        }
    }
    lists
}

impl Random {
    fn pick_run(&mut self, runs: &[RunRow]) -> RunId {
        runs[self.below(runs.len())].id
    }
}

fn check(db: &TestStore, random: &mut Random, runs: &[RunRow]) {
    let (all_runs, all_tasks) = db
        .read_blocking(|tx| {
            Ok::<_, StoreError>((plain(tx, "runs", "")?, plain(tx, "tasks", ", run_id")?))
        })
        .unwrap();
    for list in lists(random, runs, all_tasks.len()) {
        let (wanted, query) = (list.clone(), list.clone());
        let (ids, total) = db
            .read_blocking(move |tx| {
                let page = list::list_tasks(tx, &query)?;
                let ids = page.rows.iter().map(|row| row.id.uuid());
                Ok::<_, StoreError>((ids.collect::<Vec<_>>(), page.total))
            })
            .unwrap();
        assert_eq!(
            (ids, total),
            expected(&all_tasks, &wanted),
            "tasks: {wanted:?}"
        );
        let query = LedgerList {
            run_id: None,
            ..list
        };
        let wanted = query.clone();
        let (ids, total) = db
            .read_blocking(move |tx| {
                let page = list::list_runs(tx, &query)?;
                let ids = page.rows.iter().map(|row| row.id.uuid());
                Ok::<_, StoreError>((ids.collect::<Vec<_>>(), page.total))
            })
            .unwrap();
        assert_eq!(
            (ids, total),
            expected(&all_runs, &wanted),
            "runs: {wanted:?}"
        );
    }
}

/// Rows by organization and status.
type Numbers = BTreeMap<(String, String), i64>;

/// The kept numbers of a table, and those that a count gives.
fn numbers(tx: &mut Tx<'_>, table: &str) -> Result<[Numbers; 2], StoreError> {
    let kept = format!(
        "SELECT org_id, status, CAST(SUM(n) AS BIGINT) FROM ledger_counts WHERE kind = '{table}' \
         GROUP BY org_id, status HAVING SUM(n) <> 0"
    );
    let counted = format!("SELECT org_id, status, COUNT(*) FROM {table} GROUP BY org_id, status");
    let mut read = |sql: &str| {
        let rows = tx.query(sql, &[])?;
        let row = |row: &colony_store::Row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
        rows.iter().map(row).collect::<Result<_, StoreError>>()
    };
    Ok([read(&kept)?, read(&counted)?])
}

both_databases! {
    fn pages_and_totals_are_those_of_a_plain_sort(db) {
        let random = std::sync::Arc::new(std::sync::Mutex::new((Random(7), Vec::new())));
        for _ in 0..8 {
            for _ in 0..12 {
                let state = std::sync::Arc::clone(&random);
                db.write_blocking(move |tx| {
                    let (random, runs) = &mut *state.lock().unwrap();
                    if runs.is_empty() {
                        let first = new_run(random, 1);
                        run::insert_runs(tx, std::slice::from_ref(&first))?;
                        runs.push(first);
                    }
                    step(tx, random, runs)
                })
                .unwrap();
            }
            let (random, runs) = &mut *random.lock().unwrap();
            check(&db, random, runs);
            for table in ["runs", "tasks"] {
                let [kept, counted] = db.read_blocking(move |tx| numbers(tx, table)).unwrap();
                assert_eq!(kept, counted, "{table}");
            }
        }
        // Whoever deletes rows is counted too, and so is what goes with them.
        db.write_blocking(|tx| {
            tx.execute("DELETE FROM tasks WHERE status = 'pending'", &[])?;
            tx.execute("DELETE FROM runs WHERE status <> 'pending'", &[])
        })
        .unwrap();
        for table in ["runs", "tasks"] {
            let [kept, counted] = db.read_blocking(move |tx| numbers(tx, table)).unwrap();
            assert_eq!(kept, counted, "{table}");
            assert!(!kept.is_empty());
        }
    }

    fn a_large_run_is_listed_as_a_small_one_is(db) {
        let mut random = Random(3);
        let runs: Vec<RunRow> = (1..=2).map(|n| RunRow {
            org_id: "acme".to_owned(),
            ..new_run(&mut random, n)
        })
        .collect();
        let tasks: Vec<NewTask> = (0..2600).map(|n| {
            // One in ten is of the other run.
            let mut task = new_task(&mut random, &runs[usize::from(n % 10 == 0)], 10 + n);
            task.row.status = TaskStatus::ALL[random.below(TaskStatus::ALL.len())];
            task.dedupe_key = None;
            task
        })
        .collect();
        let stored = (runs.clone(), tasks);
        db.write_blocking(move |tx| {
            run::insert_runs(tx, &stored.0)?;
            task::insert_tasks(tx, &stored.1)?;
            for (run, total) in stored.0.iter().zip([2340, 260]) {
                let growth = Growth { total, ..Growth::default() };
                run::grow_runs(tx, &[(run.id, growth)].into(), Timestamp::from_millis(0))?;
            }
            tx.execute("UPDATE tasks SET started_at = duration_ms, completed_at = 7", &[])
        })
        .unwrap();
        check(&db, &mut random, &runs[..1]);
    }

    fn a_refused_closure_leaves_no_trace_in_the_totals(db) {
        let failed = db.write_blocking(|tx| {
            run::insert_runs(tx, &[new_run(&mut Random(1), 1)])?;
            Err::<(), _>(StoreError::TransactionFailed)
        });
        assert!(failed.is_err());
        let totals = db.read_blocking(|tx| count::totals(tx, "runs", "acme")).unwrap();
        assert_eq!(totals.of(None), 0);
    }
}
