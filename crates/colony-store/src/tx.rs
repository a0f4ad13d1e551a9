//! A transaction as closures see it.

use crate::error::{StoreError, excerpt};
use crate::postgres::{Arg, Session};
use crate::row::Row;
use crate::sqlite::Prepared;
use crate::stats::Counters;
use crate::value::{Param, ToParam};

/// Which database it is, for the few statements that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A running transaction.
///
/// Statements are written once, in what both databases understand: parameters `$1…$n` in any order
/// and as often as wanted, `RETURNING`, `ON CONFLICT`, window functions, `CAST(… AS BIGINT)` and
/// `CAST(… AS TEXT)`. PostgreSQL must be able to tell the type of each parameter from its place.
/// Types of parameters and columns are those of [`Param`]; `SUM` of integers needs
/// `CAST(… AS BIGINT)`.
///
/// A statement that fails ends the transaction on both databases: whatever the closure returns,
/// its changes are rolled back. Use `ON CONFLICT` where a collision is expected.
pub struct Tx<'a> {
    backend: Backend<'a>,
    counters: &'a Counters,
    failed: bool,
    /// Whether something but `SELECT` was run.
    changed: bool,
    /// Plans of the statements so far, when they are asked for.
    plans: Option<Vec<Plan>>,
}

/// How the database carries a statement out, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The statement.
    pub statement: String,
    /// Its plan, a line a step.
    pub plan: String,
}

enum Backend<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut Session),
}

impl<'a> Tx<'a> {
    pub(crate) fn sqlite(connection: &'a rusqlite::Connection, counters: &'a Counters) -> Self {
        Self::new(Backend::Sqlite(connection), counters)
    }

    pub(crate) fn postgres(session: &'a mut Session, counters: &'a Counters) -> Self {
        Self::new(Backend::Postgres(session), counters)
    }

    fn new(backend: Backend<'a>, counters: &'a Counters) -> Self {
        Self {
            backend,
            counters,
            failed: false,
            changed: false,
            plans: None,
        }
    }

    /// Runs verbs and returns the plan of each of their statements. For tests: a hot statement
    /// must find its rows by an index, however many there are.
    ///
    /// # Errors
    ///
    /// The closure's.
    pub fn explain<E>(
        &mut self,
        closure: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Vec<Plan>, E> {
        self.plans = Some(Vec::new());
        let result = closure(self);
        let plans = self.plans.take().unwrap_or_default();
        result.map(|()| plans)
    }

    fn note_plan(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        arrays: &[Vec<Param<'_>>],
    ) -> Result<(), StoreError> {
        let Some(plans) = &mut self.plans else {
            return Ok(());
        };
        let rows = match &mut self.backend {
            // Values do not change a plan here.
            Backend::Sqlite(connection) => {
                crate::sqlite::explain(connection, &format!("EXPLAIN QUERY PLAN {sql}"))?
            }
            Backend::Postgres(session) => {
                session.query(&format!("EXPLAIN {sql}"), &args(params, arrays))?
            }
        };
        let steps: Result<Vec<&str>, _> = (rows.iter())
            .map(|row| row.get(row.cells().len() - 1))
            .collect();
        plans.push(Plan {
            statement: sql.to_owned(),
            plan: steps?.join("\n"),
        });
        Ok(())
    }

    /// Runs a statement; returns the number of rows that it changed.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn execute(&mut self, sql: &str, params: &[&dyn ToParam]) -> Result<u64, StoreError> {
        self.execute_params(sql, &to_params(params))
    }

    /// Runs a statement of which nobody needs the number of rows and that is not expected to fail.
    ///
    /// On PostgreSQL it travels together with the next statement that is waited for, so it costs
    /// no round trip. When it is refused after all, that statement or the commit says so.
    ///
    /// # Errors
    ///
    /// The database refused it, or one before it.
    pub fn send(&mut self, sql: &str, params: &[&dyn ToParam]) -> Result<(), StoreError> {
        self.send_params(sql, &to_params(params))
    }

    /// Runs a statement; returns its rows.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn query(&mut self, sql: &str, params: &[&dyn ToParam]) -> Result<Vec<Row>, StoreError> {
        self.query_params(sql, &to_params(params))
    }

    /// Runs a statement that gives at most one row.
    ///
    /// # Errors
    ///
    /// The database refused it, or it gave more rows.
    pub fn query_opt(
        &mut self,
        sql: &str,
        params: &[&dyn ToParam],
    ) -> Result<Option<Row>, StoreError> {
        let mut rows = self.query(sql, params)?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            count => Err(row_count(sql, count)),
        }
    }

    /// Runs a statement that gives exactly one row.
    ///
    /// # Errors
    ///
    /// The database refused it, or it gave another number of rows.
    pub fn query_one(&mut self, sql: &str, params: &[&dyn ToParam]) -> Result<Row, StoreError> {
        self.query_opt(sql, params)?
            .ok_or_else(|| row_count(sql, 0))
    }

    /// Waits for the answers to everything that was sent.
    ///
    /// # Errors
    ///
    /// One of the statements was refused.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        let result = match &mut self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(session) => session.settle(),
        };
        self.note_failure(result)
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self.backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The ending of a `SELECT` that locks its rows until the end of the transaction. Empty on
    /// SQLite, whose one writer needs none.
    pub fn for_update(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }

    /// As [`Tx::for_update`], leaving out rows that others have locked.
    pub fn skip_locked(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    pub(crate) fn execute_params(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<u64, StoreError> {
        self.start_statement(sql, params)?;
        self.note_plan(sql, params, &[])?;
        let result = match &mut self.backend {
            Backend::Sqlite(connection) => crate::sqlite::execute(connection, sql, params),
            Backend::Postgres(session) => session.execute(sql, &args(params, &[])),
        };
        self.note_failure(result)
    }

    pub(crate) fn send_params(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<(), StoreError> {
        self.start_statement(sql, params)?;
        self.note_plan(sql, params, &[])?;
        let result = match &mut self.backend {
            Backend::Sqlite(connection) => {
                crate::sqlite::execute(connection, sql, params).map(drop)
            }
            Backend::Postgres(session) => session.send(sql, &args(params, &[])),
        };
        self.note_failure(result)
    }

    pub(crate) fn query_params(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.start_statement(sql, params)?;
        self.note_plan(sql, params, &[])?;
        let result = match &mut self.backend {
            Backend::Sqlite(connection) => crate::sqlite::query(connection, sql, params),
            Backend::Postgres(session) => session.query(sql, &args(params, &[])),
        };
        self.note_failure(result)
    }

    /// Runs a statement whose last parameters are arrays. Only PostgreSQL has arrays.
    pub(crate) fn execute_arrays(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        arrays: &[Vec<Param<'_>>],
    ) -> Result<u64, StoreError> {
        self.start_statement(sql, params)?;
        self.check_arrays(sql, arrays)?;
        self.note_plan(sql, params, arrays)?;
        let result = match &mut self.backend {
            Backend::Sqlite(_) => Err(no_arrays(sql)),
            Backend::Postgres(session) => session.execute(sql, &args(params, arrays)),
        };
        self.note_failure(result)
    }

    /// As [`Tx::execute_arrays`], without waiting for the answer.
    pub(crate) fn send_arrays(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        arrays: &[Vec<Param<'_>>],
    ) -> Result<(), StoreError> {
        self.start_statement(sql, params)?;
        self.check_arrays(sql, arrays)?;
        self.note_plan(sql, params, arrays)?;
        let result = match &mut self.backend {
            Backend::Sqlite(_) => Err(no_arrays(sql)),
            Backend::Postgres(session) => session.send(sql, &args(params, arrays)),
        };
        self.note_failure(result)
    }

    /// As [`Tx::execute_arrays`]; returns the rows.
    pub(crate) fn query_arrays(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        arrays: &[Vec<Param<'_>>],
    ) -> Result<Vec<Row>, StoreError> {
        self.start_statement(sql, params)?;
        self.check_arrays(sql, arrays)?;
        self.note_plan(sql, params, arrays)?;
        let result = match &mut self.backend {
            Backend::Sqlite(_) => Err(no_arrays(sql)),
            Backend::Postgres(session) => session.query(sql, &args(params, arrays)),
        };
        self.note_failure(result)
    }

    /// Runs a statement once for each set of values, which follow the shared parameters; returns
    /// the number of rows that were changed. It is prepared once. For SQLite, where that is all.
    pub(crate) fn execute_each<'p>(
        &mut self,
        sql: &str,
        shared: &'p [Param<'p>],
        rows: impl IntoIterator<Item = Vec<Param<'p>>>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        self.for_each(sql, shared, rows, |statement, params| {
            count += statement.execute(params)?;
            Ok(())
        })?;
        Ok(count)
    }

    /// As [`Tx::execute_each`]; returns the rows.
    pub(crate) fn query_each<'p>(
        &mut self,
        sql: &str,
        shared: &'p [Param<'p>],
        rows: impl IntoIterator<Item = Vec<Param<'p>>>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut result = Vec::new();
        self.for_each(sql, shared, rows, |statement, params| {
            statement.query(params, &mut result)
        })?;
        Ok(result)
    }

    fn for_each<'p>(
        &mut self,
        sql: &str,
        shared: &'p [Param<'p>],
        rows: impl IntoIterator<Item = Vec<Param<'p>>>,
        mut run: impl FnMut(&mut Prepared<'_, '_>, &[Param<'_>]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.start_statement(sql, shared)?;
        self.note_plan(sql, &[], &[])?;
        let Backend::Sqlite(connection) = self.backend else {
            return Err(no_arrays(sql));
        };
        let result = Prepared::new(connection, sql).and_then(|mut statement| {
            let mut params: Vec<Param<'_>> = shared.iter().map(ToParam::to_param).collect();
            for row in rows {
                params.truncate(shared.len());
                params.extend(row);
                check_params(sql, &params[shared.len()..])?;
                run(&mut statement, &params)?;
            }
            Ok(())
        });
        self.note_failure(result)
    }

    /// Runs several statements without parameters; for migrations.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.start_statement(sql, &[])?;
        let result = match &mut self.backend {
            Backend::Sqlite(connection) => crate::sqlite::script(connection, sql),
            Backend::Postgres(session) => session.script(sql),
        };
        self.note_failure(result)
    }

    fn start_statement(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::TransactionFailed);
        }
        self.counters.statement();
        self.changed |= !sql.trim_start().starts_with("SELECT");
        let checked = check_params(sql, params);
        self.note_failure(checked)
    }

    fn check_arrays(&mut self, sql: &str, arrays: &[Vec<Param<'_>>]) -> Result<(), StoreError> {
        let checked = (arrays.iter()).try_for_each(|array| check_params(sql, array));
        self.note_failure(checked)
    }

    fn note_failure<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.failed |= result.is_err();
        result
    }

    /// Whether a statement has failed, so that nothing may be committed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether nothing was changed and nothing has failed, as far as known here.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.failed && !self.changed
    }

    pub(crate) fn count_closure(&self) {
        self.counters.closure();
    }

    pub(crate) fn count_operations(&self, number: usize) {
        self.counters.operations(number);
    }
}

fn to_params<'p>(params: &[&'p dyn ToParam]) -> Vec<Param<'p>> {
    params.iter().map(|&param| param.to_param()).collect()
}

/// What a statement of PostgreSQL is given.
fn args<'p>(params: &'p [Param<'p>], arrays: &'p [Vec<Param<'p>>]) -> Vec<Arg<'p>> {
    let arrays = arrays.iter().map(|array| Arg::Many(array));
    params.iter().map(Arg::One).chain(arrays).collect()
}

fn no_arrays(sql: &str) -> StoreError {
    StoreError::Parameter {
        statement: excerpt(sql),
        parameter: "an array".to_owned(),
        problem: "only PostgreSQL has arrays".to_owned(),
    }
}

/// Refuses what only one of the databases would store.
fn check_params(sql: &str, params: &[Param<'_>]) -> Result<(), StoreError> {
    for (index, param) in params.iter().enumerate() {
        let problem = match param {
            Param::Text(text) if has_nul(text) => "text with the character NUL",
            Param::Shared(text) if has_nul(text) => "text with the character NUL",
            Param::Double(value) if value.is_nan() => "a double that is not a number",
            _ => continue,
        };
        return Err(StoreError::Parameter {
            statement: excerpt(sql),
            parameter: format!("${}", index + 1),
            problem: format!("{problem} cannot be stored"),
        });
    }
    Ok(())
}

fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

fn row_count(sql: &str, rows: usize) -> StoreError {
    StoreError::RowCount {
        statement: excerpt(sql),
        rows,
    }
}
