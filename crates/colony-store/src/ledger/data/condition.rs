//! Filters of run data as conditions of a statement.

use colony_core::ledger::{DataFilter, KeyPattern, TagMode};

use crate::tx::Dialect;
use crate::value::Param;

/// The most conditions of one kind; more are cheaper to check on each row.
const CONDITIONS_MAX: usize = 64;

/// What a statement can say of a filter.
pub(super) struct Condition {
    /// Beginning with ` AND`, or empty.
    pub(super) sql: String,
    /// Every row that it lets through matches. Otherwise every row that matches is let through.
    pub(super) is_exact: bool,
}

/// The condition of a filter; its parameters are added to `params`.
pub(super) fn condition(
    filter: &DataFilter,
    dialect: Dialect,
    params: &mut Vec<Param<'_>>,
) -> Condition {
    let keys = keys(filter, params);
    match tags(filter, dialect, params) {
        Some(tags) => Condition {
            sql: format!("{}{tags}", keys.sql),
            is_exact: keys.is_exact,
        },
        None => Condition {
            sql: keys.sql,
            is_exact: false,
        },
    }
}

/// Ranges of keys, for the index.
fn keys(filter: &DataFilter, params: &mut Vec<Param<'_>>) -> Condition {
    let anything = |is_exact| Condition {
        sql: String::new(),
        is_exact,
    };
    if !filter.has_key_filter() {
        return anything(true);
    }
    let pattern = filter.pattern.as_ref();
    let literal = pattern.and_then(KeyPattern::literal);
    let is_exact = pattern.is_none_or(|pattern| literal.is_some() || pattern.is_prefix());
    let prefix = match literal {
        Some(_) => None,
        None => pattern.map(KeyPattern::literal_prefix),
    };
    let prefixes = (filter.key_prefixes.iter().flatten().cloned()).chain(prefix);
    let prefixes: Vec<String> = prefixes.collect();
    let exact = (filter.key.iter().cloned()).chain(filter.keys.iter().flatten().cloned());
    let exact: Vec<String> = exact.chain(literal).collect();
    if prefixes.iter().any(String::is_empty) {
        return anything(is_exact);
    }
    if exact.len() + prefixes.len() > CONDITIONS_MAX {
        return anything(false);
    }
    let mut conditions = Vec::new();
    for key in exact {
        params.push(Param::Text(key.into()));
        conditions.push(format!("key = ${}", params.len()));
    }
    for prefix in prefixes {
        conditions.push(range(prefix, params));
    }
    let sql = match conditions.is_empty() {
        true => " AND 1 = 0".to_owned(),
        false => format!(" AND ({})", conditions.join(" OR ")),
    };
    Condition { sql, is_exact }
}

fn range(prefix: String, params: &mut Vec<Param<'_>>) -> String {
    let end = successor(&prefix);
    params.push(Param::Text(prefix.into()));
    let from = params.len();
    let Some(end) = end else {
        return format!("key >= ${from}");
    };
    params.push(Param::Text(end.into()));
    format!("(key >= ${from} AND key < ${})", from + 1)
}

/// The smallest text that is greater than every text with this prefix. Both databases compare
/// bytes of UTF-8, which is the order of characters.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // `char::from_u32` has a gap at the surrogates.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// Conditions on the text of the tags; none when that text does not decide.
fn tags(filter: &DataFilter, dialect: Dialect, params: &mut Vec<Param<'_>>) -> Option<String> {
    let exact = filter.tags.as_deref();
    let prefixes = filter.tag_prefixes.as_deref();
    let items = exact.into_iter().chain(prefixes).flatten();
    if items.clone().count() > CONDITIONS_MAX || !items.clone().all(|item| is_plain(item)) {
        return None;
    }
    let mut sql = String::new();
    for (items, end) in [(exact, "\""), (prefixes, "")] {
        let Some(items) = items else { continue };
        let items: Vec<String> = (items.iter())
            .map(|item| has_tag(&format!("\"{item}{end}"), dialect, params))
            .collect();
        let all = match (filter.tag_mode, items.is_empty()) {
            (TagMode::Any, true) => "1 = 0".to_owned(),
            (TagMode::All, true) => "1 = 1".to_owned(),
            (TagMode::Any, false) => items.join(" OR "),
            (TagMode::All, false) => items.join(" AND "),
        };
        sql.push_str(&format!(" AND ({all})"));
    }
    Some(sql)
}

/// Whether a tag, or the beginning of one, is found in the text of a list of tags by looking for
/// `["tag` at its start or `,"tag` anywhere. No character of it is escaped there; and as it begins
/// with none that may follow a tag, a quotation mark before it cannot be the end of another.
fn is_plain(tag: &str) -> bool {
    let escaped = |char: char| char < ' ' || char == '"' || char == '\\';
    !tag.is_empty() && !tag.starts_with([',', ']']) && !tag.contains(escaped)
}

fn has_tag(quoted: &str, dialect: Dialect, params: &mut Vec<Param<'_>>) -> String {
    let (first, later) = (format!("[{quoted}"), format!(",{quoted}"));
    let (first, later, sql): (String, String, fn(usize) -> String) = match dialect {
        Dialect::Sqlite => (first, later, |n| {
            format!("(instr(tags, ${n}) = 1 OR instr(tags, ${}) > 0)", n + 1)
        }),
        // Half as long as `strpos`.
        Dialect::Postgres => (
            format!("{}%", escaped(&first)),
            format!("%{}%", escaped(&later)),
            |n| format!("(tags LIKE ${n} OR tags LIKE ${})", n + 1),
        ),
    };
    params.push(Param::Text(first.into()));
    let number = params.len();
    params.push(Param::Text(later.into()));
    sql(number)
}

/// Text that `LIKE` takes literally.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::{is_plain, successor};

    #[test]
    fn successors_of_prefixes() {
        for (prefix, expected) in [
            ("a", Some("b")),
            ("sensor.", Some("sensor/")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{10FFFF}", None),
            ("", None),
        ] {
            assert_eq!(successor(prefix).as_deref(), expected, "{prefix}");
        }
    }

    #[test]
    fn tags_that_their_text_decides() {
        for (tag, expected) in [
            ("odd", true),
            ("a,b", true),
            ("é%_", true),
            ("", false),
            (",", false),
            ("]x", false),
            ("a\"b", false),
            ("a\\b", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_plain(tag), expected, "{tag:?}");
        }
    }
}
