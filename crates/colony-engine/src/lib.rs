//! Use-cases and loops of the queen.
