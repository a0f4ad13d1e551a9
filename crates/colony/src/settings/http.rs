//! Settings of the HTTP server that both APIs share.

use colony_server::ServerLimits;

use super::parse::{number, words};
use super::reader::Reader;
use super::table::{HTTP_BODIES, HTTP_CONNECTIONS, HTTP_HOSTS, HTTP_PER_ADDRESS};

/// The smallest budget for bodies: the largest body of either API, and what it is parsed into.
const BODIES_BYTES_MIN: usize = 64 << 20;

/// How the HTTP server is called, and how much of it callers may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// Names under which clients may reach it beside its addresses.
    pub(crate) hosts: Vec<String>,
    /// Bounds on connections and bodies.
    pub(crate) limits: ServerLimits,
}

impl Reader<'_> {
    pub(super) fn http(&mut self) -> anyhow::Result<HttpSettings> {
        let count = |text: &str| number(text, 1..=usize::MAX);
        Ok(HttpSettings {
            hosts: self.read(&HTTP_HOSTS, hosts)?,
            limits: ServerLimits {
                connections_max: self.read(&HTTP_CONNECTIONS, count)?,
                connections_per_address_max: self.read(&HTTP_PER_ADDRESS, count)?,
                bodies_bytes_max: self.read(&HTTP_BODIES, |text| {
                    number(text, BODIES_BYTES_MIN..=usize::MAX)
                })?,
                ..ServerLimits::default()
            },
        })
    }
}

/// Names as in the header `Host`, with or without a port; compared without regard to case.
fn hosts(text: &str) -> Result<Vec<String>, String> {
    let host =
        |word: &str| match word.contains(['/', '*', '@']) || word.contains(char::is_whitespace) {
            true => Err(format!(
                "`{word}` is no host; give names such as colony.example.org, separated by commas"
            )),
            false => Ok(word.to_lowercase()),
        };
    words(text).map(host).collect()
}
