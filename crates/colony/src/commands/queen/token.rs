//! The admin's token of the first start.
//!
//! The file is on disk before the hash is committed, and a file that is there is used again. So a
//! crash between the two only means that the next start commits the hash of the same token: there
//! is never a committed hash whose token nobody has.

use anyhow::bail;
use colony_engine::{AdminToken, Engine};

use crate::data_dir::DataDir;

/// Makes the first organization and admin, if there are none.
pub(super) async fn prepare(engine: &Engine, data_dir: &DataDir) -> anyhow::Result<()> {
    let written = data_dir.read_token()?;
    let is_new = written.is_none();
    let token = match written {
        Some(text) => parse(&text, data_dir)?,
        None => {
            let token = AdminToken::from_random(rand::random());
            data_dir.write_token(token.expose())?;
            token
        }
    };
    if engine.bootstrap(&token).await? {
        tracing::info!("made the first organization and its admin");
        return Ok(());
    }
    if engine.authenticate(token.expose()).await?.is_some() {
        return Ok(());
    }
    // The database was set up with another token, from another data directory perhaps.
    if is_new {
        data_dir.remove_token()?;
    }
    let file = data_dir.token_file();
    tracing::warn!(
        "{} is not the token of this database; clients need COLONY_TOKEN with a valid one",
        file.display()
    );
    Ok(())
}

fn parse(text: &str, data_dir: &DataDir) -> anyhow::Result<AdminToken> {
    match AdminToken::parse(text) {
        Some(token) => Ok(token),
        None => bail!(
            "failed to use {}: it holds no token; move the file away to have a new one made on an \
             empty database",
            data_dir.token_file().display()
        ),
    }
}
