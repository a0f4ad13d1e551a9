//! Fresh databases on the test server.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

const SERVER_VARIABLE: &str = "COLONY_TEST_POSTGRES_URL";

/// A fresh database, dropped at the end with whatever is still connected to it.
#[derive(Debug)]
pub struct TestPostgres {
    server: String,
    name: String,
    url: String,
}

impl TestPostgres {
    /// Makes a database whose name begins with `hint`.
    ///
    /// # Panics
    ///
    /// There is no test server, or it refuses.
    pub fn create(hint: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let server = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| {
            panic!(
                "{SERVER_VARIABLE} is not set: run `cargo xtask test`, or \
                 `cargo xtask services -- cargo test …`"
            )
        });
        let hint: String = hint
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .take(30)
            .collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{hint}_{}_{number}", std::process::id()).to_lowercase();
        run(&server, &format!("DROP DATABASE IF EXISTS {name}"));
        run(&server, &format!("CREATE DATABASE {name}"));
        let url = with_database(&server, &name);
        Self { server, name, url }
    }

    /// How to connect to it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements from outside, such as `pg_terminate_backend`.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn run(&self, sql: &str) {
        run(&self.url, sql);
    }

    /// The first value of the answer to statements, as text; none when there is no row.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn ask(&self, sql: &str) -> Option<String> {
        run(&self.url, sql)
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let drop_database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            run(&self.server, &drop_database);
        }
    }
}

/// The URL with another database: the path between the host and `?`.
fn with_database(server: &str, name: &str) -> String {
    let (place, options) = match server.split_once('?') {
        Some((place, options)) => (place, format!("?{options}")),
        None => (server, String::new()),
    };
    let (scheme, rest) = place
        .split_once("://")
        .expect("the URL of the test server begins with postgres://");
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    format!("{scheme}://{host}/{name}{options}")
}

/// Runs statements on a connection and a thread of their own, so that it works anywhere, also
/// inside of an async test. Returns the first value of their answer.
fn run(url: &str, sql: &str) -> Option<String> {
    let config: Config = url.parse().expect("the URL of the test server is valid");
    let sql = sql.to_owned();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a test machine has room for a runtime");
        runtime.block_on(async {
            let (client, connection) = config
                .connect(NoTls)
                .await
                .unwrap_or_else(|error| panic!("failed to connect to the test server: {error}"));
            tokio::spawn(connection);
            let answer = client
                .simple_query(&sql)
                .await
                .unwrap_or_else(|error| panic!("failed to run `{sql}`: {error}"));
            answer.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        })
    };
    let result = std::thread::spawn(work).join();
    result.expect("the test server answers")
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_the_url_changes() {
        for (server, expected) in [
            ("postgres://u@h:1/postgres", "postgres://u@h:1/x"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/x"),
            ("postgres://u@h/p?a=b", "postgres://u@h/x?a=b"),
        ] {
            assert_eq!(with_database(server, "x"), expected);
        }
    }
}
