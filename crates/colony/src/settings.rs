//! Settings: a flag, else a `COLONY_…` variable, else `colony.toml`, else the default, resolved in
//! one step before a command begins.

mod layers;
mod resolve;
mod table;

pub(crate) use layers::{Flags, Layers, Origin};
pub(crate) use resolve::{AntSettings, Profile, Settings};
pub(crate) use table::{
    ANT_CAPACITY, ANT_ENABLED, ANT_METHODS, ANT_TAGS, AUTH, DATA_DIR, DATABASE_URL, DRAIN_GRACE,
    LISTEN, URL,
};
