//! The engine against a scripted ant, on both databases.

mod again;
mod ant;
mod faults;
mod kit;
mod leases;
mod logs;
mod poison;
mod rendered;
mod restart;
mod runs;
mod scheduling;
mod shares;
mod sweep;
mod totals;
mod workers;
