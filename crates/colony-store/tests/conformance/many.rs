//! Many values in one statement.

use colony_core::id::RunId;
use colony_store::{Dialect, StoreError, params};
use colony_testkit::{TestStore, both_databases};
use uuid::Uuid;

fn make_runs(db: &TestStore) {
    let id = match db.dialect() {
        Dialect::Sqlite => "BLOB",
        Dialect::Postgres => "UUID",
    };
    let make = format!("CREATE TABLE runs_of_test (id {id} PRIMARY KEY, state TEXT, place BIGINT)");
    db.write_blocking(move |tx| tx.execute(&make, &[])).unwrap();
}

fn runs(count: u128) -> Vec<RunId> {
    (1..=count)
        .map(|n| RunId::new(Uuid::from_u128(n)))
        .collect()
}

both_databases! {
    fn rows_of_any_number_are_inserted(db) {
        make_runs(&db);
        for count in [0, 1, 2, 3, 255, 256, 257, 1000] {
            let ids = runs(count);
            db.write_blocking(move |tx| {
                tx.execute("DELETE FROM runs_of_test", &[])?;
                let sql = "INSERT INTO runs_of_test (id, state) VALUES {rows: id, text} ON CONFLICT DO NOTHING";
                let inserted = tx.execute_rows(sql, &[], &ids, |id| params![id, "NEW"])?;
                assert_eq!(u128::from(inserted), count);
                let again = tx.execute_rows(sql, &[], &ids, |id| params![id, "NEW"])?;
                assert_eq!(again, 0);
                Ok::<_, StoreError>(())
            })
            .unwrap();
        }
    }

    fn rows_update_by_key_and_come_back(db) {
        make_runs(&db);
        let ids = runs(300);
        db.write_blocking(move |tx| {
            tx.execute_rows(
                "INSERT INTO runs_of_test (id, state, place) VALUES {rows: id, text, int}",
                &[],
                &ids,
                |id| params![id, "NEW", &Some(0_i64)],
            )?;
            let rows = tx.query_rows(
                "WITH new (id, state) AS (VALUES {rows: id, text})
                 UPDATE runs_of_test SET state = new.state, place = $1 FROM new
                 WHERE runs_of_test.id = new.id RETURNING runs_of_test.id, place",
                &[&9_i64],
                &ids[..77],
                |id| params![id, "DONE"],
            )?;
            assert_eq!(rows.len(), 77);
            assert_eq!(rows[0].get::<i64>("place")?, 9);
            let sql = "SELECT id FROM runs_of_test WHERE id IN ({list}) AND state = $1";
            assert_eq!(tx.query_list(sql, &[&"DONE"], &ids)?.len(), 77);
            assert_eq!(tx.query_list(sql, &[&"DONE"], &ids[..0])?.len(), 0);
            assert_eq!(tx.query_list(sql, &[&"DONE"], &ids[70..80])?.len(), 7);
            let sql = "DELETE FROM runs_of_test WHERE id IN ({list})";
            assert_eq!(tx.execute_list(sql, &[], &ids[..299])?, 299);
            Ok::<_, StoreError>(())
        })
        .unwrap();
    }

    fn few_statements_serve_all_rows(db) {
        make_runs(&db);
        let ids = runs(511);
        let before = db.stats().statements;
        db.write_blocking(move |tx| {
            tx.execute_rows(
                "INSERT INTO runs_of_test (id, state) VALUES {rows: id, text}", &[], &ids,
                |id| params![id, "NEW"],
            )
        })
        .unwrap();
        // On SQLite one for each number of rows in it: 16, 8, 4, 2 and 1.
        let expected = match db.dialect() {
            Dialect::Sqlite => 5,
            Dialect::Postgres => 1,
        };
        assert_eq!(db.stats().statements - before, expected);
    }
}
