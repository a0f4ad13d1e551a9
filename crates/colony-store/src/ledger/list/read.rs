//! Reading a part of an order: first its place, in the index alone, then its rows.

use uuid::Uuid;

use super::Table;
use super::range::{Part, Range};
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::{Dialect, Tx};
use crate::value::Param;

/// Up to this offset whole rows are read on the way: fewer statements, and few rows too many.
const NEAR: u64 = 100;

impl Part {
    /// How many rows it has. Counted, but in the index alone.
    pub(super) fn count(&self, tx: &mut Tx<'_>, table: &Table) -> Result<u64, StoreError> {
        let mut total = 0;
        for range in &self.ranges {
            let (table, condition) = (table.name, &range.condition);
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {condition}");
            let rows = tx.query_params(&sql, &self.params)?;
            let count: i64 = rows.first().map_or(Ok(0), |row| row.get(0))?;
            total += count.unsigned_abs();
        }
        Ok(total)
    }

    /// Its rows from an offset on.
    pub(super) fn rows(
        &self,
        tx: &mut Tx<'_>,
        table: &Table,
        (offset, limit): (u64, u64),
    ) -> Result<Vec<Row>, StoreError> {
        let mut params = self.params.clone();
        let mut page = format!("LIMIT {limit}");
        if offset > 0 {
            params.push(Param::Int(i64::try_from(offset).unwrap_or(i64::MAX)));
            page.push_str(&format!(" OFFSET ${}", params.len()));
        }
        let name = table.name;
        if let [range] = self.ranges.as_slice() {
            let order = self.order(range.prefix);
            let is_near = offset <= NEAR && !self.is_sorted;
            let columns = if is_near { table.columns } else { "id" };
            let condition = &range.condition;
            let sql =
                format!("SELECT {columns} FROM {name} WHERE {condition} ORDER BY {order} {page}");
            let rows = tx.query_params(&sql, &params)?;
            return if is_near {
                Ok(rows)
            } else {
                whole(tx, table, &rows)
            };
        }
        // PostgreSQL merges only what is sorted already.
        let most = (tx.dialect() == Dialect::Postgres).then_some(offset + limit);
        let ranges: Vec<String> = (self.ranges.iter())
            .map(|range| self.ids(table, range, most))
            .collect();
        let sql = format!(
            "{} ORDER BY {} {page}",
            ranges.join(" UNION ALL "),
            self.order(None)
        );
        let rows = tx.query_params(&sql, &params)?;
        whole(tx, table, &rows)
    }

    fn order(&self, prefix: Option<&str>) -> String {
        let columns = prefix.into_iter().chain(self.column).chain(["id"]);
        let columns = columns.map(|column| format!("{column} {}", self.direction));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// A statement that gives the ids of a range, and what they are sorted by.
    fn ids(&self, table: &Table, range: &Range, most: Option<u64>) -> String {
        let column = self.column.map(|column| format!(", {column}"));
        let column = column.unwrap_or_default();
        let (table, condition) = (table.name, &range.condition);
        let ids = format!("SELECT id{column} FROM {table} WHERE {condition}");
        match most {
            Some(most) => format!("({ids} ORDER BY {} LIMIT {most})", self.order(range.prefix)),
            None => ids,
        }
    }
}

/// Whole rows in the order of the ids found.
fn whole(tx: &mut Tx<'_>, table: &Table, found: &[Row]) -> Result<Vec<Row>, StoreError> {
    let ids: Vec<Uuid> = (found.iter())
        .map(|row| row.get(0))
        .collect::<Result<_, _>>()?;
    let (columns, table) = (table.columns, table.name);
    let sql = format!("SELECT {columns} FROM {table} WHERE id IN ({{list}})");
    let mut rows = std::collections::HashMap::new();
    for row in tx.query_list(&sql, &[], &ids)? {
        rows.insert(row.get::<Uuid>(0)?, row);
    }
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}
