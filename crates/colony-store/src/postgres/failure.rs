//! What a refusal of PostgreSQL means for the transaction.

use tokio_postgres::error::SqlState;

use crate::error::{DriverError, is_transport};

/// Why a transaction may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It collided with another one; the next try may get through.
    Conflict,
    /// The connection is gone, or of no use any more.
    Lost,
    /// Another queen has taken the database over.
    TakenOver,
    /// Trying again would not help.
    Final,
}

impl Failure {
    pub(super) fn of(error: &DriverError) -> Self {
        match error {
            DriverError::Postgres(error) => Self::of_server(error),
            DriverError::Silent(_) => Self::Lost,
            DriverError::Sqlite(_) | DriverError::Moved => Self::Final,
        }
    }

    fn of_server(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return if is_transport(error) {
                Self::Lost
            } else {
                Self::Final
            };
        };
        let code = db.code();
        if collided(code) {
            Self::Conflict
        } else if ends_session(code) || db.routine() == Some("RevalidateCachedQuery") {
            // The latter: a migration changed what a prepared statement gives. A new connection
            // prepares it anew.
            Self::Lost
        } else {
            Self::Final
        }
    }
}

fn collided(code: &SqlState) -> bool {
    [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ]
    .contains(code)
}

fn ends_session(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::IDLE_SESSION_TIMEOUT,
            SqlState::TOO_MANY_CONNECTIONS,
        ]
        .contains(code)
}
