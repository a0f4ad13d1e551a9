//! Running one statement on SQLite.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};
use uuid::Uuid;

use crate::error::{DriverError, StoreError, excerpt};
use crate::row::{Cell, Columns, Row};
use crate::value::Param;

/// Texts whose columns are remembered; lists with filters make texts of their own.
const KNOWN_COLUMNS_MAX: usize = 1024;

/// Runs a statement; returns the number of rows changed, or given when it gives rows.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<u64, StoreError> {
    let mut statement = prepare(connection, sql, params)?;
    let count = if statement.column_count() == 0 {
        statement.raw_execute()
    } else {
        count_rows(&mut statement)
    };
    count
        .map(|count| count as u64)
        .map_err(|error| refused(sql, error))
}

fn count_rows(statement: &mut CachedStatement<'_>) -> rusqlite::Result<usize> {
    let mut rows = statement.raw_query();
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Runs a statement; returns its rows.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<Row>, StoreError> {
    let mut statement = prepare(connection, sql, params)?;
    let columns = columns(&statement, sql);
    let mut rows = statement.raw_query();
    let mut result = Vec::new();
    while let Some(row) = rows.next().map_err(|error| refused(sql, error))? {
        let cells = (0..columns.names.len())
            .map(|index| row.get_ref(index).map(cell))
            .collect::<rusqlite::Result<Vec<Cell>>>()
            .map_err(|error| refused(sql, error))?;
        result.push(Row::new(Arc::clone(&columns), cells));
    }
    Ok(result)
}

/// The names of a statement's columns, read once per text and thread: texts are few and fixed.
fn columns(statement: &CachedStatement<'_>, sql: &str) -> Arc<Columns> {
    thread_local! {
        static KNOWN: RefCell<HashMap<Box<str>, Arc<Columns>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(columns) = known.get(sql) {
            return Arc::clone(columns);
        }
        let columns = Arc::new(Columns {
            statement: excerpt(sql),
            names: statement.column_names().map(str::to_owned).collect(),
        });
        if known.len() >= KNOWN_COLUMNS_MAX {
            known.clear();
        }
        known.insert(sql.into(), Arc::clone(&columns));
        columns
    })
}

/// Runs several statements without parameters.
pub(crate) fn script(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection
        .execute_batch(sql)
        .map_err(|error| refused(sql, error))
}

fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<CachedStatement<'c>, StoreError> {
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| refused(sql, error))?;
    bind(&mut statement, sql, params)?;
    Ok(statement)
}

/// Binds by the number in the name `$n`: SQLite itself numbers parameters by first appearance.
fn bind(
    statement: &mut CachedStatement<'_>,
    sql: &str,
    params: &[Param<'_>],
) -> Result<(), StoreError> {
    let mut highest = 0;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).unwrap_or("?");
        let number = name
            .strip_prefix('$')
            .and_then(|number| number.parse::<usize>().ok());
        let Some((number, param)) =
            number.and_then(|number| Some((number, params.get(number.checked_sub(1)?)?)))
        else {
            let name = name.to_owned();
            return Err(parameter(sql, name, "there is no value for it"));
        };
        highest = highest.max(number);
        statement
            .raw_bind_parameter(index, param)
            .map_err(|error| refused(sql, error))?;
    }
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
    let source = Box::new(DriverError::Sqlite(error));
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
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => match Uuid::from_slice(bytes) {
            Ok(id) => Cell::Id(id),
            Err(_) => Cell::Bytes(bytes.to_vec()),
        },
    }
}
