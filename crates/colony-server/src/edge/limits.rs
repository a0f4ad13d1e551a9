//! How much of the server callers may take.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// Bounds on connections and bodies, over both APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once. Never more than half of the files that the process may open: the others
    /// are for tasks and the database.
    pub connections_max: usize,
    /// Connections at once from one address, which for IPv6 is a network of 64 bits. Never more than
    /// three quarters of all.
    pub connections_per_address_max: usize,
    /// How long a new connection may take to send the head of its first call.
    pub head_timeout: Duration,
    /// How long a connection may be idle between calls, and take for the head of a later one.
    pub idle_timeout: Duration,
    /// Memory for the bodies of all running calls, with what they are parsed into, in bytes.
    pub bodies_bytes_max: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 7_500,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            bodies_bytes_max: 256 << 20,
        }
    }
}

impl ServerLimits {
    /// Connections in all and from one address, in a process that may open so many files.
    pub(crate) fn connections(&self, files: usize) -> (usize, usize) {
        let all = self.connections_max.min(files / 2).max(1);
        let one = self.connections_per_address_max.min(all / 4 * 3).max(1);
        (all, one)
    }
}

/// How many files this process may open at once.
pub(crate) fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_for_work() {
        let limits = ServerLimits::default();
        for (files, expected) in [
            (1_024, (512, 384)),
            (1 << 20, (10_000, 7_500)),
            (usize::MAX, (10_000, 7_500)),
            (3, (1, 1)),
        ] {
            assert_eq!(limits.connections(files), expected, "{files}");
        }
        assert!(open_files_max() > 10);
    }
}
