//! What the database knows of the object store: which objects it names, and by which mark it is
//! known there.

use std::collections::HashSet;

use colony_core::id::TaskId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// How a database is known in its object store. The turn is a new id at each sweep, written here
/// and there: a copy of the database, or one from a backup, is behind by some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectMark {
    /// Names the database.
    pub id: Uuid,
    /// The turn that the object store has, or is about to have.
    pub turn: Uuid,
    /// The turn that it has if the last change did not reach it.
    pub last: Uuid,
}

impl ObjectMark {
    /// A mark that nobody has seen yet.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            turn: id,
            last: id,
        }
    }

    /// The same database at its next turn; `seen` is the turn that the object store has.
    #[must_use]
    pub fn next(self, turn: Uuid, seen: Uuid) -> Self {
        Self {
            turn,
            last: seen,
            ..self
        }
    }

    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let text: String = row.get(0)?;
        let ids: Vec<Uuid> = text.split(' ').flat_map(Uuid::try_parse).collect();
        match ids[..] {
            [id, turn, last] => Ok(Self { id, turn, last }),
            _ => Err(row.misfit("value", "not three ids".to_owned())),
        }
    }
}

/// The mark of this database, if it has one.
///
/// # Errors
///
/// The database's.
pub fn find_object_mark(tx: &mut Tx<'_>) -> Result<Option<ObjectMark>, StoreError> {
    let sql = "SELECT value FROM settings WHERE name = 'object_mark'";
    let row = tx.query_opt(sql, &[])?;
    row.as_ref().map(ObjectMark::from_row).transpose()
}

/// Gives the database that mark.
///
/// # Errors
///
/// The database's.
pub fn set_object_mark(tx: &mut Tx<'_>, mark: &ObjectMark) -> Result<(), StoreError> {
    let text = format!("{} {} {}", mark.id, mark.turn, mark.last);
    tx.execute(
        "INSERT INTO settings (name, value) VALUES ('object_mark', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[&text],
    )?;
    Ok(())
}

/// The oldest task that somebody is at work on. All objects of work that is under way have later
/// ids.
///
/// # Errors
///
/// The database's.
pub fn oldest_task_at_work(tx: &mut Tx<'_>) -> Result<Option<TaskId>, StoreError> {
    let row = tx.query_opt("SELECT task_id FROM leases ORDER BY task_id LIMIT 1", &[])?;
    row.map(|row| row.get(0)).transpose()
}

/// Which of these objects some row names, deleted rows among them.
///
/// # Errors
///
/// The database's.
pub fn named_objects(tx: &mut Tx<'_>, keys: &[String]) -> Result<HashSet<String>, StoreError> {
    let sql = "SELECT object_key FROM artifacts WHERE object_key IS NOT NULL \
               AND object_key IN ({list})";
    let rows = tx.query_list(sql, &[], keys)?;
    rows.iter().map(|row| row.get(0)).collect()
}
