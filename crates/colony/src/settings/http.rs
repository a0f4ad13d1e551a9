//! Settings of the HTTP server that both APIs share.

use super::parse::{number_or_none, words};
use super::reader::Reader;
use super::table::{HTTP_BODIES, HTTP_CONNECTIONS, HTTP_HOSTS, HTTP_PER_ADDRESS};

/// The smallest body budget: one body of the Runs API.
const BODIES_BYTES_MIN: u64 = 10 * 1024 * 1024;

/// Limits of the HTTP server; none = the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// Names under which clients may reach it beside its addresses.
    pub(crate) hosts: Vec<String>,
    /// Open connections.
    pub(crate) connections_max: Option<u32>,
    /// Open connections of one address.
    pub(crate) connections_per_address_max: Option<u32>,
    /// Bytes of bodies in memory.
    pub(crate) bodies_bytes_max: Option<u64>,
}

impl Reader<'_> {
    pub(super) fn http(&mut self) -> anyhow::Result<HttpSettings> {
        let count = |text: &str| number_or_none(text, 1..=u32::MAX);
        Ok(HttpSettings {
            hosts: self.read(&HTTP_HOSTS, hosts)?,
            connections_max: self.read(&HTTP_CONNECTIONS, count)?,
            connections_per_address_max: self.read(&HTTP_PER_ADDRESS, count)?,
            bodies_bytes_max: self.read(&HTTP_BODIES, |text| {
                number_or_none(text, BODIES_BYTES_MIN..=u64::MAX)
            })?,
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
