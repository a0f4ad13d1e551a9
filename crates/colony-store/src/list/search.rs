//! Free text in lists (`q`).

use uuid::Uuid;

use super::{Listing, Where, contains};
use crate::error::StoreError;
use crate::tx::{Dialect, Tx};
use crate::value::Param;

/// Rows that free text is looked for in: no index helps, and each costs about a microsecond.
const SEARCHED_MAX: u32 = 100_000;

impl<'q> Where<'q> {
    /// Holds for the latest of the rows for which all else holds so far. It is there even when that
    /// leaves out none: it tells the database which index to use.
    pub(super) fn latest(
        &mut self,
        tx: &mut Tx<'_>,
        listing: &Listing,
    ) -> Result<Option<String>, StoreError> {
        let Some(time) = listing.search_latest else {
            return Ok(None);
        };
        let (table, conditions) = (listing.table, self.conditions.join(" AND "));
        let border = format!(
            "SELECT {time} FROM {table} WHERE {conditions} ORDER BY {time} DESC LIMIT 1 \
             OFFSET {}",
            SEARCHED_MAX - 1
        );
        let border = tx.query_params(&border, &self.params)?;
        let border: Option<i64> = border.first().map(|row| row.get(0)).transpose()?;
        let place = self.place(Param::Int(border.unwrap_or(i64::MIN)));
        Ok(Some(format!("{time} >= {place}")))
    }

    /// Free text, in rows for which `latest` holds.
    pub(super) fn search(
        &mut self,
        listing: &Listing,
        text: &'q str,
        latest: Option<String>,
        dialect: Dialect,
    ) {
        let place = self.place(Param::from(text));
        let contain = listing.search_contains.iter();
        let contain = contain.map(|column| contains(dialect, column, &place));
        let equal = listing.search_equals.iter();
        let equal = equal.map(|column| format!("{column} = {place}"));
        let terms: Vec<String> = contain.chain(equal).collect();
        let mut found: Vec<String> = latest.into_iter().collect();
        found.push(format!("({})", terms.join(" OR ")));
        let Ok(id) = Uuid::try_parse(text) else {
            self.conditions.append(&mut found);
            return;
        };
        // The row of that id is found however old it is.
        let (table, place) = (listing.table, self.place(Param::Id(id)));
        let all: Vec<&str> = (self.conditions.iter().chain(&found))
            .map(String::as_str)
            .collect();
        let all = all.join(" AND ");
        let ids = format!(
            "SELECT id FROM {table} WHERE {all} UNION ALL SELECT id FROM {table} WHERE id = {place}"
        );
        self.conditions.push(match dialect {
            Dialect::Sqlite => format!("id IN ({ids})"),
            // Not as a join, which PostgreSQL may make the wrong way round.
            Dialect::Postgres => format!("id = ANY(ARRAY({ids}))"),
        });
    }
}
