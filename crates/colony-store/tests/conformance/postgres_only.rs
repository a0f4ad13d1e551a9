//! Re-running of closures and lost connections on PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use colony_store::{Store, StoreConfig, StoreError, Tx};
use colony_testkit::{TestProxy, TestStore, wait_for};

use crate::groups::write_together;
use crate::{add_item, item_names, make_items};

const TERMINATE_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Two stores that lock two rows in opposite order: the server ends one, which is run again.
#[test]
fn a_deadlock_is_tried_again() {
    let mut db = TestStore::postgres("deadlock");
    let other = Store::open(db.config()).unwrap();
    make_items(&db);
    db.write_blocking(|tx| add_item(tx, "a", 0)).unwrap();
    db.write_blocking(|tx| add_item(tx, "b", 0)).unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let both_hold_one = Arc::new(Barrier::new(2));
    let callers = [(Store::clone(&db), ["a", "b"]), (other, ["b", "a"])];
    let threads = callers.map(|(store, order)| {
        let runs = Arc::clone(&runs);
        let barrier = Arc::clone(&both_hold_one);
        std::thread::spawn(move || {
            store.write_blocking(move |tx| {
                let first_runs = runs.fetch_add(1, Ordering::SeqCst) < 2;
                for (place, name) in order.into_iter().enumerate() {
                    if place == 1 && first_runs {
                        barrier.wait();
                    }
                    let sql = "UPDATE items SET number = number + 1 WHERE name = $1";
                    tx.execute(sql, &[&name])?;
                }
                Ok::<_, StoreError>(())
            })
        })
    });
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    let sum = db.read_blocking(|tx| {
        let sql = "SELECT CAST(SUM(number) AS BIGINT) FROM items";
        tx.query_one(sql, &[])?.get::<i64>(0)
    });
    assert_eq!(sum.unwrap(), 4);
}

/// A serialization failure, raised by hand since READ COMMITTED gives none of its own.
#[test]
fn a_serialization_failure_is_tried_again_but_not_for_ever() {
    let db = TestStore::postgres("serialization");
    make_items(&db);
    let fail = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$";
    let mut runs = 0;
    let result = db.write_blocking(move |tx| {
        runs += 1;
        add_item(tx, "x", runs)?;
        if runs < 3 {
            tx.execute(fail, &[])?;
        }
        Ok::<_, StoreError>(runs)
    });
    assert_eq!(result.unwrap(), 3);
    assert_eq!(item_names(&db), ["x"]);

    let result = db.write_blocking(move |tx| tx.execute(fail, &[]));
    assert!(
        matches!(result, Err(StoreError::Conflict { .. })),
        "{result:?}"
    );
}

/// A group that meets a row locked by another store gives way, and nothing of it is lost.
#[test]
fn a_group_gives_way_to_another_store() {
    let mut db = TestStore::postgres("give_way");
    make_items(&db);
    db.write_blocking(|tx| add_item(tx, "shared", 0)).unwrap();
    let other = Store::open(db.config()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (lock, locked) = mpsc::channel();
    let holder = std::thread::spawn(move || {
        other.write_blocking(move |tx| {
            tx.execute("UPDATE items SET number = 1 WHERE name = 'shared'", &[])?;
            lock.send(()).unwrap();
            released.recv().unwrap();
            Ok::<_, StoreError>(())
        })
    });
    locked.recv().unwrap();

    // Once the first closure of the group has run twice, the group has given way.
    let runs = Arc::new(AtomicU32::new(0));
    let watched = Arc::clone(&runs);
    let releaser = std::thread::spawn(move || {
        wait_for(Duration::from_secs(10), || {
            match watched.load(Ordering::SeqCst) {
                2.. => Ok(()),
                other => Err(format!("the first closure has run {other} times")),
            }
        });
        release.send(()).unwrap();
    });
    let closures = ["first", "shared", "last"].map(|name| {
        let runs = Arc::clone(&runs);
        move |tx: &mut Tx<'_>| {
            if name == "first" {
                runs.fetch_add(1, Ordering::SeqCst);
            }
            let sql = "INSERT INTO items (name, number) VALUES ($1, 5)
                ON CONFLICT (name) DO UPDATE SET number = items.number + 5";
            tx.execute(sql, &[&name]).map(drop)
        }
    });
    let results = write_together(&db, closures.into());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    releaser.join().unwrap();
    holder.join().unwrap().unwrap();
    assert_eq!(item_names(&db), ["first", "last", "shared"]);
    let number = db.read_blocking(|tx| {
        let sql = "SELECT number FROM items WHERE name = 'shared'";
        tx.query_one(sql, &[])?.get::<i64>(0)
    });
    assert_eq!(number.unwrap(), 6);
}

/// Connections that were lost while idle are made anew without anyone noticing.
#[test]
fn lost_connections_come_back() {
    let db = TestStore::postgres("reconnect");
    make_items(&db);
    for round in 0..3_i64 {
        db.server().unwrap().run(TERMINATE_OTHERS);
        for number in 0..10 {
            let name = format!("{round}.{number}");
            db.write_blocking(move |tx| add_item(tx, &name, number))
                .unwrap();
        }
    }
    assert_eq!(item_names(&db).len(), 30);
}

/// A connection that is lost in the middle of a closure: the closure is run again.
#[test]
fn a_closure_whose_connection_is_lost_is_run_again() {
    let db = TestStore::postgres("lost");
    make_items(&db);
    let mut runs = 0;
    let result = db.write_blocking(move |tx| {
        runs += 1;
        add_item(tx, "x", runs)?;
        if runs == 1 {
            tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[])?;
        }
        Ok::<_, StoreError>(runs)
    });
    assert_eq!(result.unwrap(), 2);
    assert_eq!(item_names(&db), ["x"]);
}

/// The lock is taken again after its connection was lost, and still keeps others out.
#[test]
fn a_lost_lock_is_taken_again() {
    let mut db = TestStore::postgres("lock");
    db.config().exclusive = true;
    db.reopen();
    let holders = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let count = |db: &TestStore| {
        db.read_blocking(move |tx| tx.query_one(holders, &[])?.get::<i64>(0))
            .unwrap()
    };
    assert_eq!(count(&db), 1);
    db.server().unwrap().run(TERMINATE_OTHERS);
    wait_for(Duration::from_secs(10), || match count(&db) {
        1 => Ok(()),
        other => Err(format!("{other} locks")),
    });
    assert!(Store::open(db.config()).is_err());
}

/// A server that has not noticed that a connection is lost keeps its locks: they are not waited for.
#[test]
fn locks_of_a_silent_connection_are_not_waited_for() {
    let db = TestStore::postgres("silent_locks");
    make_items(&db);
    db.write_blocking(|tx| add_item(tx, "x", 0)).unwrap();
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let config = StoreConfig {
        reply_timeout: Duration::from_millis(500),
        ..StoreConfig::postgres(url)
    };
    let store = Store::open(&config).unwrap();
    let proxy = Arc::new(proxy);
    let mut runs = 0;
    let start = std::time::Instant::now();
    let result = store.write_blocking(move |tx| {
        runs += 1;
        tx.execute("UPDATE items SET number = number + 1", &[])?;
        // Both ways are dumb for the connections that are there.
        if runs == 1 {
            proxy.silence();
        }
        tx.query("SELECT 1", &[])?;
        Ok::<_, StoreError>(runs)
    });
    assert_eq!(result.unwrap(), 2);
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    let number =
        db.read_blocking(|tx| tx.query_one("SELECT number FROM items", &[])?.get::<i64>(0));
    assert_eq!(number.unwrap(), 1);
}
