//! The ledger and everything else that lasts, on SQLite and PostgreSQL.
//!
//! A [`Store`] runs plain functions over a [`Tx`] on threads of its own: [`Store::read`] for
//! looking, [`Store::write`] for changing. SQL is written once for both databases, with `$1…$n`
//! parameters; see [`Tx`] for the few places where they differ.
//!
//! ```
//! use colony_store::{Store, StoreConfig, StoreError};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(&StoreConfig::sqlite(dir.path().join("colony.db")))?;
//! store.write_blocking(|tx| {
//!     tx.execute("INSERT INTO settings (name, value) VALUES ($1, $2)", &[&"color", &"red"])?;
//!     Ok::<_, StoreError>(())
//! })?;
//! let color = store.read_blocking(|tx| {
//!     tx.query_one("SELECT value FROM settings WHERE name = $1", &[&"color"])?
//!         .get::<String>(0)
//! })?;
//! assert_eq!(color, "red");
//! # Ok(())
//! # }
//! ```

pub mod absence;
pub mod artifact;
pub mod attempt;
mod blame;
pub mod clock_shift;
mod config;
pub mod context;
pub mod definition;
mod error;
pub mod execution;
pub mod give_up;
mod group;
pub mod identity;
mod job;
pub mod job_run;
mod lane;
pub mod lease;
pub mod ledger;
mod line;
mod list;
mod many;
mod migrate;
pub mod object;
mod postgres;
pub mod queue;
pub mod request;
mod row;
pub mod schedule;
mod sqlite;
mod stats;
mod store;
mod takeover;
mod text;
pub mod timer;
mod tx;
mod unknown;
mod value;
mod writes;

pub use config::{Database, ParseDatabaseError, StoreConfig};
pub use error::{DriverError, OpenError, StoreError};
pub use lane::{Command, Lane, Outs};
pub use list::{Compare, Filter, ListError, ListQuery, Page};
pub use migrate::MigrateError;
pub use row::{Cell, ColumnIndex, FromCell, Row};
pub use stats::Stats;
pub use store::Store;
pub use text::Text;
pub use tx::{Dialect, Plan, Tx};
pub use unknown::UnknownOutcomes;
pub use value::{Json, Param, ToParam};
pub use writes::Writes;
