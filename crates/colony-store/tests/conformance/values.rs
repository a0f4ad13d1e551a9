//! Every type goes in and comes out unchanged.

use colony_core::id::{Epoch, RunId};
use colony_core::method::Method;
use colony_core::time::Timestamp;
use colony_store::{Dialect, FromCell, Json, StoreError, ToParam};
use colony_testkit::{TestStore, both_databases};
use serde_json::{Value, json};
use uuid::Uuid;

/// Stores values in a column of a type and reads them back, also as NULL.
fn check<T>(db: &TestStore, sqlite_type: &str, postgres_type: &str, values: Vec<T>)
where
    T: ToParam + for<'r> FromCell<'r> + PartialEq + std::fmt::Debug + Send + 'static,
{
    let column = match db.dialect() {
        Dialect::Sqlite => sqlite_type,
        Dialect::Postgres => postgres_type,
    };
    let make = format!("CREATE TABLE boxed (place BIGINT PRIMARY KEY, value {column})");
    db.write_blocking(move |tx| {
        tx.execute("DROP TABLE IF EXISTS boxed", &[])?;
        tx.execute(&make, &[])?;
        for (place, value) in (0_i64..).zip(&values) {
            let insert = "INSERT INTO boxed (value, place) VALUES ($2, $1)";
            tx.execute(insert, &[&place, value])?;
        }
        let nothing: Option<T> = None;
        tx.execute(
            "INSERT INTO boxed (place, value) VALUES (-1, $1)",
            &[&nothing],
        )?;
        let rows = tx.query("SELECT value FROM boxed ORDER BY place", &[])?;
        assert_eq!(rows.len(), values.len() + 1);
        assert_eq!(rows[0].get::<Option<T>>("value")?, None);
        for (row, value) in rows[1..].iter().zip(&values) {
            assert_eq!(&row.get::<T>(0)?, value);
        }
        Ok::<_, StoreError>(())
    })
    .unwrap();
}

fn uuids() -> [Uuid; 3] {
    [
        Uuid::nil(),
        Uuid::max(),
        Uuid::from_u128(0x0190_b5c0_aa6a_7d0e),
    ]
}

both_databases! {
    fn ids(db) {
        check(&db, "BLOB", "UUID", uuids().map(RunId::new).to_vec());
        check(&db, "BLOB", "UUID", uuids().to_vec());
    }

    fn text(db) {
        let texts = ["", "a", "ünïcödé 🐜", "it's \"quoted\"; $1 -- ?", "\r\n\t"];
        check(&db, "TEXT", "TEXT", texts.map(str::to_owned).to_vec());
    }

    fn integers_times_and_epochs(db) {
        check(&db, "INTEGER", "BIGINT", vec![0_i64, -1, i64::MAX, i64::MIN]);
        check(&db, "INTEGER", "BIGINT", vec![0_u32, u32::MAX]);
        check(&db, "INTEGER", "BIGINT", vec![Timestamp::from_millis(1_754_288_919_123)]);
        check(&db, "INTEGER", "BIGINT", vec![Epoch(7)]);
    }

    fn truth_values(db) {
        check(&db, "INTEGER", "BOOLEAN", vec![true, false]);
    }

    fn doubles(db) {
        check(
            &db,
            "REAL",
            "DOUBLE PRECISION",
            vec![0.0, -1.5, 1.0, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY],
        );
    }

    fn bytes(db) {
        let sixteen = vec![7_u8; 16];
        check(&db, "BLOB", "BYTEA", vec![vec![], vec![0, 255], sixteen, vec![1; 70_000]]);
    }

    fn json_and_its_exact_text(db) {
        let values: Vec<Value> = vec![
            json!(null),
            json!({"b": 1, "a": [true, 1.5, "x\u{0}y"], "long": 9_007_199_254_740_993_i64}),
        ];
        check(&db, "TEXT", "TEXT", values);
        check(&db, "TEXT", "TEXT", vec![Json(vec!["tag".to_owned()])]);
        let exact = r#"{ "b":1.0, "a":"\u0000", "b": 12345678901234567890123 }"#;
        check(&db, "TEXT", "TEXT", vec![exact.to_owned()]);
    }

    fn methods_are_words(db) {
        check(&db, "TEXT", "TEXT", Method::ALL.to_vec());
    }

    /// A parameter may be used often and in any order.
    fn parameters_go_by_their_numbers(db) {
        let sum = db.read_blocking(|tx| {
            tx.query_one(
                "SELECT CAST($2 AS BIGINT) * 10 + CAST($1 AS BIGINT) + CAST($2 AS BIGINT) * 100",
                &[&3_i64, &5_i64],
            )?
            .get::<i64>(0)
        });
        assert_eq!(sum.unwrap(), 553);
    }

    fn a_wrong_number_of_parameters_is_refused(db) {
        for values in [0, 2] {
            let error = db.read_blocking(move |tx| {
                let values = vec![&1_i64 as &dyn ToParam; values];
                tx.query("SELECT CAST($1 AS BIGINT)", &values)
            });
            assert!(matches!(error, Err(StoreError::Parameter { .. })), "{error:?}");
        }
    }

    /// PostgreSQL has no NUL in text and SQLite no NaN: neither is taken on either.
    fn what_one_database_cannot_hold_is_refused_on_both(db) {
        let texts: [&(dyn ToParam + Sync); 2] = [&"a\0b", &f64::NAN];
        for value in texts {
            let error = db.read_blocking(move |tx| {
                tx.query("SELECT CAST($1 AS TEXT)", &[&value.to_param()])
            });
            assert!(matches!(error, Err(StoreError::Parameter { .. })), "{error:?}");
        }
    }

    fn a_value_that_makes_no_sense_names_its_statement_and_column(db) {
        let error = db.read_blocking(|tx| {
            let row = tx.query_one("SELECT 'x' AS color, NULL AS shape", &[])?;
            assert!(row.get::<String>("size").is_err());
            assert!(row.get::<String>(2).is_err());
            assert!(row.get::<String>("shape").is_err());
            row.get::<i64>("color")
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "read column `color` of the statement `SELECT 'x' AS color, NULL AS shape`: \
             expected an integer, found text"
        );
    }

    /// `LIKE` minds letter case and text sorts by its bytes.
    fn text_compares_alike(db) {
        db.write_blocking(|tx| {
            for name in ["b", "B", "a", "ä", "_"] {
                tx.execute(
                    "INSERT INTO settings (name, value) VALUES ($1, $1)", &[&name],
                )?;
            }
            let rows = tx.query("SELECT name FROM settings ORDER BY name", &[])?;
            let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
            assert_eq!(names, ["B", "_", "a", "b", "ä"]);
            let rows = tx.query("SELECT name FROM settings WHERE name LIKE 'B%'", &[])?;
            assert_eq!(rows.len(), 1);
            Ok::<_, StoreError>(())
        })
        .unwrap();
    }
}
