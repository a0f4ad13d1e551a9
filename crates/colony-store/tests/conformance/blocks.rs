//! Far pages of long lists: stretches of ids with counted rows equal the rows, whatever changes
//! them, and pages found by them are those of a plain sort.

use colony_store::ledger::block::{self, Counted};
use colony_store::ledger::list::{self, LedgerList};
use colony_store::{Dialect, StoreError, Tx};
use colony_testkit::{TestStore, both_databases};
use uuid::Uuid;

const STATUSES: [&str; 7] = [
    "cancelled",
    "completed",
    "failed",
    "pending",
    "queued",
    "retrying",
    "running",
];

/// Ids have room between them.
const STEP: i64 = 16;

/// Writes rows of two organizations, `first..first + count`, with all statuses.
fn insert(tx: &mut Tx<'_>, first: i64, count: i64) -> Result<(), StoreError> {
    let numbers = match tx.dialect() {
        Dialect::Sqlite => {
            "WITH RECURSIVE numbers (n) AS \
             (SELECT $1 UNION ALL SELECT n + $3 FROM numbers WHERE n + $3 < $2)"
        }
        Dialect::Postgres => {
            "WITH numbers (n) AS (SELECT generate_series(CAST($1 AS BIGINT), \
             CAST($2 AS BIGINT) - 1, CAST($3 AS BIGINT)))"
        }
    };
    let id = match tx.dialect() {
        Dialect::Sqlite => "unhex(printf('%032x', n))",
        Dialect::Postgres => "CAST(lpad(to_hex(n), 32, '0') AS UUID)",
    };
    let status = |of_runs: bool| {
        let words = STATUSES.iter().enumerate().map(|(n, status)| match status {
            &("queued" | "retrying") if of_runs => format!("WHEN {n} THEN 'pending' "),
            status => format!("WHEN {n} THEN '{status}' "),
        });
        let words = words.collect::<String>();
        format!("CASE n / 16 * 7919 % 23 {words}ELSE 'completed' END")
    };
    let (of_runs, of_tasks) = (status(true), status(false));
    let org = "CASE WHEN n / 16 % 5 = 1 THEN 'other' ELSE 'acme' END";
    for columns in [
        format!(
            "INSERT INTO runs (id, total_tasks, completed_tasks, failed_tasks, org_id, status, \
             input, created_at, updated_at) SELECT {id}, 0, 0, 0, {org}, {of_runs}, '{{}}', n, n \
             FROM numbers"
        ),
        format!(
            "INSERT INTO tasks (id, run_id, type, retry_count, max_retries, epoch, org_id, \
             status, input, created_at, updated_at) SELECT {id}, {id}, 't', 0, 3, 0, {org}, \
             {of_tasks}, '{{}}', n, n FROM numbers"
        ),
    ] {
        let sql = format!("{numbers} {columns}");
        tx.execute(&sql, &[&first, &(first + count * STEP), &STEP])?;
    }
    Ok(())
}

fn count_all(db: &TestStore) {
    for counted in [Counted::Runs, Counted::Tasks] {
        for org in ["acme", "other"] {
            while db
                .write_blocking(move |tx| block::count_blocks(tx, counted, org))
                .unwrap()
            {}
        }
    }
}

/// Ends of stretches of an organization's rows, with the rows of each status that are kept for
/// them and those that are there.
fn check_blocks(tx: &mut Tx<'_>, table: &str, org: &str) -> Result<usize, StoreError> {
    let sums = STATUSES.map(|status| format!("CAST(SUM({status}) AS BIGINT)"));
    let sql = format!(
        "SELECT last_id, {} FROM ledger_blocks WHERE org_id = $1 AND kind = $2 \
         GROUP BY last_id ORDER BY last_id",
        sums.join(", ")
    );
    let blocks = tx.query(&sql, &[&org, &table])?;
    let mut after = Uuid::nil();
    for row in &blocks {
        let last: Uuid = row.get(0)?;
        for (index, status) in STATUSES.iter().enumerate() {
            let sql = format!(
                "SELECT COUNT(*) FROM {table} WHERE org_id = $1 AND status = $2 AND id > $3 \
                 AND id <= $4"
            );
            let found: i64 = tx.query_one(&sql, &[&org, status, &after, &last])?.get(0)?;
            assert_eq!(
                row.get::<i64>(index + 1)?,
                found,
                "{table} {org} {status} {last}"
            );
        }
        after = last;
    }
    Ok(blocks.len())
}

/// Pages all over a list, against a plain sort.
fn check_pages(db: &TestStore, table: &'static str) {
    for status in [None, Some("completed"), Some("failed"), Some("pending")] {
        let condition = status.map_or(String::new(), |word| format!("AND status = '{word}'"));
        let sql = format!("SELECT id FROM {table} WHERE org_id = 'acme' {condition} ORDER BY id");
        let ids: Vec<Uuid> = db
            .read_blocking(move |tx| {
                let rows = tx.query(&sql, &[])?;
                rows.iter()
                    .map(|row| row.get(0))
                    .collect::<Result<_, StoreError>>()
            })
            .unwrap();
        let places = (0..=20).map(|n| ids.len() * n / 20);
        for (place, ascending) in places.flat_map(|place| [(place, true), (place, false)]) {
            let list = LedgerList {
                org_id: "acme".to_owned(),
                status: status.map(str::to_owned),
                ascending,
                offset: i64::try_from(place).unwrap(),
                limit: 7,
                ..LedgerList::default()
            };
            let mut wanted: Vec<Uuid> = ids.clone();
            if !ascending {
                wanted.reverse();
            }
            let wanted: Vec<Uuid> = wanted.into_iter().skip(place).take(7).collect();
            let found = db
                .read_blocking(move |tx| match table {
                    "runs" => list::list_runs(tx, &list).map(|page| {
                        let ids = page.rows.iter().map(|row| row.id.uuid());
                        (ids.collect::<Vec<_>>(), page.total)
                    }),
                    _ => list::list_tasks(tx, &list).map(|page| {
                        let ids = page.rows.iter().map(|row| row.id.uuid());
                        (ids.collect(), page.total)
                    }),
                })
                .unwrap();
            assert_eq!(
                found,
                (wanted, ids.len() as u64),
                "{table} {status:?} {place}"
            );
        }
    }
}

fn check(db: &TestStore) -> usize {
    let blocks = db
        .read_blocking(|tx| {
            let mut blocks = 0;
            for table in ["runs", "tasks"] {
                for org in ["acme", "other"] {
                    blocks += check_blocks(tx, table, org)?;
                }
            }
            Ok::<_, StoreError>(blocks)
        })
        .unwrap();
    check_pages(db, "runs");
    check_pages(db, "tasks");
    blocks
}

/// Changes of rows wherever they are.
const CHANGES: [&str; 8] = [
    "UPDATE tasks SET status = 'failed' WHERE created_at % 7 = 3",
    "UPDATE runs SET status = 'completed', total_tasks = 4 WHERE created_at % 11 = 3",
    // To and fro, so that totals stay as they are.
    "UPDATE tasks SET status = CASE status WHEN 'failed' THEN 'completed' ELSE 'failed' END \
     WHERE status IN ('failed', 'completed') AND created_at % 3 = 1",
    "UPDATE tasks SET metadata = '{}' WHERE created_at < 9000",
    "DELETE FROM tasks WHERE created_at % 13 = 5",
    "DELETE FROM runs WHERE created_at % 97 = 5",
    "UPDATE tasks SET status = 'pending' WHERE created_at BETWEEN 4000 AND 64000",
    "DELETE FROM tasks WHERE created_at BETWEEN 30000 AND 70000",
];

both_databases! {
    fn counted_stretches_equal_their_rows_and_pages_a_plain_sort(db) {
        db.write_blocking(|tx| insert(tx, 16, 24_000)).unwrap();
        assert_eq!(check(&db), 0);
        count_all(&db);
        // Of the larger organization; the other one is too small.
        let counted = check(&db);
        assert_eq!(counted, 4);
        for change in CHANGES {
            db.write_blocking(move |tx| tx.execute(change, &[])).unwrap();
            check(&db);
        }
        // Rows between others, and behind all.
        db.write_blocking(|tx| insert(tx, 20, 3000)).unwrap();
        check(&db);
        db.write_blocking(|tx| insert(tx, 16 * 24_001, 12_000)).unwrap();
        count_all(&db);
        assert!(check(&db) > counted);
    }

    fn what_is_rolled_back_is_not_counted(db) {
        db.write_blocking(|tx| insert(tx, 16, 17_000)).unwrap();
        count_all(&db);
        let failed = db.write_blocking(|tx| {
            tx.execute("UPDATE tasks SET status = 'failed'", &[])?;
            Err::<(), _>(StoreError::TransactionFailed)
        });
        assert!(failed.is_err());
        assert_eq!(check(&db), 2);
    }

    fn many_writers_beside_the_count_are_all_counted(db) {
        db.write_blocking(|tx| insert(tx, 16, 24_000)).unwrap();
        std::thread::scope(|scope| {
            for part in 0..4_i64 {
                let db = &db;
                scope.spawn(move || {
                    for n in 0..60_i64 {
                        let sql = "UPDATE tasks SET status = 'running' \
                             WHERE created_at BETWEEN $1 AND $2";
                        let first = (n * 4 + part) * 1000;
                        db.write_blocking(move |tx| tx.execute(sql, &[&first, &(first + 90)]))
                            .unwrap();
                    }
                });
            }
            scope.spawn(|| count_all(&db));
        });
        count_all(&db);
        assert!(check(&db) >= 4);
    }
}
