//! The table at the end.

use crate::bare::Compared;
use crate::queen::Database;

pub(crate) struct Row {
    database: &'static str,
    what: String,
    value: String,
}

impl Row {
    pub(crate) fn value(database: &Database, what: &str, value: String) -> Self {
        Self {
            database: database.name(),
            what: what.to_owned(),
            value,
        }
    }

    pub(crate) fn rate(database: &Database, what: &str, rate: Compared) -> Self {
        let Compared {
            per_second,
            bare_per_second,
            note,
            ..
        } = rate;
        let share = 100.0 * per_second / bare_per_second;
        let value = format!(
            "{per_second:.0}/s, {share:.0} % of a bare loop ({bare_per_second:.0}/s){note}"
        );
        Self::value(database, what, value)
    }
}

pub(crate) fn print_table(rows: &[Row]) {
    println!();
    for row in rows {
        println!("{:<10} | {:<40} | {}", row.database, row.what, row.value);
    }
}
