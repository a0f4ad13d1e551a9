//! `colony key`: keys of the Runs API. The database is opened beside a queen that may be running: a
//! row more or less disturbs nobody.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use colony_core::id::MonotonicIds;
use colony_core::time::{Clock as _, SystemClock};
use colony_engine::ledger::{KeyRow, Ledger, NewKey};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::Common;
use crate::cli::{KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs};
use crate::colony::open_store;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::{Profile, Settings};

pub(super) fn key(command: &KeyCommand, common: &Common) -> Result<Exit, Problem> {
    let (KeyCommand::Create(KeyCreateArgs { data_dir, .. })
    | KeyCommand::List(KeyListArgs { data_dir, .. })
    | KeyCommand::Revoke(KeyRevokeArgs { data_dir, .. })) = command;
    let settings = common.settings(data_dir.flags(), Profile::Queen)?;
    super::block_on(async {
        let ledger = open(&settings).await.or_bad_input()?;
        match command {
            KeyCommand::Create(args) => create(&ledger, args).await,
            KeyCommand::List(args) => list(&ledger, args).await,
            KeyCommand::Revoke(args) => revoke(&ledger, args).await,
        }
    })
}

async fn open(settings: &Settings) -> anyhow::Result<Ledger> {
    settings.data_dir.create()?;
    let store = open_store(settings, false).await?;
    let ids = Arc::new(MonotonicIds::new(SystemClock));
    Ok(Ledger::start(store, Arc::new(SystemClock), ids))
}

async fn create(ledger: &Ledger, args: &KeyCreateArgs) -> Result<Exit, Problem> {
    for (flag, text) in [("--org", &args.org), ("--env", &args.env)] {
        check_part(flag, text).or_bad_input()?;
    }
    let expires_at = match &args.expires {
        None => None,
        Some(text) => {
            let duration = colony_spec::duration::parse_duration(text)
                .map_err(|error| anyhow!("failed to use --expires {text}: {error}"))
                .or_bad_input()?;
            Some(SystemClock.now().after(duration))
        }
    };
    let new = NewKey {
        org_id: args.org.clone(),
        environment: args.env.clone(),
        name: args.name.clone(),
        expires_at,
        random: rand::random(),
    };
    let (row, text) = ledger
        .create_key(new)
        .await
        .context("failed to make a key")?;
    output::talk(&format!(
        "key {} acts for {}; it is not shown again",
        row.id, row.org_id
    ));
    output::exact(&text);
    Ok(Exit::Completed)
}

/// The parts of a key are told apart by `_` (`foreman-api` 3.2).
fn check_part(flag: &str, text: &str) -> anyhow::Result<()> {
    if text.is_empty() || text.contains('_') || text.len() > 255 {
        return Err(anyhow!(
            "failed to use {flag} `{text}`: give 1 to 255 characters without `_`, which separates \
             the parts of a key"
        ));
    }
    Ok(())
}

async fn list(ledger: &Ledger, args: &KeyListArgs) -> Result<Exit, Problem> {
    let keys = ledger
        .list_keys(args.org.clone())
        .await
        .context("failed to list the keys")?;
    if args.json {
        let keys: Vec<_> = keys.iter().map(shown).collect();
        output::exact(&json!(keys).to_string());
        return Ok(Exit::Completed);
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["ID", "ORG", "ENV", "NAME", "STATE", "MADE", "EXPIRES"]);
    for key in &keys {
        let state = if key.active { "active" } else { "revoked" };
        let expires = key
            .expires_at
            .map_or_else(|| "never".to_owned(), |at| at.to_string());
        let (id, made) = (key.id.to_string(), key.created_at.to_string());
        table.add_row([
            &id,
            &output::plain(&key.org_id),
            &output::plain(&key.environment),
            &output::plain(&key.name),
            state,
            &made,
            &expires,
        ]);
    }
    output::data(&table.to_string());
    Ok(Exit::Completed)
}

fn shown(key: &KeyRow) -> serde_json::Value {
    json!({"id": key.id, "org": key.org_id, "env": key.environment, "name": key.name,
        "active": key.active, "created_at": key.created_at, "expires_at": key.expires_at})
}

async fn revoke(ledger: &Ledger, args: &KeyRevokeArgs) -> Result<Exit, Problem> {
    let unknown = || {
        anyhow!(
            "there is no active key `{}`; see `colony key list`",
            args.id
        )
    };
    let id = args.id.parse().map_err(|_| unknown()).or_bad_input()?;
    if ledger
        .revoke_key(id)
        .await
        .context("failed to revoke the key")?
    {
        output::talk(&format!("key {} is revoked", args.id));
        return Ok(Exit::Completed);
    }
    Err(unknown()).or_bad_input()
}
