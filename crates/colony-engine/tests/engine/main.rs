//! The engine against a scripted ant, on both databases.

mod ant;
mod kit;
mod leases;
mod logs;
mod restart;
mod runs;
mod scheduling;
mod totals;
mod workers;
