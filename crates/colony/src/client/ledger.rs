//! The ledger of a queen behind the Runs API: finding it and its key, and waiting for it.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use colony_api::runs::{ErrorBody, ErrorItem, Task};
use colony_api::runs_client::{ClientError, Event, Events, RunsClient};

use super::connect::find_url;
use super::follow::{WAIT, patiently};
use crate::cli::RunsClientArgs;
use crate::exit::{InputResult as _, Problem};
use crate::output::plain;
use crate::settings::Settings;

/// How to get a key.
const MAKE_A_KEY: &str = "make one with `colony key create --org ORG --env ENV` where the queen \
                          has its data, and give it in the variable COLONY_API_KEY or with --key-file";

/// A queen whose Runs API can be called.
pub(crate) struct Ledger {
    pub(crate) client: RunsClient,
    pub(crate) url: String,
    has_key: bool,
}

impl Ledger {
    /// The queen that the settings name, or else the one that runs in the data directory.
    pub(crate) fn find(settings: &Settings, args: &RunsClientArgs) -> Result<Self, Problem> {
        let (url, _) = find_url(settings).or_bad_input()?;
        let key = match &args.key_file {
            Some(file) => Some(read_key(file).or_bad_input()?),
            None => settings.api_key.as_ref().map(|key| key.0.clone()),
        };
        let mut client = RunsClient::new(&url)
            .map_err(|error| anyhow!("failed to {error}"))
            .or_bad_input()?;
        if let Some(org) = &args.org {
            client = client.with_org(org);
        }
        let has_key = key.is_some();
        if let Some(key) = key {
            client = client.with_key(key);
        }
        Ok(Self {
            client,
            url,
            has_key,
        })
    }

    /// The task once it has ended. A queen that restarts meanwhile is waited for.
    pub(crate) async fn end(&self, id: &str) -> Result<Task, Problem> {
        loop {
            let call = async || self.client.task(id, WAIT).await;
            let task = patiently(call, ClientError::is_retryable).await;
            let task = task.map_err(|error| self.problem(error))?;
            if task.status.is_terminal() {
                return Ok(task);
            }
        }
    }

    /// Follows a run for as long as `see` wants more.
    pub(crate) async fn follow(
        &self,
        run: &str,
        mut see: impl FnMut(&Event) -> Result<bool, Problem>,
    ) -> Result<(), Problem> {
        let mut last: Option<String> = None;
        loop {
            let call = async || self.first_event(run, last.as_deref()).await;
            let begun = patiently(call, ClientError::is_retryable).await;
            let (mut events, mut event) = begun.map_err(|error| self.problem(error))?;
            // A stream that ends or breaks is resumed behind its last event.
            while let Some(seen) = event {
                if !see(&seen)? {
                    return Ok(());
                }
                last = Some(seen.id);
                event = events.next().await.ok().flatten();
            }
        }
    }

    /// A stream is only as good as its first event: every one has at least that.
    async fn first_event(
        &self,
        run: &str,
        last: Option<&str>,
    ) -> Result<(Events, Option<Event>), ClientError> {
        let mut events = self.client.events(run, last).await?;
        let first = events.next().await?;
        Ok((events, first))
    }

    /// A failed call as the end of a command. What the queen refuses is the input's fault.
    pub(crate) fn problem(&self, error: ClientError) -> Problem {
        match error {
            ClientError::Refused { status, body } => self.refusal(status, &body),
            ClientError::Transport(error) if error.is_connect() => {
                let text = format!(
                    "cannot connect to the queen at {}; start one with `colony queen`, or set \
                     COLONY_URL to the address of a running one",
                    self.url
                );
                Problem::input(anyhow::Error::new(error).context(text))
            }
            error @ ClientError::BadUrl { .. } => Problem::input(error),
            error => {
                let text = format!("failed to {error}");
                match std::error::Error::source(&error) {
                    Some(cause) => Problem::from(anyhow!("{text}: {cause}")),
                    None => Problem::from(anyhow!(text)),
                }
            }
        }
    }

    fn refusal(&self, status: u16, body: &ErrorBody) -> Problem {
        let mut text = plain(&body.error);
        for item in body.details.iter().flatten() {
            text.push_str(&format!("; {}", plain(&explain(item))));
        }
        match status {
            401 if !self.has_key => Problem::input(anyhow!(
                "the queen lets nobody in without a key of the Runs API; {MAKE_A_KEY}"
            )),
            401 => Problem::input(anyhow!(
                "the queen does not accept the key: {text}; it may be revoked, expired or of \
                 another queen; {MAKE_A_KEY}"
            )),
            400..500 => Problem::input(anyhow!("the queen says: {text}")),
            status => Problem::from(anyhow!("the queen says: {text} (status {status})")),
        }
    }
}

/// A problem of a request with its place.
pub(crate) fn explain(item: &ErrorItem) -> String {
    let parts = item.path.iter().map(|part| match part.as_str() {
        Some(name) => name.to_owned(),
        None => part.to_string(),
    });
    match parts.collect::<Vec<_>>().join(".") {
        path if path.is_empty() => item.message.clone(),
        path => format!("{path}: {}", item.message),
    }
}

fn read_key(file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read the key file {name}"))?;
    match text.trim() {
        "" => bail!("the key file {name} is empty; {MAKE_A_KEY}"),
        key if key.contains(char::is_whitespace) => {
            bail!("the key file {name} holds more than a key; write nothing but the key into it")
        }
        key => Ok(key.to_owned()),
    }
}
