//! Opening SQLite files with the right settings.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::error::{DriverError, OpenError};

/// How many prepared statements a connection keeps.
const STATEMENT_CACHE: usize = 512;

/// Settings of every connection. `FULL` puts each commit on disk before it is acknowledged;
/// grouped commits make that cheap. Checkpoints are made beside the writer (`checkpoint.rs`). The
/// busy timeout is for other programs, such as a backup: the
/// store itself has one writer. `LIKE` minds letter case, as on PostgreSQL.
const SETTINGS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA case_sensitive_like = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16000;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
";

/// Makes the directory of the file when it is not there.
pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(|source| OpenError::File {
        database: name(path),
        advice: format!(
            "cannot make the directory {}; choose a --data-dir that this user can write to",
            directory.display()
        ),
        source,
    })
}

/// Opens the file for the writer; makes it when it is not there, for its owner only. The files that
/// SQLite puts beside it follow its mode.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let mut options = OpenOptions::new();
    // What goes wrong here goes wrong again when SQLite opens it, which says more about it.
    let _ = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    open_with(path, SETTINGS)
}

/// Opens the file for a reader, which can change nothing.
pub(super) fn open_reading(path: &Path) -> Result<Connection, OpenError> {
    open_with(path, &format!("{SETTINGS} PRAGMA query_only = ON;"))
}

fn open_with(path: &Path, settings: &str) -> Result<Connection, OpenError> {
    let failed = |source| failed(path, source);
    let connection = Connection::open(path).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.execute_batch(settings).map_err(failed)?;
    // Plans must not depend on the values of parameters: on tables with partial indexes SQLite
    // would otherwise prepare a cached statement again for each new value.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failed)?;
    Ok(connection)
}

pub(super) fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Database {
        database: name(path),
        advice: advice(&source).to_owned(),
        source: Box::new(DriverError::Sqlite(source)),
    }
}

/// What to call the database in messages.
pub(super) fn name(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            "the file is not a SQLite database; choose another --database-url, or move the file away to \
             start with an empty database"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "the file or its directory cannot be written to; choose a --data-dir that this \
             user can write to"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps the file locked; stop it and try again"
        }
        Some(ErrorCode::DatabaseCorrupt) => "the file is damaged; restore it from a backup",
        _ => "the file cannot be used; see the reason below",
    }
}
