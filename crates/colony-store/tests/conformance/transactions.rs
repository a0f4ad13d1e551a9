//! What a transaction keeps, and who learns of it when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use colony_store::StoreError;
use colony_testkit::{block_on, both_databases};

use crate::{add_item, item_names, make_items};

#[derive(Debug, PartialEq)]
enum Refusal {
    Store(String),
    Mine,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

both_databases! {
    /// One failing closure among many does not hurt its neighbours, and each answer is its own.
    fn a_failing_closure_is_rolled_back_alone(db) {
        make_items(&db);
        block_on(async {
            let tasks: Vec<_> = (0..200_i64)
                .map(|number| {
                    let store = db.clone();
                    tokio::spawn(async move {
                        store
                            .write(move |tx| {
                                add_item(tx, &format!("{number:03}"), number)?;
                                if number % 3 == 0 { Err(Refusal::Mine) } else { Ok(number) }
                            })
                            .await
                    })
                })
                .collect();
            for (number, task) in (0_i64..).zip(tasks) {
                let expected = if number % 3 == 0 { Err(Refusal::Mine) } else { Ok(number) };
                assert_eq!(task.await.unwrap(), expected);
            }
        });
        let expected: Vec<String> =
            (0..200).filter(|n| n % 3 != 0).map(|n| format!("{n:03}")).collect();
        assert_eq!(item_names(&db), expected);
    }

    /// When a write is answered, a read that starts then sees it.
    fn an_answer_comes_after_the_commit(db) {
        make_items(&db);
        block_on(async {
            let tasks: Vec<_> = (0..50_i64)
                .map(|number| {
                    let store = db.clone();
                    tokio::spawn(async move {
                        let name = number.to_string();
                        let key = name.clone();
                        store.write(move |tx| add_item(tx, &name, number)).await?;
                        store
                            .read(move |tx| {
                                tx.query_one("SELECT number FROM items WHERE name = $1", &[&key])?
                                    .get::<i64>(0)
                            })
                            .await
                    })
                })
                .collect();
            for (number, task) in (0_i64..).zip(tasks) {
                assert_eq!(task.await.unwrap().unwrap(), number);
            }
        });
    }

    /// Concurrent callers that all change one row lose nothing.
    fn many_callers_lose_nothing(db) {
        make_items(&db);
        db.write_blocking(|tx| add_item(tx, "sum", 0)).unwrap();
        block_on(async {
            let tasks: Vec<_> = (0..300)
                .map(|_| {
                    let store = db.clone();
                    tokio::spawn(async move {
                        store
                            .write(|tx| {
                                tx.execute(
                                    "UPDATE items SET number = number + 1 WHERE name = 'sum'",
                                    &[],
                                )
                            })
                            .await
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap().unwrap(), 1);
            }
        });
        let sum = db.read_blocking(|tx| {
            tx.query_one("SELECT number FROM items", &[])?.get::<i64>(0)
        });
        assert_eq!(sum.unwrap(), 300);
    }

    fn a_panic_is_an_error_and_the_store_lives_on(db) {
        make_items(&db);
        let error = db
            .write_blocking(|tx| -> Result<(), StoreError> {
                add_item(tx, "half-done", 1)?;
                panic!("told to {}", "fall");
            })
            .unwrap_err();
        assert!(matches!(&error, StoreError::Panicked(text) if text == "told to fall"));
        db.write_blocking(|tx| add_item(tx, "after", 2)).unwrap();
        assert_eq!(item_names(&db), ["after"]);
    }

    /// A statement that fails ends the transaction, even when the closure goes on as if it had not.
    fn a_swallowed_error_commits_nothing(db) {
        make_items(&db);
        let result = db.write_blocking(|tx| {
            add_item(tx, "twice", 1)?;
            let again = add_item(tx, "twice", 2);
            assert!(matches!(again, Err(StoreError::Rule { .. })), "{again:?}");
            let later = add_item(tx, "later", 3);
            assert!(matches!(later, Err(StoreError::TransactionFailed)), "{later:?}");
            Ok::<_, StoreError>(())
        });
        assert!(matches!(result, Err(StoreError::TransactionFailed)), "{result:?}");
        assert!(item_names(&db).is_empty());
    }

    fn reading_changes_nothing(db) {
        make_items(&db);
        let result = db.read_blocking(|tx| add_item(tx, "x", 1));
        assert!(matches!(result, Err(StoreError::Statement { .. })), "{result:?}");
        assert!(item_names(&db).is_empty());
    }

    /// All statements of one read see the same state, whatever is written meanwhile.
    fn a_read_sees_one_state(db) {
        make_items(&db);
        let store = db.clone();
        let counts = db.read_blocking(move |tx| {
            let count = "SELECT COUNT(*) FROM items";
            let before = tx.query_one(count, &[])?.get::<i64>(0)?;
            let name = format!("written meanwhile {before}");
            store.write_blocking(move |tx| add_item(tx, &name, 1))?;
            Ok::<_, StoreError>((before, tx.query_one(count, &[])?.get::<i64>(0)?))
        });
        assert_eq!(counts.unwrap(), (0, 0));
        assert_eq!(item_names(&db).len(), 1);
    }

    fn data_outlives_the_store(mut db) {
        make_items(&db);
        db.write_blocking(|tx| add_item(tx, "kept", 1)).unwrap();
        db.reopen();
        assert_eq!(item_names(&db), ["kept"]);
    }

    /// Dropping the last handle runs what waits, then ends the threads.
    fn waiting_closures_run_before_the_store_closes(mut db) {
        make_items(&db);
        let runs = Arc::new(AtomicU32::new(0));
        block_on(async {
            for number in 0..100_i64 {
                let (store, runs) = (db.clone(), Arc::clone(&runs));
                let write = store.write(move |tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    add_item(tx, &number.to_string(), number)
                });
                // Given up at once, but already in the queue.
                tokio::select! {
                    biased;
                    _ = write => {}
                    () = std::future::ready(()) => {}
                }
            }
        });
        db.reopen();
        assert_eq!(item_names(&db).len(), 100);
        assert_eq!(runs.load(Ordering::Relaxed), 100);
    }

    fn an_idle_store_runs_nothing(db) {
        make_items(&db);
        let before = db.stats();
        assert!(before.statements > 0 && before.closures > 0 && before.commits > 0);
        db.read_blocking(|_| Ok::<_, StoreError>(())).unwrap();
        let after = db.stats();
        assert_eq!(after.statements, before.statements);
        assert_eq!(after.closures, before.closures + 1);
    }
}
