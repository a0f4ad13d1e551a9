//! Finding the queen and its token.

use anyhow::anyhow;
use colony_api::client::{Client, ClientError};

use crate::data_dir::DataDir;
use crate::exit::{InputResult as _, Problem};
use crate::output;
use crate::settings::Settings;

/// A queen that can be called.
pub(crate) struct Queen {
    pub(crate) client: Client,
}

impl Queen {
    /// The queen that the settings name, or else the one that runs in the data directory.
    pub(crate) fn find(settings: &Settings) -> Result<Self, Problem> {
        let (url, is_here) = find_url(settings).or_bad_input()?;
        let token = match &settings.token {
            Some(token) => Some(token.0.clone()),
            // The token of this directory is for the queen of this directory only.
            None if is_here => settings.data_dir.read_token().or_bad_input()?,
            None => None,
        };
        let client = Client::new(&url, token.as_deref()).map_err(problem)?;
        Ok(Self { client })
    }
}

/// Where the queen is, and whether that is the one of the data directory.
pub(super) fn find_url(settings: &Settings) -> anyhow::Result<(String, bool)> {
    let dir = &settings.data_dir;
    let here = dir.read_address()?.map(as_url);
    let url = match &settings.url {
        Some(url) => url.clone(),
        None => here.clone().ok_or_else(|| no_queen(dir))?,
    };
    let is_here = here.is_some_and(|here| is_same(&here, &url));
    Ok((url, is_here))
}

fn no_queen(dir: &DataDir) -> anyhow::Error {
    anyhow!(
        "no queen runs in the data directory {}: it has no file `address`; start one with `colony \
         queen`, or name one with --data-dir, --url or COLONY_URL",
        dir.path().display()
    )
}

fn as_url(address: String) -> String {
    match address.contains("://") {
        true => address,
        false => format!("http://{address}"),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let plain = |url: &str| {
        url.trim_end_matches('/')
            .replace("//localhost", "//127.0.0.1")
    };
    plain(one) == plain(other)
}

/// A failed call as the end of a command. What the queen refuses is the input's fault.
pub(crate) fn problem(error: ClientError) -> Problem {
    let Some(failure) = error.failure() else {
        let is_input = matches!(
            error,
            ClientError::BadUrl { .. } | ClientError::Connect { .. }
        );
        return if is_input {
            Problem::input(error)
        } else {
            Problem::from(anyhow::Error::new(error))
        };
    };
    let mut text = output::plain(&failure.message);
    for detail in &failure.details {
        text.push_str("; ");
        if let (Some(line), Some(column)) = (detail.line, detail.column) {
            text.push_str(&format!("line {line}, column {column}: "));
        } else if !detail.path.is_empty() {
            text.push_str(&format!("{}: ", output::plain(&detail.path)));
        }
        text.push_str(&output::plain(&detail.message));
    }
    match failure.status {
        401 | 403 => Problem::input(anyhow!(
            "the queen does not accept the token: {text}; use the data directory of the queen with \
             --data-dir, or set COLONY_TOKEN"
        )),
        400..500 => Problem::input(anyhow!("the queen says: {text}")),
        status => Problem::from(anyhow!("the queen says: {text} (status {status})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_queen() {
        let here = as_url("127.0.0.1:1".to_owned());
        assert!(is_same(&here, "http://localhost:1/"));
        assert!(!is_same(&here, "http://127.0.0.1:12"));
        assert!(!is_same(&here, "https://127.0.0.1:1"));
    }
}
