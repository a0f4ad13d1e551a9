//! Where the rows of a list are: each order is cut into parts that an index holds in that order.
//!
//! Conditions are written so that there is one index to choose, whatever a planner guesses about
//! tables that it knows too little of: `status || ''` and `COALESCE(run_id, run_id)` are columns
//! that no index begins with, `started_at + 0` is an order that no index has, and an order begins
//! with the column that its index begins with.

use colony_core::id::RunId;
use uuid::Uuid;

use super::SortBy;
use crate::ledger::block;
use crate::ledger::count::Totals;
use crate::tx::Dialect;
use crate::value::Param;

/// Whose rows are listed.
pub(super) enum Scope<'a> {
    /// All of an organization.
    Organization { org_id: &'a str, totals: &'a Totals },
    /// The tasks of a run, looked at one by one.
    Run { run_id: RunId },
    /// The tasks of a run by the index on statuses, between its first and its last.
    LargeRun {
        org_id: &'a str,
        run_id: RunId,
        ids: (Uuid, Uuid),
    },
}

impl Scope<'_> {
    fn params(&self) -> Vec<Param<'static>> {
        let text = |text: &str| Param::Text(text.to_owned().into());
        match self {
            Self::Organization { org_id, .. } => vec![text(org_id)],
            Self::Run { run_id } => vec![Param::Id(run_id.uuid())],
            Self::LargeRun {
                org_id,
                run_id,
                ids: (first, last),
            } => {
                let ids = [run_id.uuid(), *first, *last].map(Param::Id);
                std::iter::once(text(org_id)).chain(ids).collect()
            }
        }
    }
}

/// A list without its page.
pub(super) struct Wanted<'a> {
    pub(super) dialect: Dialect,
    pub(super) scope: Scope<'a>,
    /// One of the words of the table's statuses.
    pub(super) status: Option<&'static str>,
}

/// A range of an index.
pub(super) struct Range {
    pub(super) condition: String,
    /// What its index is sorted by before the order of the part.
    pub(super) prefix: Option<&'static str>,
}

/// A part of an order: ranges that are merged.
pub(super) struct Part {
    pub(super) ranges: Vec<Range>,
    /// What the ranges are sorted by; `id` comes after it.
    pub(super) column: Option<&'static str>,
    pub(super) direction: &'static str,
    /// Whether all rows are sorted for want of an index.
    pub(super) is_sorted: bool,
    /// What the conditions name.
    pub(super) params: Vec<Param<'static>>,
}

/// Statuses whose rows have ended. Those without an end have an index of their own, whose condition
/// is [`HAS_ENDED`].
const ENDED: &[&str] = &["cancelled", "completed", "failed"];

/// The same in few words: no other status comes before.
const HAS_ENDED: &str = "status < 'g'";

/// Statuses whose rows have no start, as a rule. Those of others that have none have an index of
/// their own, whose condition is [`IS_ON`].
const WAITING: &[&str] = &["pending", "queued"];

/// No status of [`WAITING`].
const IS_ON: &str = "status <> 'pending' AND status <> 'queued'";

/// The status whose rows are in no index by their start, as they would be in and out of it soon.
const RUNNING: &str = "running";

impl Wanted<'_> {
    /// The parts of an order, first to last. Unset times count as the latest.
    pub(super) fn parts(&self, sort_by: SortBy, ascending: bool) -> Vec<Part> {
        let part = |ranges, column| Part {
            ranges,
            column,
            direction: if ascending { "ASC" } else { "DESC" },
            is_sorted: false,
            params: self.scope.params(),
        };
        let mut parts = match sort_by {
            SortBy::Created => vec![part(vec![self.all()], None)],
            SortBy::Started => vec![self.started(part), part(self.unset("started_at"), None)],
            SortBy::Completed => vec![
                part(self.completed(), Some("completed_at")),
                part(self.unset("completed_at"), None),
            ],
        };
        if !ascending {
            parts.reverse();
        }
        parts.retain(|part| !part.ranges.is_empty());
        parts
    }

    /// The rows of an organization behind one of them, in the order of their ids.
    pub(super) fn behind(&self, after: Uuid) -> Part {
        let mut params = self.scope.params();
        params.push(Param::Id(after));
        let range = Range {
            condition: block::behind(self.dialect, self.status),
            prefix: Some(match self.status {
                Some(_) => "status",
                None => "org_id",
            }),
        };
        Part {
            ranges: vec![range],
            column: None,
            direction: "ASC",
            is_sorted: false,
            params,
        }
    }

    /// A column with that value, in a form that keeps it part of an order: a planner of PostgreSQL
    /// strikes a column that equals something from the order, and then may walk along all ids.
    fn is(&self, column: &str, value: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("{column} = {value}"),
            Dialect::Postgres => format!("{column} BETWEEN {value} AND {value}"),
        }
    }

    /// The rows of the list in the order of their ids.
    fn all(&self) -> Range {
        let (prefix, condition) = match (&self.scope, self.status) {
            (Scope::Organization { .. }, None) => ("org_id", self.is("org_id", "$1")),
            (Scope::Organization { .. }, Some(status)) => ("status", self.of_status(status)),
            (Scope::Run { .. }, None) => ("run_id", self.is("run_id", "$1")),
            (Scope::Run { .. }, Some(status)) => {
                let run = self.is("run_id", "$1");
                ("run_id", format!("{run} AND status || '' = '{status}'"))
            }
            (Scope::LargeRun { .. }, status) => {
                let rows = self.of_status(status.unwrap_or_default());
                let run = "id >= $3 AND id <= $4 AND COALESCE(run_id, run_id) = $2";
                ("status", format!("{rows} AND {run}"))
            }
        };
        Range {
            condition,
            prefix: Some(prefix),
        }
    }

    fn of_status(&self, status: &str) -> String {
        format!(
            "org_id = $1 AND {}",
            self.is("status", &format!("'{status}'"))
        )
    }

    /// The rows of a list by a time: no index of their own, unless of a whole organization.
    fn among_all(&self, condition: &str) -> Range {
        Range {
            condition: format!("{} AND {condition}", self.all().condition),
            prefix: None,
        }
    }

    fn started(&self, part: impl Fn(Vec<Range>, Option<&'static str>) -> Part) -> Part {
        let by_index = match (&self.scope, self.status) {
            (Scope::Organization { .. }, Some(RUNNING)) => None,
            (Scope::Organization { totals, .. }, _) => Some(totals),
            (Scope::Run { .. } | Scope::LargeRun { .. }, _) => None,
        };
        let Some(totals) = by_index else {
            return Part {
                is_sorted: true,
                ..part(
                    vec![self.among_all("started_at + 0 IS NOT NULL")],
                    Some("started_at + 0"),
                )
            };
        };
        let range = |status: &str| {
            let with_start = format!("org_id = $1 AND status = '{status}' AND started_at");
            let condition = match status {
                RUNNING => format!("{with_start} + 0 IS NOT NULL"),
                _ => format!("{with_start} IS NOT NULL AND status <> '{RUNNING}'"),
            };
            Range {
                condition,
                prefix: None,
            }
        };
        part(
            self.statuses(totals).map(range).collect(),
            Some("started_at"),
        )
    }

    fn completed(&self) -> Vec<Range> {
        let Scope::Organization { totals, .. } = &self.scope else {
            return vec![self.among_all("completed_at IS NOT NULL")];
        };
        let range = |status: &str| Range {
            condition: format!("org_id = $1 AND status = '{status}' AND completed_at IS NOT NULL"),
            prefix: None,
        };
        self.statuses(totals).map(range).collect()
    }

    /// Rows without a time. Of those that have ended an index of their own has them.
    fn unset(&self, column: &'static str) -> Vec<Range> {
        let Scope::Organization { totals, .. } = &self.scope else {
            return vec![self.among_all(&format!("{column} IS NULL"))];
        };
        let own_index = |status: &str| match column {
            "started_at" => (!WAITING.contains(&status)).then_some(IS_ON),
            _ => ENDED.contains(&status).then_some(HAS_ENDED),
        };
        let range = |status: &str| match own_index(status) {
            Some(words) => Range {
                condition: format!(
                    "org_id = $1 AND status = '{status}' AND {column} IS NULL AND {words}"
                ),
                prefix: Some(column),
            },
            None => Range {
                condition: format!("{} AND {column} IS NULL", self.of_status(status)),
                prefix: Some("status"),
            },
        };
        self.statuses(totals).map(range).collect()
    }

    /// The statuses that rows of the list have.
    fn statuses<'t>(&self, totals: &'t Totals) -> impl Iterator<Item = &'t str> {
        let only = self.status;
        (totals.statuses()).filter(move |status| only.is_none_or(|only| only == *status))
    }
}

#[cfg(test)]
mod tests {
    use colony_core::state::{RunStatus, TaskStatus};

    use super::ENDED;

    #[test]
    fn the_statuses_before_g_are_those_of_ends() {
        let runs = RunStatus::ALL
            .iter()
            .map(|status| (status.as_str(), status.is_terminal()));
        let tasks = TaskStatus::ALL
            .iter()
            .map(|status| (status.as_str(), status.is_terminal()));
        for (word, is_end) in runs.chain(tasks) {
            assert_eq!(word < "g", is_end, "{word}");
            assert_eq!(ENDED.contains(&word), is_end, "{word}");
        }
    }
}
