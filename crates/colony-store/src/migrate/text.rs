//! One text of a migration for two databases.

use crate::tx::Dialect;

/// Words that differ: name, SQLite, PostgreSQL.
const WORDS: [(&str, &str, &str); 10] = [
    ("{id}", "BLOB", "UUID"),
    ("{text}", "TEXT", "TEXT COLLATE \"C\""),
    ("{json}", "TEXT", "TEXT"),
    ("{int}", "INTEGER", "BIGINT"),
    ("{time}", "INTEGER", "BIGINT"),
    ("{bool}", "INTEGER", "BOOLEAN"),
    ("{bytes}", "BLOB", "BYTEA"),
    ("{double}", "REAL", "DOUBLE PRECISION"),
    ("{strict}", " STRICT", ""),
    ("{clustered}", " STRICT, WITHOUT ROWID", ""),
];

/// The text for one database: its words, and only its blocks.
pub(super) fn render(text: &str, dialect: Dialect) -> String {
    let mut rendered = String::new();
    let mut block = None;
    for line in text.lines() {
        match line.trim() {
            "-- @sqlite" => block = Some(Dialect::Sqlite),
            "-- @postgres" => block = Some(Dialect::Postgres),
            "-- @end" => block = None,
            _ if block.is_none_or(|of| of == dialect) => {
                rendered.push_str(line);
                rendered.push('\n');
            }
            _ => {}
        }
    }
    for (word, sqlite, postgres) in WORDS {
        let meaning = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        };
        rendered = rendered.replace(word, meaning);
    }
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_blocks_are_those_of_the_database() {
        let text = "a {id},\n-- @sqlite\nb {bool}\n-- @postgres\nc {bool}\n-- @end\n){strict};";
        assert_eq!(
            render(text, Dialect::Sqlite),
            "a BLOB,\nb INTEGER\n) STRICT;\n"
        );
        assert_eq!(render(text, Dialect::Postgres), "a UUID,\nc BOOLEAN\n);\n");
    }
}
