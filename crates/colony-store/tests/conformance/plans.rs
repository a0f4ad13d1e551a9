//! Plans of the hot statements of the work queue and of lists: with tens of thousands of tasks waiting, each
//! statement of a claim and a report finds its rows by an index. `--nocapture` shows the plans.

use colony_core::id::{AttemptRef, Epoch, RunId, TaskId};
use colony_core::ledger::{DataFilter, Marks};
use colony_core::queue_key;
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use colony_store::lease::{self, Holder, Lease};
use colony_store::ledger::block::{self, Counted};
use colony_store::ledger::data::{self, DataQuery};
use colony_store::ledger::list::{self, LedgerList, SortBy};
use colony_store::ledger::run::{self, Growth};
use colony_store::ledger::task::{self, NewTask};
use colony_store::ledger::{RunRow, TaskRow, Waiting};
use colony_store::queue::{self, QueuedTask};
use colony_store::{Dialect, StoreError, Tx, object, timer};
use colony_testkit::{TestStore, both_databases};
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
        input: "{}".into(),
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
    fill_run(tx)?;
    create(tx, &(1..=WAITING).map(new_task).collect::<Vec<_>>())
}

fn fill_run(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let run = RunRow {
        id: run_id(),
        org_id: "acme".to_owned(),
        status: RunStatus::Pending,
        input: "{}".into(),
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
    run::insert_runs(tx, &[run])
}

fn create(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<(), StoreError> {
    run::lock_runs(tx, &[run_id()])?;
    task::insert_tasks(tx, tasks)?;
    let queued: Vec<QueuedTask> = tasks.iter().map(|task| task.row.place()).collect();
    queue::insert(tx, &queued)?;
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
    let front = queue::front(tx, &queue_key::worker("acme", "t"), 3)?;
    let ids: Vec<TaskId> = front.iter().map(|task| task.task_id).collect();
    let rows = task::start_tasks(tx, &ids, NOW)?;
    assert_eq!(rows.len(), 3);
    queue::remove(tx, &front)?;
    let leases = rows.iter().map(|row| Lease {
        attempt: AttemptRef {
            task_id: row.id,
            epoch: row.epoch,
        },
        run_id: row.run_id,
        org_id: row.org_id.clone(),
        of_job: false,
        holder: Holder::worker("w"),
        started_at: NOW,
        expires_at: NOW,
        deadline_at: None,
        stop: false,
    });
    lease::insert(tx, &leases.collect::<Vec<_>>())?;
    Ok(ids)
}

fn report(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<(), StoreError> {
    let locked = task::lock_tasks(tx, ids)?;
    let rows: Vec<TaskRow> = locked.iter().map(|task| task.row.clone()).collect();
    task::update_tasks(tx, &rows)?;
    lease::remove(tx, ids)?;
    run::lock_counters(tx, &[run_id()])?;
    grow(tx)
}

fn upkeep(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    lease::expired(tx, NOW, 256)?;
    lease::overdue(tx, NOW, 256)?;
    timer::due(tx, NOW, 256)?;
    timer::next_due(tx).map(drop)
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

    fn rows_that_name_objects_are_found_by_an_index(db) {
        let keys: Vec<String> = (0..8).map(|number| format!("logs/{number}")).collect();
        db.write_blocking(|tx| {
            // Most logs are in their rows.
            let fill = |text: &str, key: &str| format!(
                "INSERT INTO artifacts (id, org_id, user_id, task_type, kind, name, {text}, \
                 content_type, size_bytes, sha256, artifact_order, artifact_group, deleted, \
                 expires_at, created_at, updated_at) VALUES ($1, 'acme', '', 't', 'LOGS', 'n', \
                 {key}, '', 0, '', 0, '', FALSE, 0, 0, 0)"
            );
            let inline = fill("inline_text", "'x'");
            let stored = fill("object_key", "$2");
            for number in 0..4_000_u128 {
                match number % 4 {
                    0 => tx.execute(&stored, &[&Uuid::from_u128(number), &format!("logs/{number}")])?,
                    _ => tx.execute(&inline, &[&Uuid::from_u128(number)])?,
                };
            }
            tx.execute("ANALYZE", &[])
        })
        .unwrap();
        for _ in 0..2 {
            let keys = keys.clone();
            let plans = db
                .read_blocking(move |tx| {
                    tx.explain(|tx| object::named_objects(tx, &keys).map(drop))
                })
                .unwrap();
            assert!(plans[0].plan.contains("artifacts_object"), "{plans:?}");
        }
    }
}

/// Rows of the work queue that were read by looking at all of a table.
fn rows_scanned(db: &TestStore) -> i64 {
    // What a connection counts is told about once a second, or when it is asked to.
    let tell = |tx: &mut Tx<'_>| tx.query("SELECT pg_stat_force_next_flush()", &[]);
    db.write_blocking(tell).unwrap();
    let sql = "SELECT CAST(SUM(seq_tup_read) AS BIGINT) FROM pg_stat_user_tables
        WHERE relname IN ('tasks', 'queue', 'leases', 'runs')";
    let count = db.write_blocking(move |tx| tx.query_one(sql, &[])?.get::<i64>(0));
    count.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

/// Statements that were prepared when their tables were empty do not read all of them when they have
/// grown, whether the server has looked at them since or not.
#[test]
fn plans_follow_the_growth_of_their_tables() {
    let db = TestStore::postgres("growth");
    let rounds = |numbers: std::ops::Range<u128>| {
        for number in numbers {
            db.write_blocking(move |tx| {
                let three = (0..3).map(|n| new_task(number * 10 + n));
                create(tx, &three.collect::<Vec<_>>())?;
                let ids = claim(tx)?;
                report(tx, &ids)?;
                upkeep(tx)
            })
            .unwrap();
        }
    };
    db.write_blocking(|tx| {
        for table in ["tasks", "queue", "leases", "runs"] {
            tx.execute(
                &format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"),
                &[],
            )?;
        }
        fill_run(tx)
    })
    .unwrap();
    rounds(100_000..100_010);
    let many: Vec<NewTask> = (1..=WAITING).map(new_task).collect();
    db.write_blocking(move |tx| create(tx, &many)).unwrap();
    rounds(200_000..200_040);
    let before = rows_scanned(&db);
    rounds(300_000..300_200);
    let scanned = rows_scanned(&db) - before;
    assert!(scanned < 20_000, "{scanned} rows");
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
