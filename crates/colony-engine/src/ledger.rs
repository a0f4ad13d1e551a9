//! The ledger's use-cases for programs: the Runs API and its work queue (`foreman-api` 7 to 9).
//!
//! A [`Ledger`] groups what concurrent callers want into few transactions (lanes of the store): on
//! PostgreSQL a statement costs a round trip, on SQLite a parse. Claims wait at a `Desk`, which
//! is woken when a task of their type becomes ready. What time brings is the engine's business, for
//! programs as for jobs. [`RunWatch`] follows a run.

mod answering;
mod change;
mod claim;
mod claim_once;
mod command;
mod counting;
mod create;
mod data;
mod desk;
mod error;
mod events;
mod handle;
mod key_watch;
mod keys;
mod lanes;
mod release;
mod signals;
mod work;

pub use change::{ChangeTask, RunChange, TaskChange};
pub use claim::{Claim, ClaimedTask};
pub use colony_store::Page;
pub use colony_store::ledger::data::{DataQuery, DataSort, FoundData};
pub use colony_store::ledger::key::KeyRow;
pub use colony_store::ledger::list::{LedgerList, SortBy};
pub use colony_store::ledger::{DataRow, RunRow, TaskRow};
pub use command::{Command, OnceKey, Outcome};
pub use create::{CreateRun, CreateTasks, CreatedTask, TaskSpec};
pub use data::{Delete, WriteData};
pub(crate) use desk::{DeskBell, DeskMessages};
pub use error::{LedgerError, Missing};
pub use events::{LedgerEvent, LedgerEventKind, RunWatch};
pub use handle::Ledger;
pub use key_watch::KeyWatch;
pub use keys::{KeyOwner, NewKey};
pub(crate) use release::tend;
pub use release::{Heartbeat, HeldLease};
pub(crate) use signals::Signals;
