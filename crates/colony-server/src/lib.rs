//! The queen's HTTP side.
