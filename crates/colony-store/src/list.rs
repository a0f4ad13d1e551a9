//! Lists with filters, order and pages (`formicary-api` 1.3 and 1.4).
//!
//! Names of columns come from an allow-list, values are always parameters.

mod search;

use colony_core::time::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;
use crate::row::{Row, readable};
use crate::tx::{Dialect, Tx};
use crate::value::Param;

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// The text contains the value.
    Contains,
    /// One of a comma-separated list.
    OneOf,
    /// Strictly less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Strictly greater.
    Greater,
    /// Greater or equal.
    GreaterOrEqual,
}

/// One condition on a stored field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Name of the field, as in the API.
    pub field: String,
    /// How to compare.
    pub compare: Compare,
    /// What to compare with, as written by the caller.
    pub value: String,
}

/// A wanted page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Owner of the rows; none = all owners.
    pub org_id: Option<String>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Free text.
    pub search: Option<String>,
    /// Field and whether descending.
    pub order: Vec<(String, bool)>,
    /// Page, from 0.
    pub page: u32,
    /// Rows a page.
    pub page_size: u32,
}

/// One page and how many rows there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// Matching rows over all pages.
    pub total: u64,
}

/// A query that cannot be answered, or a failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The caller named an unknown field or gave a value of the wrong kind.
    #[error("{0}")]
    Invalid(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of values a column holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Id,
    Text,
    Int,
    Bool,
    Time,
}

/// A field that callers may name.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl Column {
    /// The API's words differ from ours in a few places.
    fn sql(&self) -> &'static str {
        match self.name {
            "organization_id" => "org_id",
            "job_definition_id" => "definition_id",
            "job_execution_id" => "run_id",
            "job_request_id" => "request_id",
            "task_execution_id" => "task_id",
            "content_length" => "size_bytes",
            name => name,
        }
    }
}

/// What a resource's list offers.
pub(crate) struct Listing {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static str,
    pub(crate) only: &'static str,
    pub(crate) fields: &'static [Column],
    pub(crate) search_contains: &'static [&'static str],
    pub(crate) search_equals: &'static [&'static str],
    /// Free text is looked for in the latest rows by this time, of those that the filters leave.
    /// None when there are never many.
    pub(crate) search_latest: Option<&'static str>,
}

/// Runs a list query.
pub(crate) fn list<T>(
    tx: &mut Tx<'_>,
    listing: &Listing,
    query: &ListQuery,
    from_row: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Page<T>, ListError> {
    let mut builder = Where {
        conditions: vec![listing.only.to_owned()],
        params: Vec::new(),
    };
    if let Some(org_id) = &query.org_id {
        let place = builder.place(Param::from(org_id));
        builder.conditions.push(format!("org_id = {place}"));
    }
    for filter in &query.filters {
        builder.filter(listing, filter, tx.dialect())?;
    }
    if let Some(text) = &query.search {
        let latest = builder.latest(tx, listing)?;
        builder.search(listing, text, latest, tx.dialect());
    }
    let order = order_by(listing, &query.order)?;
    let conditions = builder.conditions.join(" AND ");
    let table = listing.table;
    let (size, skip) = (
        query.page_size,
        i64::from(query.page) * i64::from(query.page_size),
    );
    // Only the rows of the page are read, and perhaps sorted, whole.
    let select = format!(
        "SELECT {} FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {conditions} \
         ORDER BY {order} LIMIT {size} OFFSET {skip}) ORDER BY {order}",
        listing.columns
    );
    let rows = tx.query_params(&select, &builder.params)?;
    let found = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    // A page that is not full is the last one, and behind the last one is nothing to tell from.
    let total = match found < i64::from(size) && (found > 0 || skip == 0) {
        true => skip + found,
        false => builder.count(tx, table)?,
    };
    Ok(Page {
        rows: readable(&rows, from_row)?,
        total: u64::try_from(total).unwrap_or(0),
    })
}

fn order_by(listing: &Listing, order: &[(String, bool)]) -> Result<String, ListError> {
    let mut terms = Vec::new();
    for (name, descending) in order {
        let column = find(listing, name)?;
        let direction = if *descending { " DESC" } else { "" };
        terms.push(format!("{}{direction}", column.sql()));
    }
    let descending = order.first().is_some_and(|(_, descending)| *descending);
    terms.push(if descending {
        "id DESC".to_owned()
    } else {
        "id".to_owned()
    });
    Ok(terms.join(", "))
}

fn find<'l>(listing: &'l Listing, name: &str) -> Result<&'l Column, ListError> {
    listing
        .fields
        .iter()
        .find(|column| column.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = listing.fields.iter().map(|column| column.name).collect();
            let known = known.join(", ");
            ListError::Invalid(format!(
                "there is no field `{name}` to filter or order by; known: {known}"
            ))
        })
}

/// Conditions under construction and the values of their parameters.
struct Where<'q> {
    conditions: Vec<String>,
    params: Vec<Param<'q>>,
}

impl<'q> Where<'q> {
    fn place(&mut self, param: Param<'q>) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }

    fn filter(
        &mut self,
        listing: &Listing,
        filter: &'q Filter,
        dialect: Dialect,
    ) -> Result<(), ListError> {
        let column = find(listing, &filter.field)?;
        let sql = column.sql();
        let condition = match filter.compare {
            Compare::Contains => {
                if !matches!(column.kind, Kind::Text) {
                    let field = &filter.field;
                    return Err(ListError::Invalid(format!(
                        "field `{field}` holds no text to search"
                    )));
                }
                let place = self.place(Param::from(&filter.value));
                contains(dialect, sql, &place)
            }
            Compare::OneOf => {
                let values = filter.value.split(',');
                let places: Result<Vec<String>, ListError> = values
                    .map(|value| Ok(self.place(param(column, value)?)))
                    .collect();
                format!("{sql} IN ({})", places?.join(", "))
            }
            Compare::Equal => self.compare(column, "=", &filter.value)?,
            Compare::NotEqual => self.compare(column, "<>", &filter.value)?,
            Compare::Less => self.compare(column, "<", &filter.value)?,
            Compare::LessOrEqual => self.compare(column, "<=", &filter.value)?,
            Compare::Greater => self.compare(column, ">", &filter.value)?,
            Compare::GreaterOrEqual => self.compare(column, ">=", &filter.value)?,
        };
        self.conditions.push(condition);
        Ok(())
    }

    fn compare(
        &mut self,
        column: &Column,
        operator: &str,
        value: &'q str,
    ) -> Result<String, ListError> {
        let place = self.place(param(column, value)?);
        Ok(format!("{} {operator} {place}", column.sql()))
    }

    /// How many rows there are.
    fn count(&self, tx: &mut Tx<'_>, table: &str) -> Result<i64, StoreError> {
        let conditions = self.conditions.join(" AND ");
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE {conditions}");
        let rows = tx.query_params(&sql, &self.params)?;
        rows.first().map_or(Ok(0), |row| row.get(0))
    }
}

/// The databases name the same function differently.
fn contains(dialect: Dialect, column: &str, place: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("instr({column}, {place}) > 0"),
        Dialect::Postgres => format!("strpos({column}, {place}) > 0"),
    }
}

fn param<'q>(column: &Column, value: &'q str) -> Result<Param<'q>, ListError> {
    let invalid = |wanted: &str| {
        let name = column.name;
        ListError::Invalid(format!(
            "`{value}` does not fit field `{name}`: expected {wanted}"
        ))
    };
    match column.kind {
        Kind::Text => Ok(Param::from(value)),
        // An id that is none matches nothing, as an unknown one would.
        Kind::Id => Ok(Param::Id(Uuid::try_parse(value).unwrap_or(Uuid::nil()))),
        Kind::Int => value
            .parse()
            .map(Param::Int)
            .map_err(|_| invalid("an integer")),
        Kind::Bool => value
            .parse()
            .map(Param::Bool)
            .map_err(|_| invalid("true or false")),
        Kind::Time => value
            .parse::<Timestamp>()
            .map(|time| Param::Int(time.as_millis()))
            .map_err(|_| invalid("an RFC 3339 time")),
    }
}
