//! Free text is looked for in the latest requests, whatever an organization has kept.

use colony_core::id::RequestId;
use colony_store::{Compare, Dialect, Filter, ListError, ListQuery, StoreError, Tx, request};
use colony_testkit::{TestStore, both_databases};
use uuid::Uuid;

/// More than are looked through.
const MANY: u32 = 100_010;

/// Requests of number 1 to `count`, the later number changed later; all but every tenth completed.
fn fill(tx: &mut Tx<'_>, count: u32) -> Result<(), StoreError> {
    let (definition, series, id) = match tx.dialect() {
        Dialect::Sqlite => (
            "x'00000000000000000000000000000001'",
            format!(
                "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {count}) \
                 SELECT i FROM s"
            ),
            "unhex(printf('%032x', i))",
        ),
        Dialect::Postgres => (
            "'00000000-0000-0000-0000-000000000001'",
            format!("SELECT generate_series(1, {count}) AS i"),
            "lpad(to_hex(i), 32, '0')::uuid",
        ),
    };
    tx.execute(
        "INSERT INTO organizations (id, name, created_at) VALUES ('acme', 'acme', 0)",
        &[],
    )?;
    let sql = format!(
        "INSERT INTO definitions VALUES ({definition}, 'acme', '', 'report', 1, '', '', '', '', \
         '', '', '', '', FALSE, 1, TRUE, FALSE, FALSE, 0, 0, NULL)"
    );
    tx.execute(&sql, &[])?;
    let sql = format!(
        "INSERT INTO requests (id, org_id, user_id, schedule_key, definition_id, job_type, \
         job_version, job_state, eligible, job_priority, description, platform, job_group, \
         timeout_ms, schedule_attempts, retried, paused_count, cron_triggered, hard_restart, \
         cascade_cancel, error_code, error_message, current_task, params, quick_search, \
         scheduled_at, created_at, updated_at, ended_at) \
         SELECT {id}, 'acme', '', 'k', {definition}, 'report', '', \
         CASE WHEN i % 10 = 0 THEN 'PENDING' ELSE 'COMPLETED' END, FALSE, 0, 'number ' || i, '', \
         '', 0, 0, 0, 0, FALSE, FALSE, FALSE, '', '', '', '{{}}', 'number ' || i || ';', i, i, i, \
         CASE WHEN i % 10 = 0 THEN NULL ELSE i END FROM ({series}) AS s"
    );
    tx.execute(&sql, &[]).map(drop)
}

struct Found {
    numbers: Vec<u128>,
    total: u64,
}

fn find(db: &TestStore, text: &str, change: impl Fn(&mut ListQuery)) -> Found {
    let mut query = ListQuery {
        org_id: Some("acme".to_owned()),
        search: Some(text.to_owned()),
        order: vec![("updated_at".to_owned(), true)],
        page_size: 3,
        ..ListQuery::default()
    };
    change(&mut query);
    let page = db
        .read_blocking(move |tx| request::list_requests(tx, &query).map_err(store_error))
        .unwrap();
    let number = |id: RequestId| id.uuid().as_u128();
    Found {
        numbers: page.rows.iter().map(|row| number(row.id)).collect(),
        total: page.total,
    }
}

fn only(field: &str, value: &str) -> impl Fn(&mut ListQuery) {
    move |query| {
        query.filters.push(Filter {
            field: field.to_owned(),
            compare: Compare::Equal,
            value: value.to_owned(),
        });
    }
}

fn store_error(error: ListError) -> StoreError {
    match error {
        ListError::Store(error) => error,
        ListError::Invalid(message) => panic!("{message}"),
    }
}

both_databases! {
    fn text_is_looked_for_in_the_latest_requests(db) {
        db.write_blocking(|tx| fill(tx, MANY)).unwrap();
        let all = find(&db, "number", |_| {});
        assert_eq!((all.numbers, all.total), (vec![100_010, 100_009, 100_008], 100_000));
        for (number, total) in [(100_010, 1), (11, 1), (10, 0)] {
            assert_eq!(find(&db, &format!(" {number};"), |_| {}).total, total, "{number}");
        }
        // Among those that a filter leaves there are fewer.
        let found = find(&db, " 10;", only("job_state", "PENDING"));
        assert_eq!((found.numbers, found.total), (vec![10], 1));
        assert_eq!(find(&db, " 11;", only("job_state", "PENDING")).total, 0);
        // An id is found however old it is, and so is what names it.
        let first = Uuid::from_u128(1).to_string();
        let named = "UPDATE requests SET quick_search = $1 WHERE id = $2";
        let naming = format!("parent={first}");
        db.write_blocking(move |tx| tx.execute(named, &[&naming, &Uuid::from_u128(100_007)]))
            .unwrap();
        let found = find(&db, &first, |_| {});
        assert_eq!((found.numbers, found.total), (vec![100_007, 1], 2));
        let found = find(&db, &first, only("job_state", "PENDING"));
        assert_eq!(found.total, 0, "a filter holds for ids, too");
    }

    fn totals_are_right_on_every_page(db) {
        db.write_blocking(|tx| fill(tx, 20)).unwrap();
        // 1, 10 to 19.
        let pages: Vec<Found> = (0..6)
            .map(|page| find(&db, "number 1", |query| query.page = page))
            .collect();
        let sizes: Vec<usize> = pages.iter().map(|found| found.numbers.len()).collect();
        assert_eq!(sizes, [3, 3, 3, 2, 0, 0]);
        assert!(pages.iter().all(|found| found.total == 11));
        assert_eq!(pages[3].numbers, [10, 1]);
        let full = find(&db, "number 1", |query| query.page_size = 11);
        assert_eq!((full.numbers.len(), full.total), (11, 11));
        let none = find(&db, "zebra", |_| {});
        assert_eq!((none.numbers.len(), none.total), (0, 0));
    }

    /// Once for the border, once for the page: a text that few requests hold is not counted.
    fn requests_are_looked_through_once(db) {
        db.write_blocking(|tx| fill(tx, 2_000)).unwrap();
        let plans = db
            .read_blocking(move |tx| {
                tx.explain(|tx| {
                    let query = ListQuery {
                        org_id: Some("acme".to_owned()),
                        search: Some("zebra".to_owned()),
                        order: vec![("updated_at".to_owned(), true)],
                        page_size: 200,
                        ..ListQuery::default()
                    };
                    request::list_requests(tx, &query).map(drop).map_err(store_error)
                })
            })
            .unwrap();
        assert_eq!(plans.len(), 2, "{plans:?}");
        if db.dialect() == Dialect::Sqlite {
            let index = "USING INDEX requests_updated (org_id=? AND updated_at>?)";
            assert!(plans[1].plan.contains(index), "{plans:?}");
            assert!(plans[0].plan.contains("USING COVERING INDEX requests_updated"), "{plans:?}");
        }
    }
}
