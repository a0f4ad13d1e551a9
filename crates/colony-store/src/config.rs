//! Which database, and how many threads serve it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the data lives.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file on this machine.
    Sqlite {
        /// The file; its directory is made when it does not exist.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// A URL as in libpq. May hold a password, so it is never shown whole.
        url: String,
    },
}

/// A text that names no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "understand the database URL: expected `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, found {0}"
)]
pub struct ParseDatabaseError(String);

impl Database {
    /// Reads `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    ///
    /// The text is neither. The message holds no more of it than its scheme.
    pub fn parse(text: &str) -> Result<Self, ParseDatabaseError> {
        let text = text.trim();
        match text.split_once(':') {
            Some(("sqlite", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() {
                    return Err(ParseDatabaseError("`sqlite:` without a path".to_owned()));
                }
                Ok(Self::Sqlite { path: path.into() })
            }
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres {
                    url: text.to_owned(),
                })
            }
            Some((scheme, _)) => Err(ParseDatabaseError(format!("the scheme `{scheme}:`"))),
            None => Err(ParseDatabaseError("no scheme".to_owned())),
        }
    }
}

impl Database {
    /// Whether a password is written in the URL.
    pub fn has_password(&self) -> bool {
        let Self::Postgres { url } = self else {
            return false;
        };
        let rest = url.split_once("://").map_or(&**url, |(_, rest)| rest);
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let user = place.rsplit_once('@').map(|(user, _)| user);
        let in_user = user.is_some_and(|user| user.contains(':') && !user.ends_with(':'));
        in_user
            || options
                .split('&')
                .any(|option| option.starts_with("password="))
    }
}

impl FromStr for Database {
    type Err = ParseDatabaseError;

    fn from_str(text: &str) -> Result<Self, ParseDatabaseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Database {
    /// The URL with its password hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Postgres { url } => f.write_str(&redact(url)),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

/// Hides what a URL tells beyond user, host, port and database.
fn redact(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    match user.map(|user| user.split_once(':')) {
        None => format!("{scheme}://{place}"),
        Some(Some((name, _))) => format!("{scheme}://{name}:***@{place}"),
        Some(None) => format!("{scheme}://{}@{place}", user.unwrap_or_default()),
    }
}

/// How to open a [`Store`](crate::Store).
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the data lives.
    pub database: Database,
    /// Whether to refuse a database that another store has open exclusively, and to keep others
    /// out in turn. A queen on SQLite must be alone.
    pub exclusive: bool,
    /// Reading threads of SQLite. Writing has one thread, as SQLite has one writer.
    pub sqlite_readers: usize,
    /// Reading threads of PostgreSQL, each with one connection.
    pub postgres_readers: usize,
    /// Writing threads of PostgreSQL, each with one connection. Operations of lanes are spread
    /// over them by their key; closures keep to the first one.
    pub postgres_writers: usize,
    /// How many closures may wait for a kind of thread before callers wait too.
    pub queue_length: usize,
    /// How long PostgreSQL may take for an answer before its connection counts as lost.
    pub reply_timeout: Duration,
}

impl StoreConfig {
    /// How many connections of PostgreSQL write, when nobody says.
    pub const WRITERS: usize = 4;

    /// The defaults for a database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            exclusive: false,
            sqlite_readers: 2,
            postgres_readers: 4,
            postgres_writers: Self::WRITERS,
            queue_length: 1024,
            reply_timeout: Duration::from_secs(15),
        }
    }

    /// The defaults for a SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::new(Database::Sqlite { path: path.into() })
    }

    /// The defaults for a PostgreSQL URL.
    pub fn postgres(url: impl Into<String>) -> Self {
        Self::new(Database::Postgres { url: url.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_seen_and_hidden() {
        for (url, expected) in [
            ("postgres://u:geheim@h/d", true),
            ("postgresql://h/d?user=u&password=geheim", true),
            ("postgres://u@h/d", false),
            ("postgres://u:@h/d", false),
            ("postgres://h:5432/d?sslmode=disable", false),
            ("sqlite:/a:b@c", false),
        ] {
            let database = Database::parse(url).unwrap();
            assert_eq!(database.has_password(), expected, "{url}");
            assert!(!database.to_string().contains("geheim"), "{database}");
        }
    }
}
