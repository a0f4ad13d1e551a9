//! Whether an error belongs to the rows at hand, or to the database as a whole.
//!
//! Loops tell the two apart: with the former one run ends and the others go on, with the latter
//! everything waits and is tried again.

use rusqlite::ErrorCode;

use crate::error::{DriverError, StoreError};

impl StoreError {
    /// Whether the rows at hand are to blame: trying again gives the same, while other rows are
    /// served. False for everything that is not known to be of this kind.
    pub fn is_about_rows(&self) -> bool {
        match self {
            Self::Rule { .. }
            | Self::Parameter { .. }
            | Self::Value { .. }
            | Self::RowCount { .. }
            | Self::Panicked(_) => true,
            Self::Statement { source, .. } | Self::Transaction { source, .. } => {
                source.is_about_rows()
            }
            Self::TransactionFailed
            | Self::Conflict { .. }
            | Self::Unreachable { .. }
            | Self::OutcomeUnknown { .. }
            | Self::TakenOver
            | Self::Closed => false,
        }
    }

    /// Whether whatever else is tried now meets the same. A full disk may have room for less, and
    /// what a server refuses for want of memory or as an error of its own may be one row's doing.
    pub(crate) fn hits_all(&self) -> bool {
        match self {
            Self::Conflict { .. } => false,
            Self::Statement { source, .. } | Self::Transaction { source, .. } => source.hits_all(),
            other => other.is_unavailable(),
        }
    }

    /// What is wrong, in words for those who own the rows: without statements.
    pub fn reason(&self) -> String {
        match self {
            Self::Value {
                column, problem, ..
            } => format!("a stored value cannot be read: `{column}`: {problem}"),
            Self::Parameter { problem, .. } => format!("a value cannot be stored: {problem}"),
            Self::Rule { rule, .. } => format!("a rule of the database would be broken: `{rule}`"),
            Self::Statement { source, .. } | Self::Transaction { source, .. } => {
                format!("the database refuses it: {source}")
            }
            Self::RowCount { rows, .. } => format!("one row was expected, found {rows}"),
            Self::Panicked(panic) => format!("an internal error: {panic}"),
            other => format!("failed to {other}"),
        }
    }
}

impl DriverError {
    fn hits_all(&self) -> bool {
        let may_be_of_one = match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory)
            ),
            Self::Postgres(error) => error.as_db_error().is_some_and(|db| {
                let code = db.code().code();
                ["40", "53", "55", "XX"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || code == "57014"
            }),
            Self::Silent(_) | Self::Moved => false,
        };
        self.is_unavailable() && !may_be_of_one
    }

    fn is_about_rows(&self) -> bool {
        match self {
            Self::Sqlite(error) => is_about_rows_of_sqlite(error),
            Self::Postgres(error) => error
                .as_db_error()
                .is_some_and(|db| is_about_values(db.code().code())),
            Self::Silent(_) | Self::Moved => false,
        }
    }
}

fn is_about_rows_of_sqlite(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
        ),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        _ => false,
    }
}

/// Classes of SQLSTATE: 21 cardinality, 22 data, 23 integrity, 44 check option, 54 too large.
fn is_about_values(code: &str) -> bool {
    ["21", "22", "23", "44", "54"]
        .iter()
        .any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_values_and_rules_are_about_rows() {
        for (code, expected) in [
            ("22021", true),
            ("22003", true),
            ("23505", true),
            ("54000", true),
            ("53100", false),
            ("57P01", false),
            ("42P01", false),
            ("25006", false),
            ("40001", false),
        ] {
            assert_eq!(is_about_values(code), expected, "{code}");
        }
        let sqlite = |code: i32| {
            let failure = rusqlite::ffi::Error::new(code);
            is_about_rows_of_sqlite(&rusqlite::Error::SqliteFailure(failure, None))
        };
        // Constraint and mismatch; full, busy, input/output, read-only, general.
        assert_eq!([19, 20].map(sqlite), [true; 2]);
        assert_eq!([13, 5, 10, 8, 1].map(sqlite), [false; 5]);
    }
}
