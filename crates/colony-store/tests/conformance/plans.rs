//! Plans of the hot statements of the work queue and of lists: with tens of thousands of tasks waiting, each
//! statement of a claim and a report finds its rows by an index. `--nocapture` shows the plans.

use colony_core::id::{Epoch, RunId, TaskId};
use colony_core::ledger::{DataFilter, Marks};
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use colony_store::ledger::block::{self, Counted};
use colony_store::ledger::data::{self, DataQuery};
use colony_store::ledger::list::{self, LedgerList, SortBy};
use colony_store::ledger::offer::{self, Offer};
use colony_store::ledger::run::{self, Growth};
use colony_store::ledger::task::{self, NewTask, WorkerLease};
use colony_store::ledger::{RunRow, TaskRow, Waiting, lease};
use colony_store::{Dialect, StoreError, Tx};
use colony_testkit::both_databases;
use uuid::Uuid;

const WAITING: u128 = 20_000;
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn run_id() -> RunId {
    RunId::new(Uuid::from_u128(1))
}

fn new_task(number: u128) -> NewTask {
    let row = TaskRow {
        id: TaskId::new(Uuid::from_u128(number)),
        run_id: run_id(),
        parent_task_id: None,
        org_id: "acme".to_owned(),
        kind: "t".to_owned(),
        status: TaskStatus::Pending,
        input: "{}".to_owned(),
        output: None,
        error: None,
        metadata: None,
        max_retries: 3,
        queue_job_id: None,
        epoch: Epoch(0),
        created_at: NOW,
        updated_at: NOW,
        marks: Marks::default(),
        priority: 0,
        waiting: Some(Waiting::Offered),
    };
    NewTask {
        row,
        dedupe_key: None,
    }
}

fn fill(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let run = RunRow {
        id: run_id(),
        org_id: "acme".to_owned(),
        status: RunStatus::Pending,
        input: "{}".to_owned(),
        output: None,
        error: None,
        metadata: None,
        total_tasks: 0,
        completed_tasks: 0,
        failed_tasks: 0,
        created_at: NOW,
        updated_at: NOW,
        marks: Marks::default(),
    };
    run::insert_runs(tx, &[run])?;
    create(tx, &(1..=WAITING).map(new_task).collect::<Vec<_>>())
}

fn create(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<(), StoreError> {
    run::lock_runs(tx, &[run_id()])?;
    task::insert_tasks(tx, tasks)?;
    let offers: Vec<Offer> = tasks.iter().map(|task| Offer::of(&task.row)).collect();
    offer::insert_offers(tx, &offers)?;
    grow(tx)
}

fn grow(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let growth = Growth {
        total: 1,
        ..Growth::default()
    };
    run::grow_runs(tx, &[(run_id(), growth)].into(), NOW)
}

fn claim(tx: &mut Tx<'_>) -> Result<Vec<TaskId>, StoreError> {
    let front = offer::front(tx, "acme", "t", 3)?;
    let ids: Vec<TaskId> = front.iter().map(|offer| offer.task_id).collect();
    let rows = offer::start_tasks(tx, &ids, NOW)?;
    assert_eq!(rows.len(), 3);
    offer::delete_offers(tx, &front)?;
    let leases = rows.iter().map(|row| WorkerLease {
        task_id: row.id,
        org_id: row.org_id.clone(),
        epoch: row.epoch,
        holder: "w".to_owned(),
        started_at: NOW,
        expires_at: NOW,
    });
    offer::insert_leases(tx, &leases.collect::<Vec<_>>())?;
    Ok(ids)
}

fn report(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<(), StoreError> {
    let locked = task::lock_tasks(tx, ids)?;
    let rows: Vec<TaskRow> = locked.iter().map(|task| task.row.clone()).collect();
    task::update_tasks(tx, &rows)?;
    lease::delete_leases(tx, ids)?;
    run::lock_counters(tx, &[run_id()])?;
    grow(tx)
}

fn upkeep(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    lease::expired(tx, NOW, 256)?;
    offer::due_tasks(tx, NOW, 256)?;
    lease::next_due(tx).map(drop)
}

/// Lists of an organization by every filter and order, near and far.
fn lists() -> Vec<LedgerList> {
    let mut lists = Vec::new();
    for status in [None, Some("pending"), Some("completed"), Some("retrying")] {
        for sort_by in [SortBy::Created, SortBy::Started, SortBy::Completed] {
            for (ascending, offset) in [(true, 0), (false, 0), (false, 500)] {
                lists.push(LedgerList {
                    org_id: "acme".to_owned(),
                    run_id: None,
                    status: status.map(str::to_owned),
                    sort_by,
                    ascending,
                    offset,
                    limit: 20,
                });
            }
        }
    }
    // Far from both ends, behind a stretch that is counted.
    for status in [None, Some("completed")] {
        lists.push(LedgerList {
            org_id: "acme".to_owned(),
            status: status.map(str::to_owned),
            ascending: true,
            offset: 7000,
            limit: 20,
            ..LedgerList::default()
        });
    }
    lists.push(LedgerList {
        org_id: "acme".to_owned(),
        run_id: Some(run_id()),
        limit: 20,
        ..LedgerList::default()
    });
    lists
}

both_databases! {
    fn hot_statements_find_rows_by_indexes(db) {
        db.write_blocking(fill).unwrap();
        // Twice: the second time with prepared statements.
        for _ in 0..2 {
            let plans = db
                .write_blocking(|tx| {
                    tx.explain(|tx| {
                        create(tx, &[new_task(1_000_000)])?;
                        let ids = claim(tx)?;
                        report(tx, &ids)?;
                        upkeep(tx)
                    })
                })
                .unwrap();
            for plan in &plans {
                #[expect(clippy::print_stdout, reason = "whoever works on a plan wants to see it")]
                {
                    println!("{}\n{}\n", plan.statement, plan.plan);
                }
                let scans: Vec<&str> = plan.plan.lines().filter(|step| is_scan(db.dialect(), step)).collect();
                assert!(scans.is_empty(), "{scans:?} in {plan:?}");
            }
            assert!(plans.len() > 12);
            db.write_blocking(|tx| tx.execute("DELETE FROM tasks WHERE id >= $1", &[&Uuid::from_u128(1_000_000)])).unwrap();
        }
    }

    fn lists_find_their_place_in_an_index(db) {
        db.write_blocking(|tx| {
            fill(tx)?;
            // Most have ended, some wait; of each kind a few lack the time that others have.
            let ended = "UPDATE tasks SET status = 'completed', started_at = 5, completed_at = 7 \
                 WHERE id > $1";
            tx.execute(ended, &[&Uuid::from_u128(2_000)])?;
            let strange = "UPDATE tasks SET started_at = NULL, completed_at = NULL WHERE id > $1";
            tx.execute(strange, &[&Uuid::from_u128(19_900)])?;
            let retried = "UPDATE tasks SET status = 'retrying' WHERE id < $1";
            tx.execute(retried, &[&Uuid::from_u128(50)])?;
            while block::count_blocks(tx, Counted::Tasks, "acme")? {}
            tx.execute("ANALYZE", &[])
        })
        .unwrap();
        for list in lists() {
            let query = list.clone();
            let plans = db
                .read_blocking(move |tx| {
                    tx.explain(|tx| list::list_tasks(tx, &query).map(drop))
                })
                .unwrap();
            // Behind the last row nothing is looked for.
            assert!(plans.len() > 1 || list.offset > 0, "{list:?}");
            // A table of two rows is read as a whole.
            let of_rows = |plan: &&colony_store::Plan| {
                plan.statement.contains("ORDER BY") && !plan.statement.contains("ledger_blocks")
            };
            for plan in plans.iter().filter(of_rows) {
                // Few enough to be sorted.
                let sorted = plan.statement.contains("started_at + 0");
                let bad = |step: &&str| {
                    (is_scan(db.dialect(), step) && !sorted) || step.contains("_pkey")
                };
                let bad: Vec<&str> = plan.plan.lines().filter(bad).collect();
                assert!(bad.is_empty(), "{bad:?} for {list:?} in {plan:?}");
            }
        }
    }

    fn a_query_of_run_data_on_sqlite_looks_at_one_index(db) {
        let query = DataQuery {
            filter: DataFilter {
                key_prefixes: Some(vec!["sensor.".to_owned()]),
                tags: Some(vec!["odd".to_owned()]),
                ..DataFilter::default()
            },
            limit: 50,
            ..DataQuery::default()
        };
        let plans = db
            .read_blocking(move |tx| {
                tx.explain(|tx| data::query_data(tx, run_id(), &query).map(drop))
            })
            .unwrap();
        let wanted = match db.dialect() {
            Dialect::Sqlite => "USING COVERING INDEX run_data_key",
            Dialect::Postgres => "run_data_key",
        };
        assert!(plans[0].plan.contains(wanted), "{plans:?}");
    }
}

/// Whether a step of a plan looks at all rows of a table, or sorts them.
fn is_scan(dialect: Dialect, step: &str) -> bool {
    let step = step.trim_start_matches([' ', '-', '>']);
    match dialect {
        // The least entry of an index is its first.
        Dialect::Sqlite => {
            let whole = step.starts_with("SCAN") && !step.contains("USING");
            let made = ["CONSTANT", "SUBQUERY", "VALUES CLAUSE", "SCAN new"]
                .iter()
                .any(|word| step.contains(word));
            (whole && !made && !step.contains("due")) || step.contains("TEMP B-TREE FOR ORDER")
        }
        Dialect::Postgres => step.starts_with("Seq Scan"),
    }
}
