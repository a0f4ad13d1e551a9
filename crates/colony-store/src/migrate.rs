//! Brings the schema up to what this program knows.
//!
//! All that is missing is applied in one transaction under a lock, so that of several programs
//! started together one does it and the others find it done. How to write one:
//! `migrations/README.md`.

mod text;

use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::tx::{Dialect, Tx};

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
struct Migration {
    number: i64,
    name: &'static str,
    text: &'static str,
}

/// Declares migrations by their file names.
macro_rules! migrations {
    ($($number:literal $name:literal)*) => {
        &[$(Migration {
            number: $number,
            name: $name,
            text: include_str!(concat!("../migrations/", $name, ".sql")),
        }),*]
    };
}

/// Every step, in order.
const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_settings"
    2 "0002_ledger"
    3 "0003_runs_api"
    4 "0004_counts"
    5 "0005_count_parts"
    6 "0006_one_queue"
    7 "0007_objects"
    8 "0008_lists"
};

/// Why the schema could not be brought up to date. Messages read after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program has used the database.
    #[error(
        "use a schema that is newer than this program: the database has migration {found}, this \
         program knows {known}; start the newer program, or restore a backup from before the \
         upgrade"
    )]
    Newer {
        /// The last migration in the database.
        found: i64,
        /// The last migration of this program.
        known: i64,
    },
    /// The text of a migration is not the one that was applied.
    #[error(
        "trust the schema: migration {name} differs from the one that was applied to this \
         database; use an official build of the program, and a new number for changes"
    )]
    Edited {
        /// The migration.
        name: String,
    },
    /// A step failed; nothing was changed.
    #[error("apply migration {name}")]
    Step {
        /// The migration.
        name: &'static str,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// The list of applied steps cannot be used.
    #[error("read the list of applied migrations")]
    List(#[from] StoreError),
}

/// Applies what is missing. The transaction must be a writing one.
pub(crate) fn run(tx: &mut Tx<'_>) -> Result<(), MigrateError> {
    run_list(tx, MIGRATIONS)
}

fn run_list(tx: &mut Tx<'_>, migrations: &[Migration]) -> Result<(), MigrateError> {
    lock(tx)?;
    let applied = applied(tx)?;
    check(&applied, migrations)?;
    let last = applied.last().map_or(0, |step| step.number);
    for migration in migrations.iter().filter(|step| step.number > last) {
        apply(tx, migration).map_err(|source| MigrateError::Step {
            name: migration.name,
            source,
        })?;
    }
    Ok(())
}

/// Waits for others who migrate. On SQLite the writing transaction is the lock.
fn lock(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    match tx.dialect() {
        Dialect::Sqlite => Ok(()),
        // "colo" in ASCII, and a number for this purpose: advisory locks are named by numbers.
        Dialect::Postgres => tx
            .query("SELECT pg_advisory_xact_lock(1668246639, 2)", &[])
            .map(drop),
    }
}

struct Applied {
    number: i64,
    name: String,
    checksum: String,
}

fn applied(tx: &mut Tx<'_>) -> Result<Vec<Applied>, StoreError> {
    let table = "CREATE TABLE IF NOT EXISTS migrations (
        number {int} PRIMARY KEY,
        name {text} NOT NULL,
        checksum {text} NOT NULL
    ){strict}";
    tx.script(&text::render(table, tx.dialect()))?;
    let rows = tx.query(
        "SELECT number, name, checksum FROM migrations ORDER BY number",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Applied {
                number: row.get("number")?,
                name: row.get("name")?,
                checksum: row.get("checksum")?,
            })
        })
        .collect()
}

fn check(applied: &[Applied], migrations: &[Migration]) -> Result<(), MigrateError> {
    let known = migrations.last().map_or(0, |migration| migration.number);
    let found = applied.last().map_or(0, |step| step.number);
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    for (index, step) in applied.iter().enumerate() {
        let same = migrations.get(index).is_some_and(|migration| {
            migration.number == step.number && checksum(migration) == step.checksum
        });
        if !same {
            return Err(MigrateError::Edited {
                name: step.name.clone(),
            });
        }
    }
    Ok(())
}

fn apply(tx: &mut Tx<'_>, migration: &Migration) -> Result<(), StoreError> {
    tx.script(&text::render(migration.text, tx.dialect()))?;
    tx.execute(
        "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
        &[&migration.number, &migration.name, &checksum(migration)],
    )?;
    Ok(())
}

/// Over the text as written, the same on both databases and whatever the line endings.
fn checksum(migration: &Migration) -> String {
    let digest = Sha256::digest(migration.text.replace("\r\n", "\n"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Counters;

    const FIRST: Migration = Migration {
        number: 1,
        name: "0001_first",
        text: "CREATE TABLE first (a {int}){strict};",
    };
    const SECOND: Migration = Migration {
        number: 2,
        name: "0002_second",
        text: "CREATE TABLE second (a {int}); INSERT INTO second SELECT a FROM first;",
    };

    fn run_on(connection: &rusqlite::Connection, list: &[Migration]) -> Result<(), MigrateError> {
        let counters = Counters::default();
        run_list(&mut Tx::sqlite(connection, &counters), list)
    }

    #[test]
    fn steps_are_applied_once_and_in_order() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        run_on(&db, &[FIRST]).unwrap();
        db.execute("INSERT INTO first VALUES (5)", []).unwrap();
        run_on(&db, &[FIRST, SECOND]).unwrap();
        run_on(&db, &[FIRST, SECOND]).unwrap();
        let count: i64 = db
            .query_row("SELECT COUNT(*) FROM second", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        run_on(&db, &[FIRST, SECOND]).unwrap();
        let error = run_on(&db, &[FIRST]).unwrap_err();
        assert!(
            matches!(error, MigrateError::Newer { found: 2, known: 1 }),
            "{error}"
        );
    }

    #[test]
    fn an_edited_step_is_refused() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        run_on(&db, &[FIRST]).unwrap();
        let edited = Migration {
            text: "CREATE TABLE first (a {int}, b {int}){strict};",
            ..FIRST
        };
        let error = run_on(&db, &[edited]).unwrap_err();
        assert!(matches!(error, MigrateError::Edited { .. }), "{error}");
    }

    #[test]
    fn embedded_steps_are_numbered_upwards_as_their_files_say() {
        let mut last = 0;
        for migration in MIGRATIONS {
            assert!(migration.number > last, "{}", migration.name);
            last = migration.number;
            let prefix = format!("{last:04}_");
            assert!(migration.name.starts_with(&prefix), "{}", migration.name);
        }
    }
}
