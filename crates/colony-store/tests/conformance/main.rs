//! What a store promises, checked on both databases.

mod blocks;
mod checkpoints;
mod data;
mod faults;
mod groups;
mod lanes;
mod lists;
mod lost_commits;
mod many;
mod opening;
mod plans;
mod postgres_only;
mod search;
mod takeover;
mod tls;
mod transactions;
mod values;

use colony_store::{StoreError, Tx};
use colony_testkit::TestStore;

/// Makes a table `items` with a key and a number.
fn make_items(db: &TestStore) {
    db.write_blocking(|tx| {
        tx.execute(
            "CREATE TABLE items (name TEXT PRIMARY KEY, number BIGINT NOT NULL)",
            &[],
        )
    })
    .unwrap();
}

fn add_item(tx: &mut Tx<'_>, name: &str, number: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO items (name, number) VALUES ($1, $2)",
        &[&name, &number],
    )
    .map(drop)
}

fn item_names(db: &TestStore) -> Vec<String> {
    db.read_blocking(|tx| {
        let rows = tx.query("SELECT name FROM items ORDER BY name", &[])?;
        rows.iter().map(|row| row.get("name")).collect()
    })
    .unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}
