//! Group commit: what waits together is committed together.

use std::sync::mpsc;

use colony_store::{Store, StoreError, Tx, params};
use colony_testkit::{TestStore, block_on, both_databases};

use crate::{add_item, item_names, make_items};

/// Puts closures behind one that blocks the writer, so that they form one group; returns their
/// results.
pub(crate) fn write_together<F>(db: &TestStore, closures: Vec<F>) -> Vec<Result<(), StoreError>>
where
    F: FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
{
    let (release, released) = mpsc::channel::<()>();
    block_on(async {
        let store = Store::clone(db);
        let (started, starts) = mpsc::channel();
        let blocker = tokio::task::spawn_blocking(move || {
            store.write_blocking(move |_| {
                started.send(()).unwrap();
                released.recv().unwrap();
                Ok::<_, StoreError>(())
            })
        });
        starts.recv().unwrap();
        let mut waiting = Vec::new();
        for closure in closures {
            let mut write = Box::pin({
                let store = Store::clone(db);
                async move { store.write(closure).await }
            });
            // One poll puts it into the queue, in order.
            tokio::select! {
                biased;
                _ = &mut write => panic!("answered before its commit"),
                () = std::future::ready(()) => {}
            }
            waiting.push(write);
        }
        release.send(()).unwrap();
        blocker.await.unwrap().unwrap();
        let mut results = Vec::new();
        for write in waiting {
            results.push(write.await);
        }
        results
    })
}

fn send_item(tx: &mut Tx<'_>, name: &str, number: i64) -> Result<(), StoreError> {
    tx.send(
        "INSERT INTO items (name, number) VALUES ($1, $2)",
        &[&name, &number],
    )
}

both_databases! {
    fn waiting_closures_share_one_commit(db) {
        make_items(&db);
        let before = db.stats().commits;
        let closures = (0..100).map(|n: i64| move |tx: &mut Tx<'_>| add_item(tx, &n.to_string(), n));
        let results = write_together(&db, closures.collect());
        assert!(results.iter().all(Result::is_ok));
        // The one that blocked, and the group.
        assert_eq!(db.stats().commits - before, 2);
        assert_eq!(item_names(&db).len(), 100);
    }

    /// The second of three panics after writing, the third fails on a rule.
    fn a_group_goes_on_after_failures_within(db) {
        make_items(&db);
        let closures = ["a", "panics", "a", "b"].map(|name: &'static str| {
            move |tx: &mut Tx<'_>| {
                add_item(tx, name, 1)?;
                assert!(name != "panics", "as told");
                Ok(())
            }
        });
        let results = write_together(&db, closures.into());
        assert!(matches!(
            results[..],
            [
                Ok(()),
                Err(StoreError::Panicked(_)),
                Err(StoreError::Rule { .. }),
                Ok(())
            ]
        ));
        assert_eq!(item_names(&db), ["a", "b"]);
    }

    /// Nobody waits for the answer to a statement that is sent, but its refusal is the closure's:
    /// as the last statement, before another one, and when the closure runs alone.
    fn what_is_sent_and_refused_fails_its_closure(db) {
        make_items(&db);
        let send = |tx: &mut Tx<'_>, name: &str| {
            let sql = "INSERT INTO items (name, number) VALUES {rows: text, int}";
            tx.send_rows(sql, &[], &[name], |name| params![*name, &1_i64])
        };
        let last = move |tx: &mut Tx<'_>| send(tx, "a");
        let before = move |tx: &mut Tx<'_>| {
            send(tx, "b")?;
            send(tx, "a")?;
            add_item(tx, "c", 1)
        };
        type Closure = Box<dyn FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send>;
        let closures: Vec<Closure> = vec![Box::new(last), Box::new(last), Box::new(before), Box::new(move |tx| send(tx, "d"))];
        let results = write_together(&db, closures);
        assert!(matches!(
            results[..],
            [Ok(()), Err(StoreError::Rule { .. }), Err(StoreError::Rule { .. }), Ok(())]
        ), "{results:?}");
        assert_eq!(item_names(&db), ["a", "d"]);
        for alone in [Box::new(last) as Closure, Box::new(before)] {
            let result = db.write_blocking(alone);
            assert!(matches!(result, Err(StoreError::Rule { .. })), "{result:?}");
        }
        // Seen by what follows in the same closure.
        let seen = db.write_blocking(move |tx| {
            send(tx, "e")?;
            Ok::<_, StoreError>(tx.query("SELECT name FROM items", &[])?.len())
        });
        assert_eq!(seen.unwrap(), 3);
    }

    /// A deferred rule is checked at the commit, which is everyone's. Only the guilty one fails.
    fn a_refused_commit_hurts_only_the_guilty(db) {
        make_items(&db);
        db.write_blocking(|tx| {
            tx.execute(
                "CREATE TABLE parts (item TEXT REFERENCES items DEFERRABLE INITIALLY DEFERRED)",
                &[],
            )
        })
        .unwrap();
        let closures = ["good", "orphan", "better"].map(|name: &'static str| {
            move |tx: &mut Tx<'_>| {
                tx.execute("INSERT INTO parts (item) VALUES ($1)", &[&name])?;
                if name == "orphan" {
                    Ok(())
                } else {
                    add_item(tx, name, 1)
                }
            }
        });
        let results = write_together(&db, closures.into());
        assert!(matches!(
            results[..],
            [
                Ok(()),
                Err(StoreError::Transaction { step: "commit", .. }),
                Ok(())
            ]
        ));
        assert_eq!(item_names(&db), ["better", "good"]);
    }

    /// A statement that cannot even be prepared undoes its own closure and no other, also when its
    /// savepoint has not been sent yet.
    fn a_malformed_statement_hurts_no_neighbor(db) {
        make_items(&db);
        let closures = ["a", "malformed", "b", "unused", "c"].map(|name: &'static str| {
            move |tx: &mut Tx<'_>| match name {
                "malformed" => tx.execute("INSERT INTO nowhere VALUES (1)", &[]).map(drop),
                "unused" => tx.execute("DELETE FROM items", &[&1_i64]).map(drop),
                name => add_item(tx, name, 1),
            }
        });
        let results = write_together(&db, closures.into());
        assert!(matches!(
            results[..],
            [
                Ok(()),
                Err(StoreError::Statement { .. }),
                Ok(()),
                Err(StoreError::Parameter { .. }),
                Ok(())
            ]
        ));
        assert_eq!(item_names(&db), ["a", "b", "c"]);
    }

    /// What is sent without waiting is there for the statement that follows, in order.
    fn what_was_sent_comes_before_what_is_asked(db) {
        make_items(&db);
        let closures = (0..20).map(|n: i64| {
            move |tx: &mut Tx<'_>| {
                send_item(tx, &n.to_string(), 0)?;
                tx.send("UPDATE items SET number = $2 WHERE name = $1", &[&n.to_string(), &n])?;
                let row = tx.query_one("SELECT number FROM items WHERE name = $1", &[&n.to_string()])?;
                assert_eq!(row.get::<i64>(0)?, n);
                send_item(tx, &format!("{n} again"), n)
            }
        });
        let results = write_together(&db, closures.collect());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(item_names(&db).len(), 40);
    }

    /// The refusal comes late: with the next question, or at the end. Neighbours are not hurt, and
    /// nothing of the guilty closure stays.
    fn a_refusal_of_what_was_sent_fails_its_closure_alone(db) {
        make_items(&db);
        let closures = (0..20).map(|n: i64| {
            move |tx: &mut Tx<'_>| {
                send_item(tx, &format!("{n} first"), n)?;
                if n % 5 == 1 {
                    send_item(tx, &format!("{n} first"), n)?;
                }
                if n % 5 == 2 {
                    send_item(tx, &format!("{n} first"), n)?;
                    tx.query("SELECT name FROM items", &[])?;
                }
                send_item(tx, &format!("{n} last"), n)
            }
        });
        let results = write_together(&db, closures.collect());
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), n % 5 == 1 || n % 5 == 2, "{n}: {result:?}");
        }
        assert_eq!(item_names(&db).len(), 24);
    }

    /// More than one message's worth.
    fn much_can_be_sent_at_once(db) {
        make_items(&db);
        db.write_blocking(|tx| {
            for n in 0..1000_i64 {
                send_item(tx, &format!("{n:04}"), n)?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
        assert_eq!(item_names(&db).len(), 1000);
    }
}
