//! Files that the user names on the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::output::plain;

/// A text with the name under which messages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// As on the command line; `stdin` for `-`.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: String,
    /// Absolute directory of the file; the current one for `-`.
    pub(crate) directory: PathBuf,
}

impl Source {
    /// Reads a file, or stdin when its name is `-`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let here = || std::env::current_dir().context("failed to find the current directory");
        if path == Path::new("-") {
            return Ok(Self {
                name: "stdin".to_owned(),
                text: read_stdin()?,
                directory: here()?,
            });
        }
        let bytes = std::fs::read(path).with_context(|| {
            let name = path.display();
            format!("failed to read the file {name}; give the path of an existing, readable file")
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow!(
                "failed to read the file {}: byte {at} is not UTF-8; save the file as UTF-8 text",
                path.display()
            )
        })?;
        let absolute = here()?.join(path);
        Ok(Self {
            name: plain(&path.display().to_string()),
            text,
            directory: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
        })
    }
}

/// All of stdin.
pub(crate) fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("failed to read UTF-8 text from stdin")?;
    Ok(text)
}
