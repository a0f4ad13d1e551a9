//! The queen's HTTP side.

pub mod runs;
