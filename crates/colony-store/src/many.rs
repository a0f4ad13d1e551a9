//! Many values in one statement.
//!
//! On PostgreSQL a statement costs a round trip and a plan, so rows and lists go as arrays: one
//! short text for any number of them. On SQLite a long statement is slow to prepare and badly
//! planned, so a few rows go together: a statement that fires triggers first copies each page that
//! it changes, once. Rows and lists are cut into powers of two, so that few texts exist.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::{Dialect, Tx};
use crate::value::{Param, ToParam};

/// The most rows or keys in one statement of PostgreSQL: bounds what is sent at once.
const ARRAY_MAX: usize = 4096;

/// The most keys in one statement of SQLite; more was not measured to be faster.
const LIST_MAX: usize = 256;

/// The most rows in one statement of SQLite, a power of two; more was not measured to be faster.
const ROWS_MAX: usize = 16;

/// Statements of SQLite that are remembered with the texts made of them.
const KNOWN_TEXTS_MAX: usize = 256;

/// Where rows go in a statement: `VALUES {rows: id, text, …}` with the types of the columns.
const ROWS: &str = "VALUES {rows:";

/// Where a list goes in a statement.
const LIST: &str = "IN ({list})";

impl Tx<'_> {
    /// Runs a statement for many rows, in as few statements as possible; returns the number of rows
    /// changed.
    ///
    /// `VALUES {rows: …}` in the statement stands for the rows, with the types of their columns;
    /// `shared` are the parameters before them:
    ///
    /// ```text
    /// INSERT INTO tags (run_id, name) VALUES {rows: id, text} ON CONFLICT DO NOTHING
    /// WITH new (id, state) AS (VALUES {rows: id, text})
    ///     UPDATE tasks SET state = new.state, changed_at = $1 FROM new WHERE tasks.id = new.id
    /// ```
    ///
    /// Types are `id`, `text`, `int`, `bool`, `bytes` and `double`; JSON is `text`, a time is `int`.
    ///
    /// A statement for SQLite may name the columns of the row itself, as the parameters after the
    /// shared ones: it is run once for each row.
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
        if rows.is_empty() {
            return Ok(0);
        }
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        let mut count = 0;
        match self.dialect() {
            Dialect::Sqlite => {
                for (rows, size) in cut(sql, rows) {
                    let text = known_text(sql, shared.len(), N, size);
                    let values = rows.chunks(size).map(|rows| values(rows, &columns));
                    count += self.execute_each(&text, &shared, values)?;
                }
                Ok(count)
            }
            Dialect::Postgres => {
                let text = RowsTemplate::parse(sql).arrays(shared.len(), N);
                for chunk in rows.chunks(ARRAY_MAX) {
                    count += self.execute_arrays(&text, &shared, &transpose(chunk, &columns))?;
                }
                Ok(count)
            }
        }
    }

    /// As [`Tx::execute_rows`], without waiting for the answer: see [`Tx::send`].
    ///
    /// # Errors
    ///
    /// The database refused it, or a statement before it.
    pub fn send_rows<R, const N: usize>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        rows: &[R],
        columns: impl for<'r> Fn(&'r R) -> [Param<'r>; N],
    ) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite || rows.is_empty() {
            return self.execute_rows(sql, shared, rows, columns).map(drop);
        }
        let text = RowsTemplate::parse(sql).arrays(shared.len(), N);
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        for chunk in rows.chunks(ARRAY_MAX) {
            self.send_arrays(&text, &shared, &transpose(chunk, &columns))?;
        }
        Ok(())
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
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        let mut result = Vec::new();
        match self.dialect() {
            Dialect::Sqlite => {
                for (rows, size) in cut(sql, rows) {
                    let text = known_text(sql, shared.len(), N, size);
                    let values = rows.chunks(size).map(|rows| values(rows, &columns));
                    result.extend(self.query_each(&text, &shared, values)?);
                }
                Ok(result)
            }
            Dialect::Postgres => {
                let text = RowsTemplate::parse(sql).arrays(shared.len(), N);
                for chunk in rows.chunks(ARRAY_MAX) {
                    result.extend(self.query_arrays(
                        &text,
                        &shared,
                        &transpose(chunk, &columns),
                    )?);
                }
                Ok(result)
            }
        }
    }

    /// Runs a statement with a list of keys, `… WHERE id IN ({list}) AND state = $1`; returns the
    /// number of rows changed.
    ///
    /// A long list takes several statements, so an order or a limit holds only within each. The
    /// keys are ids, texts or integers, all of one kind.
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
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        match self.dialect() {
            Dialect::Sqlite => {
                for chunk in keys.chunks(LIST_MAX) {
                    let (text, params) = list(sql, &shared, chunk);
                    count += self.execute_params(&text, &params)?;
                }
            }
            Dialect::Postgres => {
                for chunk in keys.chunks(ARRAY_MAX) {
                    let keys: Vec<Param<'_>> = chunk.iter().map(ToParam::to_param).collect();
                    let text = sql.replace(LIST, &any(shared.len() + 1, &keys));
                    count += self.execute_arrays(&text, &shared, &[keys])?;
                }
            }
        }
        Ok(count)
    }

    /// As [`Tx::execute_list`], without waiting for the answer: see [`Tx::send`].
    ///
    /// # Errors
    ///
    /// The database refused it, or a statement before it.
    pub fn send_list<K: ToParam>(
        &mut self,
        sql: &str,
        shared: &[&dyn ToParam],
        keys: &[K],
    ) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            return self.execute_list(sql, shared, keys).map(drop);
        }
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        for chunk in keys.chunks(ARRAY_MAX) {
            let keys: Vec<Param<'_>> = chunk.iter().map(ToParam::to_param).collect();
            let text = sql.replace(LIST, &any(shared.len() + 1, &keys));
            self.send_arrays(&text, &shared, &[keys])?;
        }
        Ok(())
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
        let shared: Vec<Param<'_>> = shared.iter().map(|param| param.to_param()).collect();
        match self.dialect() {
            Dialect::Sqlite => {
                for chunk in keys.chunks(LIST_MAX) {
                    let (text, params) = list(sql, &shared, chunk);
                    result.extend(self.query_params(&text, &params)?);
                }
            }
            Dialect::Postgres => {
                for chunk in keys.chunks(ARRAY_MAX) {
                    let keys: Vec<Param<'_>> = chunk.iter().map(ToParam::to_param).collect();
                    let text = sql.replace(LIST, &any(shared.len() + 1, &keys));
                    result.extend(self.query_arrays(&text, &shared, &[keys])?);
                }
            }
        }
        Ok(result)
    }
}

/// The text that gives columns of many rows new values: the key first among the parameters, then the
/// columns, each with its type, `name: type`.
pub(crate) fn update_text(dialect: Dialect, table: &str, key: &str, columns: &[&str]) -> String {
    let name = |column: &'_ str| column.split(':').next().unwrap_or(column).to_owned();
    let names: Vec<String> = columns.iter().map(|column| name(column)).collect();
    let key_name = name(key);
    match dialect {
        Dialect::Sqlite => {
            let set = names.iter().zip(2..);
            let set: Vec<String> = set.map(|(name, n)| format!("{name} = ${n}")).collect();
            format!(
                "UPDATE {table} SET {} WHERE {key_name} = $1",
                set.join(", ")
            )
        }
        Dialect::Postgres => {
            let types = std::iter::once(key).chain(columns.iter().copied());
            let types = types.filter_map(|column| Some(column.split_once(':')?.1.trim()));
            let types: Vec<&str> = types.collect();
            let set: Vec<String> = names
                .iter()
                .map(|name| format!("{name} = new.{name}"))
                .collect();
            format!(
                "WITH new ({key_name}, {}) AS (VALUES {{rows: {}}}) UPDATE {table} SET {} FROM new \
                 WHERE {table}.{key_name} = new.{key_name}",
                names.join(", "),
                types.join(", "),
                set.join(", ")
            )
        }
    }
}

/// Rows as columns.
fn transpose<'r, R, const N: usize>(
    rows: &'r [R],
    columns: impl Fn(&'r R) -> [Param<'r>; N],
) -> Vec<Vec<Param<'r>>> {
    let mut result: Vec<Vec<Param<'r>>> = (0..N).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, param) in result.iter_mut().zip(columns(row)) {
            column.push(param);
        }
    }
    result
}

/// A statement of SQLite with a list, and its parameters.
fn list<'p, K: ToParam>(
    sql: &str,
    shared: &'p [Param<'_>],
    keys: &'p [K],
) -> (String, Vec<Param<'p>>) {
    // Filled up with the last key: naming a key twice changes nothing.
    let length = keys.len().next_power_of_two();
    let filled = (0..length).map(|index| &keys[index.min(keys.len() - 1)]);
    let mut params: Vec<Param<'p>> = shared.iter().map(ToParam::to_param).collect();
    params.extend(filled.map(ToParam::to_param));
    let numbers = (shared.len() + 1..=params.len()).map(|number| format!("${number}"));
    let numbers = numbers.collect::<Vec<_>>().join(", ");
    (sql.replace(LIST, &format!("IN ({numbers})")), params)
}

/// A list as PostgreSQL takes it.
fn any(number: usize, keys: &[Param<'_>]) -> String {
    let array = match keys.first() {
        Some(Param::Text(_) | Param::Shared(_)) => "text",
        Some(Param::Int(_)) => "bigint",
        _ => "uuid",
    };
    format!("= ANY(${number}::{array}[])")
}

/// A statement cut at its rows.
struct RowsTemplate<'s> {
    before: &'s str,
    /// The types of the columns; none when the statement names the columns of a row itself.
    types: Option<&'s str>,
    after: &'s str,
}

impl<'s> RowsTemplate<'s> {
    fn parse(sql: &'s str) -> Self {
        let Some((before, rest)) = sql.split_once(ROWS) else {
            return Self {
                before: sql,
                types: None,
                after: "",
            };
        };
        let (types, after) = rest
            .split_once('}')
            .expect("the place of the rows is closed by a brace");
        Self {
            before,
            types: Some(types),
            after,
        }
    }

    /// As PostgreSQL takes it: an array for each column.
    fn arrays(&self, shared: usize, columns: usize) -> String {
        let Some(types) = self.types else {
            return self.before.to_owned();
        };
        let numbers = shared + 1..=shared + columns;
        let arrays: Vec<String> = (numbers.zip(types.split(',').map(array)))
            .map(|(number, array)| format!("${number}::{array}"))
            .collect();
        let arrays = arrays.join(", ");
        format!(
            "{}SELECT * FROM UNNEST({arrays}){}",
            self.before, self.after
        )
    }

    /// As SQLite takes it, with that many rows.
    fn values(&self, shared: usize, columns: usize, rows: usize) -> String {
        if self.types.is_none() {
            return self.before.to_owned();
        }
        let row = |row: usize| {
            let first = shared + row * columns + 1;
            let numbers = (first..first + columns).map(|number| format!("${number}"));
            format!("({})", numbers.collect::<Vec<_>>().join(", "))
        };
        let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
        format!("{}VALUES {rows}{}", self.before, self.after)
    }
}

/// Rows cut by how many of them go into a statement of SQLite.
fn cut<'r, R>(sql: &str, rows: &'r [R]) -> Vec<(&'r [R], usize)> {
    if !sql.contains(ROWS) {
        return vec![(rows, 1)];
    }
    let mut parts = Vec::new();
    let (mut rest, mut size) = (rows, ROWS_MAX);
    while !rest.is_empty() {
        let (part, others) = rest.split_at(rest.len() - rest.len() % size);
        if !part.is_empty() {
            parts.push((part, size));
        }
        (rest, size) = (others, size / 2);
    }
    parts
}

/// The text for that many rows, which takes longer to make than a statement to run.
fn known_text(sql: &str, shared: usize, columns: usize, rows: usize) -> Rc<str> {
    type Texts = HashMap<usize, Rc<str>>;
    thread_local! {
        static KNOWN: RefCell<HashMap<Box<str>, Texts>> = RefCell::default();
    }
    let make = || {
        RowsTemplate::parse(sql)
            .values(shared, columns, rows)
            .into()
    };
    KNOWN.with_borrow_mut(|known| {
        if let Some(texts) = known.get_mut(sql) {
            return Rc::clone(texts.entry(rows).or_insert_with(make));
        }
        if known.len() >= KNOWN_TEXTS_MAX {
            known.clear();
        }
        let text: Rc<str> = make();
        known.insert(sql.into(), [(rows, Rc::clone(&text))].into());
        text
    })
}

/// The values of rows, one row after the other.
fn values<'r, R, const N: usize>(
    rows: &'r [R],
    columns: impl Fn(&'r R) -> [Param<'r>; N],
) -> Vec<Param<'r>> {
    rows.iter().flat_map(columns).collect()
}

fn array(word: &str) -> &'static str {
    match word.trim() {
        "id" => "uuid[]",
        "text" => "text[]",
        "int" => "bigint[]",
        "bool" => "boolean[]",
        "bytes" => "bytea[]",
        "double" => "double precision[]",
        other => panic!("`{other}` is not a type of columns"),
    }
}
