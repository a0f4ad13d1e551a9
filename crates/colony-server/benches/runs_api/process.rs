//! The server under load: this program again, as a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::MonotonicIds;
use colony_core::time::SystemClock;
use colony_engine::ledger::Ledger;
use colony_server::runs::{RateLimitSettings, RunsApiSettings, RunsState, standalone};
use colony_store::{Database, Store, StoreConfig};

/// A server process; it ends when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(database: &str) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args(["serve", database])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server tells its address");
        let address = line.trim().parse().expect("the server tells its address");
        Self { child, address }
    }

    /// Processor time that the server has used.
    pub(crate) fn cpu(&self) -> Duration {
        // As `USER_HZ` is on Linux.
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // Behind the name: user and system time are the 14th and 15th fields of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = (fields.split_whitespace().skip(11).take(2))
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory of the server.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until it is killed.
pub(crate) fn serve(database: &str) {
    let database = Database::parse(database).expect("the bench gives a database");
    let store = Store::open(&StoreConfig::new(database)).expect("the database opens");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a machine for benchmarks has room for a runtime");
    runtime.block_on(async {
        let ids = Arc::new(MonotonicIds::new(SystemClock));
        let ledger = Ledger::start(store, Arc::new(SystemClock), ids);
        let settings = RunsApiSettings {
            trust_well_formed_keys: true,
            rate_limit: RateLimitSettings {
                requests: 0,
                ..RateLimitSettings::default()
            },
            ..RunsApiSettings::default()
        };
        let state = RunsState::new(ledger, settings, Arc::new(SystemClock)).expect("settings fit");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        writeln!(std::io::stdout(), "{address}").expect("the bench reads the address");
        let app = standalone(state).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app)
            .await
            .expect("the server goes on");
    });
}
