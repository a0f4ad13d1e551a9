//! `colony reaper`: the process that starts the commands of an ant or a worker.

use anyhow::Context as _;

use crate::exit::{Exit, Problem};

pub(super) fn reaper() -> Result<Exit, Problem> {
    colony_reaper::run()
        .context("failed to serve; this command is started by a queen or a worker only")?;
    Ok(Exit::Completed)
}
