//! Rows on their way out of the database.

use std::sync::Arc;

use colony_core::id::{
    ArtifactId, DefinitionId, Epoch, RequestId, RunDataId, RunId, TaskId, TokenId, UserId,
};
use colony_core::method::Method;
use colony_core::state::{JobState, JobTaskState, RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::StoreError;
use crate::text::Text;
use crate::value::Json;

/// One stored value as the database gave it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// An integer, a time, or a truth value of SQLite.
    Int(i64),
    /// A truth value of PostgreSQL.
    Bool(bool),
    /// A floating-point number.
    Double(f64),
    /// Text.
    Text(Text),
    /// Bytes of any length but 16.
    Bytes(Vec<u8>),
    /// An id, or any other 16 bytes.
    Id(Uuid),
}

impl Cell {
    /// What kind of value this is, for messages; never the value, which may be a secret.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "an integer",
            Self::Bool(_) => "a truth value",
            Self::Double(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Id(_) => "16 bytes",
        }
    }
}

/// The statement that rows came from and the names of its columns, shared by all its rows.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) statement: String,
    pub(crate) names: Vec<String>,
}

/// One row of a result.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<Columns>,
    cells: Vec<Cell>,
}

impl Row {
    pub(crate) fn new(columns: Arc<Columns>, cells: Vec<Cell>) -> Self {
        Self { columns, cells }
    }

    /// The value of a column, by position (from 0) or name.
    ///
    /// # Errors
    ///
    /// Names the statement and the column when there is no such column or its value does not fit
    /// the wanted type.
    pub fn get<'r, T: FromCell<'r>>(&'r self, column: impl ColumnIndex) -> Result<T, StoreError> {
        let Some(index) = column.position(&self.columns.names) else {
            return Err(self.misfit(&column.name(), "there is no such column".to_owned()));
        };
        let cell = &self.cells[index];
        T::from_cell(cell).map_err(|wanted| {
            let problem = format!("expected {wanted}, found {}", cell.kind());
            self.misfit(&self.columns.names[index], problem)
        })
    }

    /// The raw values, in the order of the columns.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// An error that says that a column of this row makes no sense; for checks of domain types.
    pub fn misfit(&self, column: &str, problem: String) -> StoreError {
        StoreError::Value {
            statement: self.columns.statement.clone(),
            column: column.to_owned(),
            problem,
        }
    }
}

/// What rows of a list say. One that cannot be read is left out and logged: it must not hide the
/// others.
pub(crate) fn readable<T>(
    rows: &[Row],
    from_row: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        match from_row(row) {
            Ok(value) => values.push(value),
            Err(error @ StoreError::Value { .. }) => {
                tracing::error!("a row is left out of a list: {}", error.reason());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}

/// The position or the name of a column.
pub trait ColumnIndex: Copy {
    /// Where the column is.
    fn position(self, names: &[String]) -> Option<usize>;
    /// What to call it in a message.
    fn name(self) -> String;
}

impl ColumnIndex for usize {
    fn position(self, names: &[String]) -> Option<usize> {
        (self < names.len()).then_some(self)
    }

    fn name(self) -> String {
        format!("number {self}")
    }
}

impl ColumnIndex for &str {
    fn position(self, names: &[String]) -> Option<usize> {
        names.iter().position(|name| *name == self)
    }

    fn name(self) -> String {
        self.to_owned()
    }
}

/// What can be read from one column.
pub trait FromCell<'r>: Sized {
    /// The value.
    ///
    /// # Errors
    ///
    /// What was expected, as in "expected …".
    fn from_cell(cell: &'r Cell) -> Result<Self, &'static str>;
}

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    fn from_cell(cell: &'r Cell) -> Result<Self, &'static str> {
        match cell {
            Cell::Null => Ok(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

impl<T: DeserializeOwned> FromCell<'_> for Json<T> {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        json(cell).map(Json)
    }
}

fn json<T: DeserializeOwned>(cell: &Cell) -> Result<T, &'static str> {
    match cell {
        Cell::Text(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
    .ok_or("JSON text of the right shape")
}

/// Implements [`FromCell`] by the patterns that fit a type.
macro_rules! from_cell {
    ($($type:ty, $wanted:literal: $($pattern:pat $(if $guard:expr)? => $value:expr),+;)*) => {$(
        impl<'r> FromCell<'r> for $type {
            fn from_cell(cell: &'r Cell) -> Result<Self, &'static str> {
                match cell {
                    $($pattern $(if $guard)? => Ok($value),)+
                    _ => Err($wanted),
                }
            }
        }
    )*};
}

from_cell! {
    &'r str, "text": Cell::Text(text) => text;
    String, "text": Cell::Text(text) => text.to_string();
    Text, "text": Cell::Text(text) => text.clone();
    &'r [u8], "bytes": Cell::Bytes(bytes) => bytes, Cell::Id(id) => id.as_bytes();
    Vec<u8>, "bytes": Cell::Bytes(bytes) => bytes.clone(), Cell::Id(id) => id.as_bytes().to_vec();
    i64, "an integer": Cell::Int(int) => *int;
    bool, "a truth value": Cell::Bool(value) => *value, Cell::Int(int @ (0 | 1)) => *int == 1;
    f64, "a number": Cell::Double(value) => *value;
    Uuid, "an id": Cell::Id(id) => *id;
    Timestamp, "a time in milliseconds": Cell::Int(int) => Self::from_millis(*int);
    Epoch, "an epoch": Cell::Int(int) => Self(*int);
    RunId, "an id": Cell::Id(id) => Self::new(*id);
    TaskId, "an id": Cell::Id(id) => Self::new(*id);
    RequestId, "an id": Cell::Id(id) => Self::new(*id);
    DefinitionId, "an id": Cell::Id(id) => Self::new(*id);
    ArtifactId, "an id": Cell::Id(id) => Self::new(*id);
    RunDataId, "an id": Cell::Id(id) => Self::new(*id);
    UserId, "an id": Cell::Id(id) => Self::new(*id);
    TokenId, "an id": Cell::Id(id) => Self::new(*id);
}

impl FromCell<'_> for serde_json::Value {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        json(cell)
    }
}

impl FromCell<'_> for u32 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        narrow(cell)
    }
}

impl FromCell<'_> for i32 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        narrow(cell)
    }
}

fn narrow<T: TryFrom<i64>>(cell: &Cell) -> Result<T, &'static str> {
    i64::from_cell(cell)
        .and_then(|int| T::try_from(int).map_err(|_| "an integer of the right size"))
}

/// Implements [`FromCell`] for enumerations stored as their words.
macro_rules! from_word {
    ($($type:ty, $wanted:literal;)*) => {$(
        impl FromCell<'_> for $type {
            fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
                match cell {
                    Cell::Text(text) => text.parse().map_err(|_| $wanted),
                    _ => Err($wanted),
                }
            }
        }
    )*};
}

from_word! {
    Method, "the name of a method";
    JobState, "the state of a job";
    JobTaskState, "the state of a job's task";
    RunStatus, "the status of a run";
    TaskStatus, "the status of a task";
}
