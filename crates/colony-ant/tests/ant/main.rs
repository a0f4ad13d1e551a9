//! The ant with real processes, told what to do by a queen that the tests play.

mod colony;

mod artifacts;
mod commands;
mod dependencies;
mod log;
mod orphans;
mod queen;
mod redaction;
mod stopping;
mod want;
