//! Rows of PostgreSQL as rows of the store.

use std::sync::Arc;

use tokio_postgres::Statement;

use crate::error::{StoreError, excerpt};
use crate::row::{Cell, Columns, Row};

/// The rows of an answer.
pub(super) fn to_rows(
    sql: &str,
    statement: &Statement,
    rows: &[tokio_postgres::Row],
) -> Result<Vec<Row>, StoreError> {
    let names = statement.columns().iter();
    let columns = Arc::new(Columns {
        statement: excerpt(sql),
        names: names.map(|column| column.name().to_owned()).collect(),
    });
    rows.iter()
        .map(|row| {
            let cells = (0..row.len())
                .map(|index| {
                    row.try_get::<_, Cell>(index)
                        .map_err(|error| unreadable(&columns, index, &error))
                })
                .collect::<Result<Vec<Cell>, _>>()?;
            Ok(Row::new(Arc::clone(&columns), cells))
        })
        .collect()
}

fn unreadable(columns: &Columns, index: usize, error: &tokio_postgres::Error) -> StoreError {
    let reason = std::error::Error::source(error).map(ToString::to_string);
    StoreError::Value {
        statement: columns.statement.clone(),
        column: columns.names[index].clone(),
        problem: reason.unwrap_or_else(|| error.to_string()),
    }
}
