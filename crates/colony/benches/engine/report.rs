//! The table at the end.

use crate::bare::Compared;
use crate::database::Kind;

pub(crate) struct Table {
    rows: Vec<(Kind, String, String)>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Shown at once, and again in the table.
    pub(crate) fn add(&mut self, kind: Kind, what: &str, value: impl Into<String>) {
        let value = value.into();
        show(kind, what, &value);
        self.rows.push((kind, what.to_owned(), value));
    }

    pub(crate) fn add_rate(&mut self, kind: Kind, what: &str, rate: &Compared) {
        let Compared {
            per_second,
            bare_per_second,
            cpu_ms,
            bare_cpu_ms,
            server_cpu_ms,
        } = rate;
        let share = 100.0 * per_second / bare_per_second;
        let server =
            server_cpu_ms.map_or(String::new(), |ms| format!(" and {ms:.2} of the server"));
        self.add(
            kind,
            what,
            format!(
                "{per_second:.0}/s, {share:.0} % of a bare loop ({bare_per_second:.0}/s); \
                 processor {cpu_ms:.2} ms{server} each (bare: {bare_cpu_ms:.2})"
            ),
        );
    }

    pub(crate) fn print(&self) {
        println!();
        for (kind, what, value) in &self.rows {
            show(*kind, what, value);
        }
    }
}

fn show(kind: Kind, what: &str, value: &str) {
    println!("{:<10} | {what:<42} | {value}", kind.name());
}
