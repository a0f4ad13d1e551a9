//! Settings: a flag, else a `COLONY_…` variable, else `colony.toml`, else the default, resolved in
//! one step before a command begins.

mod database;
#[cfg(test)]
mod document;
mod http;
mod layers;
mod parse;
mod reader;
mod resolve;
mod runs_api;
mod table;
#[cfg(test)]
mod tests;
mod unknown;

pub(crate) use layers::{Flags, Layers, Origin};
pub(crate) use parse::RunAsText;
pub(crate) use resolve::{AntSettings, Profile, Settings};
pub(crate) use table::{
    ANT_CAPACITY, ANT_ENABLED, ANT_METHODS, ANT_TAGS, AUTH, DATA_DIR, DATABASE_URL,
    DATABASE_URL_FILE, DRAIN_GRACE, LISTEN, URL,
};
