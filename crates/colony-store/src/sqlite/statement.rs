//! Running one statement on SQLite.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};
use uuid::Uuid;

use crate::error::{DriverError, StoreError, excerpt};
use crate::row::{Cell, Columns, Row};
use crate::value::Param;

/// Texts whose shape is remembered; lists with filters make texts of their own.
const KNOWN_SHAPES_MAX: usize = 1024;

/// Runs a statement; returns the number of rows changed, or given when it gives rows.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<u64, StoreError> {
    Prepared::new(connection, sql)?.execute(params)
}

/// Runs a statement; returns its rows.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<Row>, StoreError> {
    let mut result = Vec::new();
    Prepared::new(connection, sql)?.query(params, &mut result)?;
    Ok(result)
}

/// Runs a statement without values for its parameters; returns its rows.
pub(crate) fn explain(connection: &Connection, sql: &str) -> Result<Vec<Row>, StoreError> {
    let mut result = Vec::new();
    Prepared::new(connection, sql)?.fetch(&mut result)?;
    Ok(result)
}

/// A statement that can be run again and again.
pub(crate) struct Prepared<'c, 's> {
    statement: CachedStatement<'c>,
    shape: Rc<Shape>,
    sql: &'s str,
}

impl<'c, 's> Prepared<'c, 's> {
    pub(crate) fn new(connection: &'c Connection, sql: &'s str) -> Result<Self, StoreError> {
        let statement = connection
            .prepare_cached(sql)
            .map_err(|error| refused(sql, error))?;
        let shape = shape(&statement, sql)?;
        Ok(Self {
            statement,
            shape,
            sql,
        })
    }

    /// Runs it; returns the number of rows changed, or given when it gives rows.
    pub(crate) fn execute(&mut self, params: &[Param<'_>]) -> Result<u64, StoreError> {
        bind(&mut self.statement, &self.shape, self.sql, params)?;
        let count = if self.shape.columns.names.is_empty() {
            self.statement.raw_execute()
        } else {
            count_rows(&mut self.statement)
        };
        count
            .map(|count| count as u64)
            .map_err(|error| refused(self.sql, error))
    }

    /// Runs it; appends its rows.
    pub(crate) fn query(
        &mut self,
        params: &[Param<'_>],
        result: &mut Vec<Row>,
    ) -> Result<(), StoreError> {
        bind(&mut self.statement, &self.shape, self.sql, params)?;
        self.fetch(result)
    }

    fn fetch(&mut self, result: &mut Vec<Row>) -> Result<(), StoreError> {
        let columns = &self.shape.columns;
        let refused = |error| refused(self.sql, error);
        let mut rows = self.statement.raw_query();
        while let Some(row) = rows.next().map_err(refused)? {
            let cells = (0..columns.names.len())
                .map(|index| row.get_ref(index).map(cell))
                .collect::<rusqlite::Result<Vec<Cell>>>()
                .map_err(refused)?;
            result.push(Row::new(Arc::clone(columns), cells));
        }
        Ok(())
    }
}

fn count_rows(statement: &mut CachedStatement<'_>) -> rusqlite::Result<usize> {
    let mut rows = statement.raw_query();
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// What is known of a statement by its text.
struct Shape {
    columns: Arc<Columns>,
    /// For each parameter as SQLite numbers them, by first appearance: the `n` of its name `$n`.
    numbers: Vec<usize>,
}

/// The shape of a statement, read once per text and thread: texts are few and fixed.
fn shape(statement: &CachedStatement<'_>, sql: &str) -> Result<Rc<Shape>, StoreError> {
    thread_local! {
        static KNOWN: RefCell<HashMap<Box<str>, Rc<Shape>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(shape) = known.get(sql) {
            return Ok(Rc::clone(shape));
        }
        let shape = Rc::new(read_shape(statement, sql)?);
        if known.len() >= KNOWN_SHAPES_MAX {
            known.clear();
        }
        known.insert(sql.into(), Rc::clone(&shape));
        Ok(shape)
    })
}

fn read_shape(statement: &CachedStatement<'_>, sql: &str) -> Result<Shape, StoreError> {
    let columns = Arc::new(Columns {
        statement: excerpt(sql),
        names: statement.column_names().map(str::to_owned).collect(),
    });
    let number = |index| {
        let name = statement.parameter_name(index).unwrap_or("?");
        let number = name
            .strip_prefix('$')
            .and_then(|number| number.parse().ok());
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| parameter(sql, name.to_owned(), "there is no value for it"))
    };
    let numbers = (1..=statement.parameter_count()).map(number);
    Ok(Shape {
        columns,
        numbers: numbers.collect::<Result<_, _>>()?,
    })
}

/// Runs several statements without parameters.
pub(crate) fn script(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection
        .execute_batch(sql)
        .map_err(|error| refused(sql, error))
}

fn bind(
    statement: &mut CachedStatement<'_>,
    shape: &Shape,
    sql: &str,
    params: &[Param<'_>],
) -> Result<(), StoreError> {
    for (index, number) in shape.numbers.iter().enumerate() {
        let Some(param) = params.get(number - 1) else {
            return Err(parameter(
                sql,
                format!("${number}"),
                "there is no value for it",
            ));
        };
        statement
            .raw_bind_parameter(index + 1, param)
            .map_err(|error| refused(sql, error))?;
    }
    let highest = shape.numbers.iter().max().copied().unwrap_or(0);
    if highest != params.len() {
        let name = format!("${}", params.len());
        return Err(parameter(sql, name, "the statement does not use it"));
    }
    Ok(())
}

fn parameter(sql: &str, parameter: String, problem: &str) -> StoreError {
    StoreError::Parameter {
        statement: excerpt(sql),
        parameter,
        problem: problem.to_owned(),
    }
}

fn refused(sql: &str, error: rusqlite::Error) -> StoreError {
    let statement = excerpt(sql);
    let rule = match &error {
        rusqlite::Error::SqliteFailure(code, message)
            if code.code == ErrorCode::ConstraintViolation =>
        {
            Some(message.clone().unwrap_or_default())
        }
        _ => None,
    };
    let source = Arc::new(DriverError::Sqlite(error));
    match rule {
        Some(rule) => StoreError::Rule {
            statement,
            rule,
            source,
        },
        None => StoreError::Statement { statement, source },
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Id(id) => ValueRef::Blob(id.as_bytes()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Shared(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Bool(value) => ValueRef::Integer(i64::from(*value)),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Double(value) => ValueRef::Real(*value),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(int) => Cell::Int(int),
        ValueRef::Real(value) => Cell::Double(value),
        // SQLite stores any bytes as text; ours are UTF-8 unless the file was changed by hand.
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => Cell::Text(text.into()),
            Err(_) => Cell::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => match Uuid::from_slice(bytes) {
            Ok(id) => Cell::Id(id),
            Err(_) => Cell::Bytes(bytes.to_vec()),
        },
    }
}
