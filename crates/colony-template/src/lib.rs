//! An exact and bounded Go `text/template` engine.
