//! `colony porter`: the process that works among the files of another user.

use std::ffi::OsString;

use anyhow::Context as _;

use crate::exit::{Exit, Problem};

pub(super) fn porter(words: &[OsString]) -> Result<Exit, Problem> {
    colony_ant::porter::run(words)
        .context("failed to say what was done; this command is started by an ant only")?;
    Ok(Exit::Completed)
}
