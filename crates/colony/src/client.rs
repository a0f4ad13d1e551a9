//! Talking to a queen that runs elsewhere: finding it, and waiting for what it does.

mod connect;
mod follow;
mod ledger;
pub(crate) mod show;
mod view;

pub(crate) use connect::{Queen, problem};
pub(crate) use follow::{Lines, end, follow};
pub(crate) use ledger::{Ledger, explain};
pub(crate) use view::{details, requests};
