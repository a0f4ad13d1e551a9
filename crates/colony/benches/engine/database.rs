//! The databases that are measured on.

use std::time::Duration;

use colony_store::{Stats, Store, StoreConfig};
use colony_testkit::TestPostgres;
use tempfile::TempDir;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// SQLite, and PostgreSQL when there is a server.
    pub(crate) fn all() -> Vec<Self> {
        match std::env::var_os("COLONY_TEST_POSTGRES_URL") {
            Some(_) => vec![Self::Sqlite, Self::Postgres],
            None => vec![Self::Sqlite],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// An empty database, and a directory for what is beside it.
    pub(crate) fn fresh(self) -> Database {
        let server = (self == Self::Postgres).then(|| TestPostgres::create("bench"));
        let dir = tempfile::tempdir().expect("room for a directory");
        Database { dir, server }
    }
}

/// A database of its own, gone at the end.
pub(crate) struct Database {
    pub(crate) dir: TempDir,
    server: Option<TestPostgres>,
}

impl Database {
    /// How programs are told of it; SQLite is in their data directory.
    pub(crate) fn url(&self) -> Option<&str> {
        self.server.as_ref().map(TestPostgres::url)
    }

    pub(crate) fn open(&self) -> Store {
        let config = match self.url() {
            None => StoreConfig::sqlite(self.dir.path().join("colony.db")),
            Some(url) => StoreConfig::postgres(url),
        };
        Store::open(&config).expect("the database opens")
    }

    /// The process of the server, when it runs on this machine.
    pub(crate) fn server_process(&self) -> Option<u32> {
        let file = (self.server.as_ref()?).ask("SELECT pg_read_file('postmaster.pid')")?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Transactions that the server has ended because they waited for each other, each after a second.
    pub(crate) fn deadlocks(&self) -> Option<String> {
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        self.server.as_ref()?.ask(sql)
    }

    /// Rows written so far, those of triggers too.
    fn rows_written(&self, store: &Store) -> u64 {
        let Some(server) = &self.server else {
            // Counted by the connection that does all writing.
            let sql = "SELECT total_changes()";
            let rows = store.write_blocking(|tx| tx.query_one(sql, &[])?.get::<i64>(0));
            let rows: i64 = rows.expect("the database answers");
            return rows.unsigned_abs();
        };
        // Idle sessions tell what they did after ten seconds at the latest.
        std::thread::sleep(Duration::from_secs(11));
        let sql = "SELECT COALESCE(SUM(n_tup_ins + n_tup_upd + n_tup_del), 0)::BIGINT \
                   FROM pg_stat_user_tables";
        let rows = server.ask(sql).and_then(|rows| rows.parse().ok());
        rows.expect("the server counts rows")
    }

    /// What a store has done so far.
    pub(crate) fn costs(&self, store: &Store) -> Costs {
        let rows = self.rows_written(store);
        let stats = store.stats();
        Costs { rows, stats }
    }
}

/// What a store has done.
pub(crate) struct Costs {
    rows: u64,
    stats: Stats,
}

impl Costs {
    /// Of each of `count` things done since.
    pub(crate) fn each(&self, after: &Self, count: usize) -> String {
        let each = |before: u64, after: u64| (after - before) as f64 / count as f64;
        let (old, new) = (&self.stats, &after.stats);
        format!(
            "{:.1} statements, {:.2} commits, {:.1} operations, {:.1} row writes each",
            each(old.statements, new.statements),
            each(old.commits, new.commits),
            each(old.operations, new.operations),
            each(self.rows, after.rows),
        )
    }
}
