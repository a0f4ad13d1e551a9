//! A database that is away, silent, full, read-only or gone says so in time, and goes on when it
//! is back.

use std::time::{Duration, Instant};

use colony_store::{Store, StoreConfig, StoreError, Tx};
use colony_testkit::{TestProxy, TestStore, Wire, block_on, both_databases, wait_for};

use crate::{add_item, item_names, make_items};

const PATIENCE: Duration = Duration::from_secs(30);

fn through_proxy(db: &TestStore) -> (TestProxy, Store) {
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let config = StoreConfig {
        reply_timeout: Duration::from_millis(500),
        ..StoreConfig::postgres(url)
    };
    (proxy, Store::open(&config).unwrap())
}

/// A server that accepts connections and says nothing, as one that was frozen: nobody waits for
/// ever, and everybody who waits hears it at about the same time.
#[test]
fn a_silent_server_holds_nobody_for_ever() {
    let db = TestStore::postgres("silent");
    make_items(&db);
    let (proxy, store) = through_proxy(&db);
    store.read_blocking(|tx| tx.query("SELECT 1", &[])).unwrap();
    proxy.set(Wire::Silent);
    let start = Instant::now();
    let (reads, writes) = block_on(async {
        let mut reads = tokio::task::JoinSet::new();
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..40_i64 {
            let (reader, writer) = (store.clone(), store.clone());
            reads.spawn(async move { reader.read(|tx| tx.query("SELECT 1", &[]).map(drop)).await });
            writes.spawn(async move {
                let name = number.to_string();
                writer.write(move |tx| add_item(tx, &name, number)).await
            });
        }
        (reads.join_all().await, writes.join_all().await)
    });
    for result in reads.into_iter().chain(writes) {
        let error = result.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );

    proxy.set(Wire::Whole);
    wait_for(PATIENCE, || {
        store.write_blocking(|tx| add_item(tx, "after", 1))
    });
    assert_eq!(item_names(&db), ["after"]);
}

/// A server that is down for a moment is waited for.
#[test]
fn a_server_that_comes_back_soon_is_waited_for() {
    let db = TestStore::postgres("soon");
    make_items(&db);
    let (proxy, store) = through_proxy(&db);
    proxy.set(Wire::Closed);
    proxy.cut();
    let writing = {
        let store = store.clone();
        std::thread::spawn(move || store.write_blocking(|tx| add_item(tx, "patient", 1)))
    };
    proxy.set(Wire::Whole);
    writing.join().unwrap().unwrap();
    assert_eq!(item_names(&db), ["patient"]);
}

fn fill(tx: &mut Tx<'_>, name: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO items (name, number) VALUES ($1, 0)";
    tx.execute(sql, &[&format!("{name}{}", "x".repeat(100_000))])
        .map(drop)
}

both_databases! {
    /// A read-only database refuses to write and says that this is nobody's fault.
    fn a_read_only_database_is_unavailable(db) {
        make_items(&db);
        let server = db.server().is_some();
        let error = db.write_blocking(move |tx| {
            match server {
                true => tx.execute("SET TRANSACTION READ ONLY", &[]).map(drop)?,
                false => tx.query("PRAGMA query_only = ON", &[]).map(drop)?,
            }
            add_item(tx, "x", 1)
        }).unwrap_err();
        assert!(error.is_unavailable() && error.is_retryable(), "{error:?}");
    }

    /// A value that cannot be stored is the row's fault.
    fn a_bad_row_is_not_the_databases_fault(db) {
        make_items(&db);
        db.write_blocking(|tx| add_item(tx, "x", 1)).unwrap();
        let error = db.write_blocking(|tx| add_item(tx, "x", 1)).unwrap_err();
        assert!(!error.is_unavailable(), "{error:?}");
    }
}

/// A full SQLite file: nothing is stored, the error says whose fault it is, and writing goes on
/// when there is room.
#[test]
fn a_full_file_is_unavailable_until_there_is_room() {
    let db = TestStore::sqlite();
    make_items(&db);
    // A limit of the writer's connection stands for the disk's.
    let limit = |pages: i64| {
        db.write_blocking(move |tx| tx.query(&format!("PRAGMA max_page_count = {pages}"), &[]))
            .unwrap();
    };
    limit(1);
    let error = db.write_blocking(|tx| fill(tx, "a")).unwrap_err();
    assert!(error.is_unavailable() && error.is_retryable(), "{error:?}");
    limit(1_000_000);
    db.write_blocking(|tx| fill(tx, "b")).unwrap();
    assert_eq!(item_names(&db).len(), 1);
}

/// What is written to a file that was removed would be lost with the process: it is refused, until
/// the file is back.
#[test]
fn a_file_that_is_gone_takes_no_writes() {
    let db = TestStore::sqlite();
    make_items(&db);
    let path = db.directory().unwrap().join("colony.db");
    let aside = db.directory().unwrap().join("aside.db");
    std::fs::rename(&path, &aside).unwrap();
    let error = db.write_blocking(|tx| add_item(tx, "lost", 1)).unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    std::fs::write(&path, "another file").unwrap();
    let error = db.write_blocking(|tx| add_item(tx, "lost", 1)).unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    std::fs::rename(&aside, &path).unwrap();
    db.write_blocking(|tx| add_item(tx, "kept", 1)).unwrap();
    assert_eq!(item_names(&db), ["kept"]);
}
