//! A fresh store on either database.

use std::ops::Deref;
use std::path::Path;

use colony_store::{Store, StoreConfig};
use tempfile::TempDir;

use crate::postgres::TestPostgres;

/// A store on a database of its own, gone at the end.
pub struct TestStore {
    store: Option<Store>,
    config: StoreConfig,
    home: Home,
}

enum Home {
    Directory(TempDir),
    Postgres(TestPostgres),
}

impl TestStore {
    /// On a SQLite file in a fresh directory.
    ///
    /// # Panics
    ///
    /// The store cannot be opened.
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a test machine has room for a directory");
        let config = StoreConfig::sqlite(directory.path().join("colony.db"));
        Self::open(config, Home::Directory(directory))
    }

    /// On a fresh PostgreSQL database whose name begins with `hint`.
    ///
    /// # Panics
    ///
    /// There is no test server, or the store cannot be opened.
    pub fn postgres(hint: &str) -> Self {
        let database = TestPostgres::create(hint);
        let config = StoreConfig::postgres(database.url());
        Self::open(config, Home::Postgres(database))
    }

    fn open(config: StoreConfig, home: Home) -> Self {
        let mut this = Self {
            store: None,
            config,
            home,
        };
        this.reopen();
        this
    }

    /// Closes the store, if it is open, and opens it again on the same data.
    ///
    /// # Panics
    ///
    /// The store cannot be opened.
    pub fn reopen(&mut self) {
        self.close();
        let store = Store::open(&self.config);
        self.store = Some(store.unwrap_or_else(|error| panic!("failed to {error}: {error:?}")));
    }

    /// Closes the store; the data stays until the end.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// How the store is opened; changes take effect with [`TestStore::reopen`].
    pub fn config(&mut self) -> &mut StoreConfig {
        &mut self.config
    }

    /// The directory of the file, when it is SQLite.
    pub fn directory(&self) -> Option<&Path> {
        match &self.home {
            Home::Directory(directory) => Some(directory.path()),
            Home::Postgres(_) => None,
        }
    }

    /// The database server, when it is PostgreSQL.
    pub fn server(&self) -> Option<&TestPostgres> {
        match &self.home {
            Home::Directory(_) => None,
            Home::Postgres(database) => Some(database),
        }
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        // Before its directory or database.
        self.close();
    }
}

/// Runs each test on both databases, as `sqlite::name` and `postgres::name`.
///
/// ```
/// colony_testkit::both_databases! {
///     fn a_fresh_store_has_run_nothing(db) {
///         assert_eq!(db.stats().closures, 0);
///     }
/// }
/// ```
///
/// `db` is a [`TestStore`]; write `mut db` to close and reopen it. One invocation per file.
#[macro_export]
macro_rules! both_databases {
    ($($(#[$meta:meta])* fn $name:ident($($db:ident)+) $body:block)*) => {
        $(
            $(#[$meta])*
            fn $name($($db)+: $crate::TestStore) $body
        )*

        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name($crate::TestStore::sqlite());
            })*
        }

        mod postgres {
            $(#[test]
            fn $name() {
                super::$name($crate::TestStore::postgres(stringify!($name)));
            })*
        }
    };
}
