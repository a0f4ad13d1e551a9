//! The built program, as people and scripts use it: real processes, real files, real databases.

mod bad_input;
mod client;
mod commands;
mod drain;
mod examples;
mod faults;
mod hostile;
mod http;
mod keys;
mod kill;
mod kit;
mod ledger;
mod memory;
mod run;
mod run_as;
mod runs;
mod secrets;
mod settings;
mod walk;
mod worker;
