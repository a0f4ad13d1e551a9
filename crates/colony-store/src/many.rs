//! Many values in one statement.
//!
//! Lists of rows and of keys are cut into powers of two, so that few statement texts exist and
//! their plans stay cached.

use std::fmt::Write as _;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::{Dialect, Tx};
use crate::value::{Param, ToParam};

/// The most rows in one statement; more was not measured to be faster.
const ROWS_MAX: usize = 256;

/// The most parameters in one statement; SQLite allows 32 766.
const PARAMS_MAX: usize = 16_384;

/// Where rows go in a statement: `{rows}`, or `{rows: id, text, …}` with the types of the columns
/// where PostgreSQL cannot tell them.
const ROWS: &str = "{rows";

/// Where a list goes in a statement.
const LIST: &str = "{list}";

impl Tx<'_> {
    /// Runs a statement for many rows, in as few statements as possible; returns the number of rows
    /// changed.
    ///
    /// `{rows}` in the statement stands for the rows, `($2, $3), ($4, $5), …`; `shared` are the
    /// parameters before them. In an `INSERT` the columns give the types; elsewhere name them:
    ///
    /// ```text
    /// INSERT INTO tags (run_id, name) VALUES {rows} ON CONFLICT DO NOTHING
    /// WITH new (id, state) AS (VALUES {rows: id, text})
    ///     UPDATE tasks SET state = new.state, changed_at = $1 FROM new WHERE tasks.id = new.id
    /// ```
    ///
    /// Types are `id`, `text`, `int`, `bool`, `bytes` and `double`; JSON is `text`, a time is `int`.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn execute_rows<R, const N: usize>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        rows: &[R],
        columns: impl for<'r> Fn(&'r R) -> [Param<'r>; N],
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        self.for_rows(sql, shared, rows, columns, |tx, sql, params| {
            count += tx.execute_params(sql, params)?;
            Ok(())
        })?;
        Ok(count)
    }

    /// As [`Tx::execute_rows`]; returns what `RETURNING` or `SELECT` gives.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn query_rows<R, const N: usize>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        rows: &[R],
        columns: impl for<'r> Fn(&'r R) -> [Param<'r>; N],
    ) -> Result<Vec<Row>, StoreError> {
        let mut result = Vec::new();
        self.for_rows(sql, shared, rows, columns, |tx, sql, params| {
            result.extend(tx.query_params(sql, params)?);
            Ok(())
        })?;
        Ok(result)
    }

    /// Runs a statement with a list of keys, `… WHERE id IN ({list}) AND state = $1`; returns the
    /// number of rows changed.
    ///
    /// A long list takes several statements, so an order or a limit holds only within each.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn execute_list<K: ToParam>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        keys: &[K],
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        self.for_list(sql, shared, keys, |tx, sql, params| {
            count += tx.execute_params(sql, params)?;
            Ok(())
        })?;
        Ok(count)
    }

    /// As [`Tx::execute_list`]; returns the rows.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn query_list<K: ToParam>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        keys: &[K],
    ) -> Result<Vec<Row>, StoreError> {
        let mut result = Vec::new();
        self.for_list(sql, shared, keys, |tx, sql, params| {
            result.extend(tx.query_params(sql, params)?);
            Ok(())
        })?;
        Ok(result)
    }

    fn for_rows<R, const N: usize>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        rows: &[R],
        columns: impl for<'r> Fn(&'r R) -> [Param<'r>; N],
        mut run: impl FnMut(&mut Self, &str, &[Param<'_>]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let template = RowsTemplate::parse(sql, self.dialect());
        let chunk_max = ROWS_MAX.min(floor_power_of_two(PARAMS_MAX / N.max(1)));
        let mut rest = rows;
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(floor_power_of_two(rest.len()).min(chunk_max));
            rest = later;
            let mut params: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
            params.extend(chunk.iter().flat_map(&columns));
            run(self, &template.text(shared.len(), chunk.len(), N), &params)?;
        }
        Ok(())
    }

    fn for_list<K: ToParam>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        keys: &[K],
        mut run: impl FnMut(&mut Self, &str, &[Param<'_>]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for chunk in keys.chunks(ROWS_MAX) {
            // Filled up with the last key: naming a key twice changes nothing.
            let length = chunk.len().next_power_of_two();
            let filled = (0..length).map(|index| &chunk[index.min(chunk.len() - 1)]);
            let mut params: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
            params.extend(filled.map(ToParam::to_param));
            let list = (shared.len() + 1..=params.len())
                .map(|number| format!("${number}"))
                .collect::<Vec<_>>()
                .join(", ");
            run(self, &sql.replace(LIST, &list), &params)?;
        }
        Ok(())
    }
}

fn floor_power_of_two(number: usize) -> usize {
    match number {
        0 => 1,
        number => 1 << number.ilog2(),
    }
}

/// A statement cut at its `{rows}`.
struct RowsTemplate<'s> {
    before: &'s str,
    /// Casts for the first row, which types the others; empty where none are needed.
    casts: Vec<&'static str>,
    after: &'s str,
}

impl<'s> RowsTemplate<'s> {
    fn parse(sql: &'s str, dialect: Dialect) -> Self {
        let (before, rest) = sql
            .split_once(ROWS)
            .expect("a statement for many rows says where they go");
        let (types, after) = rest
            .split_once('}')
            .expect("the place of the rows is closed by a brace");
        let casts = match (dialect, types.strip_prefix(':')) {
            (Dialect::Postgres, Some(types)) => types.split(',').map(cast).collect(),
            // SQLite's values carry their types.
            _ => Vec::new(),
        };
        Self {
            before,
            casts,
            after,
        }
    }

    fn text(&self, shared: usize, rows: usize, columns: usize) -> String {
        let mut text =
            String::with_capacity(self.before.len() + self.after.len() + rows * (columns * 7 + 4));
        text.push_str(self.before);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..columns {
                let comma = if column == 0 { "" } else { ", " };
                let number = shared + row * columns + column + 1;
                let cast = self.casts.get(column).filter(|_| row == 0).unwrap_or(&"");
                write!(text, "{comma}${number}{cast}").expect("writing to a string succeeds");
            }
            text.push(')');
        }
        text.push_str(self.after);
        text
    }
}

fn cast(word: &str) -> &'static str {
    match word.trim() {
        "id" => "::uuid",
        "text" => "::text",
        "int" => "::bigint",
        "bool" => "::boolean",
        "bytes" => "::bytea",
        "double" => "::double precision",
        other => panic!("`{other}` is not a type of columns"),
    }
}
