//! Cron expressions (`job-definitions` 8.5).
//!
//! Only their shape is checked for now; fields and next times come with cron triggers.

const MACROS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Whether a text has the shape of a cron expression: a macro, or at least five fields.
pub(crate) fn has_cron_shape(expression: &str) -> bool {
    MACROS.contains(&expression.trim()) || expression.split_whitespace().count() >= 5
}
