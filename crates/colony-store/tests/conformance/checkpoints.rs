//! SQLite: commits move from the log into the file beside the writer, and the log stays small.

use std::path::Path;
use std::time::Duration;

use colony_store::{StoreError, Tx};
use colony_testkit::{TestStore, wait_for};

use crate::{item_names, make_items};

const MIB: u64 = 1024 * 1024;

fn size(directory: &Path, name: &str) -> u64 {
    directory
        .join(name)
        .metadata()
        .map_or(0, |metadata| metadata.len())
}

/// A mebibyte in a commit.
fn fill(db: &TestStore, number: i64) {
    db.write_blocking(move |tx: &mut Tx<'_>| {
        let name = format!("{number:04}{}", "x".repeat(1024 * 1024));
        let sql = "INSERT INTO items (name, number) VALUES ($1, $2)";
        tx.execute(sql, &[&name, &number]).map(drop)
    })
    .unwrap();
}

#[test]
fn the_log_is_moved_while_the_writer_goes_on_and_stays_small() {
    let mut db = TestStore::sqlite();
    make_items(&db);
    let directory = db.directory().unwrap().to_owned();
    for number in 0..150 {
        fill(&db, number);
    }
    // Not by the writer, and not only at the end.
    wait_for(Duration::from_secs(30), || {
        match size(&directory, "colony.db") {
            big if big > 100 * MIB => Ok(()),
            small => Err(format!("the file has {small} bytes")),
        }
    });
    let log = size(&directory, "colony.db-wal");
    assert!(log < 100 * MIB, "the log has {log} bytes");
    assert_eq!(item_names(&db).len(), 150);
    db.reopen();
    assert_eq!(item_names(&db).len(), 150);
}

/// Whoever reads for long keeps the log from being moved; nothing breaks, and it is moved later.
#[test]
fn a_long_read_keeps_its_state() {
    let db = TestStore::sqlite();
    make_items(&db);
    fill(&db, 0);
    let directory = db.directory().unwrap().to_owned();
    let other = colony_store::Store::clone(&db);
    let counts = db.read_blocking(move |tx| {
        let count = "SELECT COUNT(*) FROM items";
        let before = tx.query_one(count, &[])?.get::<i64>(0)?;
        for number in 1..60_i64 {
            let name = format!("{before} {number} {}", "x".repeat(1024 * 1024));
            other.write_blocking(move |tx| {
                let sql = "INSERT INTO items (name, number) VALUES ($1, $2)";
                tx.execute(sql, &[&name, &number])
            })?;
        }
        Ok::<_, StoreError>((before, tx.query_one(count, &[])?.get::<i64>(0)?))
    });
    assert_eq!(counts.unwrap(), (1, 1));
    for number in 100..130 {
        fill(&db, number);
    }
    wait_for(Duration::from_secs(30), || {
        match size(&directory, "colony.db") {
            big if big > 60 * MIB => Ok(()),
            small => Err(format!("the file has {small} bytes")),
        }
    });
}

/// A store that is closed leaves nothing beside its file.
#[test]
fn the_last_one_out_moves_the_rest() {
    let db = TestStore::sqlite();
    make_items(&db);
    let path = db.directory().unwrap().join("second.db");
    let store = colony_store::Store::open(&colony_store::StoreConfig::sqlite(&path)).unwrap();
    store
        .write_blocking(|tx| tx.execute("CREATE TABLE t (a INTEGER)", &[]))
        .unwrap();
    assert!(size(path.parent().unwrap(), "second.db-wal") > 0);
    drop(store);
    assert!(!path.with_extension("db-wal").exists());
}
