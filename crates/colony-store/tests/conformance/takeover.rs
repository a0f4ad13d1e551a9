//! What another queen has taken over is not written any more: the fence of PostgreSQL.

use std::time::{Duration, Instant};

use colony_store::{Store, StoreConfig, StoreError, Tx};
use colony_testkit::{TestProxy, TestStore, Wire, block_on};

use crate::groups::write_together;
use crate::{add_item, item_names, make_items};

const PATIENCE: Duration = Duration::from_secs(30);

fn exclusive(config: &StoreConfig) -> StoreConfig {
    StoreConfig {
        exclusive: true,
        ..config.clone()
    }
}

fn taken_over(store: &Store) -> String {
    block_on(async {
        let reason = tokio::time::timeout(PATIENCE, store.taken_over()).await;
        reason.expect("the store hears that it was taken over")
    })
}

/// The connection that holds the lock is cut, and another store takes it before it is back: from
/// then on the first writes nothing, although its other connections are whole.
#[test]
fn a_store_that_lost_its_lock_to_another_writes_nothing_more() {
    let mut db = TestStore::postgres("takeover");
    make_items(&db);
    let direct = exclusive(db.config());
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let first = Store::open(&exclusive(&StoreConfig::postgres(url))).unwrap();
    first
        .write_blocking(|tx| add_item(tx, "before", 0))
        .unwrap();

    proxy.set(Wire::Closed);
    proxy.cut_first();
    let second = Store::open(&direct).unwrap();
    let closures = ["a", "b", "c"].map(|name| move |tx: &mut Tx<'_>| add_item(tx, name, 1));
    let results = write_together_on(&first, closures.into());
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(StoreError::TakenOver))),
        "{results:?}"
    );
    assert!(!taken_over(&first).is_empty());
    second
        .write_blocking(|tx| add_item(tx, "after", 0))
        .unwrap();
    assert_eq!(item_names(&db), ["after", "before"]);
}

/// A group whose first one blocks the writer, on a store that is not a [`TestStore`].
fn write_together_on<F>(store: &Store, closures: Vec<F>) -> Vec<Result<(), StoreError>>
where
    F: FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
{
    let threads: Vec<_> = closures
        .into_iter()
        .map(|closure| {
            let store = store.clone();
            std::thread::spawn(move || store.write_blocking(closure))
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// A closure that only sends is committed together with the look at the fence: it is refused, too.
#[test]
fn nothing_slips_through_with_the_look_at_the_fence() {
    let mut db = TestStore::postgres("fence");
    make_items(&db);
    let config = exclusive(db.config());
    let first = Store::open(&config).unwrap();
    let send = |tx: &mut Tx<'_>| {
        let sql = "INSERT INTO items (name, number) VALUES ('sent', 1) ON CONFLICT DO NOTHING";
        tx.send(sql, &[])
    };
    first.write_blocking(send).unwrap();
    db.write_blocking(|tx| tx.execute("DELETE FROM items", &[]))
        .unwrap();
    raise_epoch(&db);
    let result = first.write_blocking(send);
    assert!(matches!(result, Err(StoreError::TakenOver)), "{result:?}");
    assert!(item_names(&db).is_empty());
    // It is closed, and says so at once.
    taken_over(&first);
    let start = Instant::now();
    let result = first.write_blocking(send);
    assert!(result.unwrap_err().is_unavailable());
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// As another queen does that takes the database.
fn raise_epoch(db: &TestStore) {
    db.server().unwrap().run(
        "BEGIN; SELECT pg_advisory_xact_lock(1668246639, 3); \
         UPDATE settings SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) \
         WHERE name = 'queen_epoch'; COMMIT",
    );
}

/// Whoever takes over waits for what the last one is about to commit, and sees it.
#[test]
fn a_transaction_that_passed_the_fence_ends_before_another_store_begins() {
    let mut db = TestStore::postgres("fence_wait");
    make_items(&db);
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let first = Store::open(&exclusive(&StoreConfig::postgres(url))).unwrap();
    let direct = exclusive(db.config());
    let (inside, entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let writer = {
        let first = first.clone();
        std::thread::spawn(move || {
            first.write_blocking(move |tx| {
                add_item(tx, "first", 1)?;
                inside.send(()).unwrap();
                released.recv().unwrap();
                add_item(tx, "second", 2)
            })
        })
    };
    entered.recv().unwrap();
    proxy.set(Wire::Closed);
    proxy.cut_first();
    let opening = std::thread::spawn(move || {
        let second = Store::open(&direct).unwrap();
        second
            .read_blocking(|tx| {
                tx.query_one("SELECT COUNT(*) FROM items", &[])?
                    .get::<i64>(0)
            })
            .unwrap()
    });
    // It waits for the first one's transaction, as the server tells.
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND objid = 3 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    colony_testkit::wait_for(PATIENCE, || {
        let waiting = db
            .read_blocking(move |tx| tx.query_one(waits, &[])?.get::<i64>(0))
            .unwrap();
        if waiting == 1 {
            Ok(())
        } else {
            Err("nobody waits")
        }
    });
    release.send(()).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(opening.join().unwrap(), 2);
}

/// A writer that waits at the fence while another store takes over sees the new epoch afterwards.
#[test]
fn a_writer_that_waits_at_the_fence_is_refused() {
    let mut db = TestStore::postgres("fence_late");
    make_items(&db);
    let first = Store::open(&exclusive(db.config())).unwrap();
    let (raised, is_raised) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let other = Store::clone(&db);
    let taking = std::thread::spawn(move || {
        other.write_blocking(move |tx| {
            tx.query("SELECT pg_advisory_xact_lock(1668246639, 3)", &[])?;
            let sql = "UPDATE settings SET value = '999' WHERE name = 'queen_epoch'";
            tx.execute(sql, &[])?;
            raised.send(()).unwrap();
            released.recv().unwrap();
            Ok::<_, StoreError>(())
        })
    });
    is_raised.recv().unwrap();
    let writing = {
        let first = first.clone();
        std::thread::spawn(move || first.write_blocking(|tx| add_item(tx, "late", 1)))
    };
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND objid = 3 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    colony_testkit::wait_for(PATIENCE, || {
        let count = db
            .read_blocking(move |tx| tx.query_one(waits, &[])?.get::<i64>(0))
            .unwrap();
        if count == 1 {
            Ok(())
        } else {
            Err("nobody waits")
        }
    });
    release.send(()).unwrap();
    taking.join().unwrap().unwrap();
    let result = writing.join().unwrap();
    assert!(matches!(result, Err(StoreError::TakenOver)), "{result:?}");
    assert!(item_names(&db).is_empty());
}

/// Others that write beside a queen, such as `colony key create`, take nothing from it.
#[test]
fn a_shared_store_does_not_take_over() {
    let mut db = TestStore::postgres("shared");
    make_items(&db);
    let queen = Store::open(&exclusive(db.config())).unwrap();
    db.reopen();
    db.write_blocking(|tx| add_item(tx, "shared", 0)).unwrap();
    let results = write_together(&db, vec![|tx: &mut Tx<'_>| add_item(tx, "grouped", 0)]);
    results.into_iter().for_each(Result::unwrap);
    queen.write_blocking(|tx| add_item(tx, "queen", 0)).unwrap();
    assert!(!queen.is_taken_over());
}

/// A lock that is lost and taken again by the same store changes nothing.
#[test]
fn a_lock_that_was_only_lost_is_no_takeover() {
    let db = TestStore::postgres("only_lost");
    make_items(&db);
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let queen = Store::open(&exclusive(&StoreConfig::postgres(url))).unwrap();
    let held = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for round in 0..2_i64 {
        proxy.cut();
        colony_testkit::wait_for(PATIENCE, || {
            let count = db
                .read_blocking(move |tx| tx.query_one(held, &[])?.get::<i64>(0))
                .unwrap();
            if count == 1 {
                Ok(())
            } else {
                Err("nobody holds it")
            }
        });
        let name = round.to_string();
        queen
            .write_blocking(move |tx| add_item(tx, &name, round))
            .unwrap();
    }
    assert!(!queen.is_taken_over());
}
