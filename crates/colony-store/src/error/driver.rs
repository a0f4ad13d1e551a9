//! Which errors of a database are about the database itself.

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use super::DriverError;

impl DriverError {
    /// Whether the database cannot do its work at the moment, whatever the statement is.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code().is_some_and(sqlite_is_away),
            Self::Postgres(error) => match error.code() {
                Some(code) => postgres_is_away(code),
                None => is_transport(error),
            },
            Self::Silent(_) | Self::Moved => true,
        }
    }
}

impl DriverError {
    /// What is wrong, in words that everybody may see.
    pub(super) fn outage(&self) -> &'static str {
        match self {
            Self::Silent(_) => "does not answer",
            Self::Moved => "is gone: its file was moved or removed",
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => "has no room left on its disk",
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "is read-only",
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "is too busy",
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "is damaged",
                _ => "cannot be read or written",
            },
            Self::Postgres(error) => match error.code() {
                Some(code) if *code == SqlState::DISK_FULL => "has no room left on its disk",
                Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => "is read-only",
                Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => "has no free connection",
                Some(_) => "cannot be read or written",
                None => "cannot be reached",
            },
        }
    }
}

/// Locked by another program, or the disk or the process has no room for it.
fn sqlite_is_away(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::FileLockingProtocolFailed
    )
}

/// Classes of SQLSTATE: connection, insufficient resources, operator intervention, system error,
/// transaction rollback, authorization, internal error.
fn postgres_is_away(code: &SqlState) -> bool {
    const CLASSES: [&str; 7] = ["08", "53", "57", "58", "40", "28", "XX"];
    let class = code.code().get(..2).unwrap_or_default();
    CLASSES.contains(&class)
        || [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::INVALID_CATALOG_NAME,
            // A standby refuses to write in these words.
            SqlState::FEATURE_NOT_SUPPORTED,
        ]
        .contains(code)
}

/// Whether the connection failed, and not the server.
pub(crate) fn is_transport(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    error.is_closed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_room_is_the_databases_fault_and_a_bad_value_is_not() {
        for code in [
            "53100", "57P01", "58030", "25006", "08006", "40001", "57014",
        ] {
            assert!(postgres_is_away(&SqlState::from_code(code)), "{code}");
        }
        for code in ["22021", "23505", "42P01", "22P05", "0"] {
            assert!(!postgres_is_away(&SqlState::from_code(code)), "{code}");
        }
        assert!(sqlite_is_away(ErrorCode::DiskFull));
        assert!(!sqlite_is_away(ErrorCode::TypeMismatch));
        assert!(!sqlite_is_away(ErrorCode::TooBig));
    }
}
