//! The Runs API alone, for tests that kill it: `runs_server DATABASE_URL LISTEN`.
//!
//! Every well-formed key is accepted and nothing is limited. Prints its address on stdout.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use colony_core::id::MonotonicIds;
use colony_core::time::SystemClock;
use colony_engine::ledger::Ledger;
use colony_server::runs::{RateLimitSettings, RunsApiSettings, RunsState, standalone};
use colony_store::{Database, Store, StoreConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err("usage: runs_server DATABASE_URL LISTEN".into());
    };
    let config = StoreConfig::new(Database::parse(&database)?);
    let store = tokio::task::block_in_place(|| Store::open(&config))?;
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
    let state = RunsState::new(ledger, settings, Arc::new(SystemClock))?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let app = standalone(state).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
