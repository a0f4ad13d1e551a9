//! `colony reaper`: the process that an ant starts beside itself.

use anyhow::Context as _;

use crate::exit::{Exit, Problem};

pub(super) fn reaper() -> Result<Exit, Problem> {
    colony_ant::reaper::run(std::io::stdin().lock())
        .context("failed to watch over an ant; this command is started by an ant only")?;
    Ok(Exit::Completed)
}
