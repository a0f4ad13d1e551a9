//! Opening a store: the schema, the lock, and errors that say what to do.

use colony_store::{Database, MigrateError, OpenError, Store, StoreConfig};
use colony_testkit::both_databases;

both_databases! {
    fn a_newer_schema_is_refused_and_left_alone(mut db) {
        db.write_blocking(|tx| {
            tx.execute(
                "INSERT INTO migrations (number, name, checksum) VALUES (9999, '9999_later', '')",
                &[],
            )
        })
        .unwrap();
        db.close();
        let error = Store::open(db.config()).map(drop).unwrap_err();
        let OpenError::Migrate { source: MigrateError::Newer { found: 9999, .. }, .. } = error
        else {
            panic!("{error:?}");
        };
    }

    fn an_edited_migration_is_refused(mut db) {
        db.write_blocking(|tx| {
            tx.execute("UPDATE migrations SET checksum = 'other' WHERE number = 1", &[])
        })
        .unwrap();
        db.close();
        let error = Store::open(db.config()).map(drop).unwrap_err();
        let OpenError::Migrate { source: MigrateError::Edited { .. }, .. } = error else {
            panic!("{error:?}");
        };
    }

    /// The lock keeps others out while it is held, names its holder, and is given back.
    fn an_exclusive_store_is_alone(mut db) {
        db.config().exclusive = true;
        db.reopen();
        let error = Store::open(db.config()).map(drop).unwrap_err();
        let OpenError::Locked { holder, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(holder.starts_with("process "), "{holder}");
        db.reopen();
    }

    /// For looking from outside while a queen runs.
    fn a_shared_store_may_join(mut db) {
        db.config().exclusive = true;
        db.reopen();
        let mut shared = db.config().clone();
        shared.exclusive = false;
        let store = Store::open(&shared).unwrap();
        store.read_blocking(|tx| tx.query("SELECT * FROM settings", &[])).unwrap();
    }
}

#[test]
fn urls_name_the_database() {
    let sqlite = |path: &str| Database::Sqlite { path: path.into() };
    for (text, expected) in [
        ("sqlite:a/b.db", sqlite("a/b.db")),
        ("sqlite:/a/b.db", sqlite("/a/b.db")),
        ("sqlite:///a/b.db", sqlite("/a/b.db")),
    ] {
        assert_eq!(text.parse::<Database>().unwrap(), expected, "{text}");
    }
    for text in ["postgres://u@h/d", "postgresql://h:1/d?sslmode=disable"] {
        assert!(matches!(text.parse().unwrap(), Database::Postgres { url } if url == text));
    }
    for (text, found) in [
        ("", "no scheme"),
        ("colony.db", "no scheme"),
        ("sqlite:", "without a path"),
        ("mysql://u:secret@h/d", "the scheme `mysql:`"),
    ] {
        let message = text.parse::<Database>().unwrap_err().to_string();
        assert!(message.contains(found), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_password_is_never_shown() {
    for url in [
        "postgres://user:hunter2@host:5432/db",
        "postgres://host/db?user=user&password=hunter2",
        "postgres://user:hun@ter2@host/db",
    ] {
        let config = StoreConfig::postgres(url);
        let shown = format!("{} {config:?}", config.database);
        assert!(!shown.contains("ter2") && shown.contains("host"), "{shown}");
    }
}

/// Each message names the database and says what to do.
#[test]
fn errors_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let text_file = directory.path().join("notes.txt");
    std::fs::write(
        &text_file,
        "not a database, but long enough to be one".repeat(50),
    )
    .unwrap();
    let inside_a_file = text_file.join("colony.db");
    // Port 1 is reserved and nothing listens there.
    let unreachable = "postgres://user:hunter2@127.0.0.1:1/db";
    for (config, expected) in [
        (
            StoreConfig::sqlite(&text_file),
            "is not a SQLite database; choose another --database-url",
        ),
        (StoreConfig::sqlite(inside_a_file), "choose a --data-dir"),
        (StoreConfig::sqlite(directory.path()), "choose a --data-dir"),
        (
            StoreConfig::postgres(unreachable),
            "cannot be reached; check that it runs",
        ),
        (
            StoreConfig::postgres("postgres://h:x/d"),
            "--database-url is malformed",
        ),
        (
            StoreConfig::postgres("postgres://u:hunter2@h/d?sslmode=sometimes"),
            "verify-full",
        ),
    ] {
        let error = Store::open(&config).map(drop).unwrap_err();
        let (message, debug) = (error.to_string(), format!("{error:?}"));
        assert!(message.contains(expected), "{message}");
        assert!(
            !message.contains("hunter2") && !debug.contains("hunter2"),
            "{debug}"
        );
    }
}

#[test]
fn a_missing_directory_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a").join("b").join("colony.db");
    drop(Store::open(&StoreConfig::sqlite(&path)).unwrap());
    assert!(path.exists());
}
