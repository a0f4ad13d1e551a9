//! Removing, once a day, what killed attempts have left in the object store: whole objects, and
//! files of uploads that never ended, which the object store itself does not show.

use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use colony_core::time::Timestamp;
use colony_engine::{Leftover, OBJECT_PREFIXES, ObjectSweeper};

/// Until the first sweep: a colony that lives shorter has something better to do.
const FIRST: Duration = Duration::from_secs(10);

/// Between sweeps.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// After one that failed.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// Sweeps for as long as the colony is open; `objects` is the directory of the object store.
pub(super) async fn run(mut sweeper: ObjectSweeper, objects: PathBuf) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = match sweep(&mut sweeper, &objects).await {
            Ok(()) => EVERY,
            Err(error) => {
                tracing::warn!("what killed attempts have stored is removed later: {error:#}");
                AGAIN
            }
        };
    }
}

/// Says in the object store that the database uses it. Without that the next sweep does.
pub(super) async fn mark(sweeper: &ObjectSweeper) {
    if let Err(error) = sweeper.mark().await {
        let error = anyhow::Error::from(error);
        tracing::warn!("the object store does not know its database yet: {error:#}");
    }
}

async fn sweep(sweeper: &mut ObjectSweeper, objects: &Path) -> anyhow::Result<()> {
    let Some(leftover) = sweeper.sweep().await? else {
        return Ok(());
    };
    let objects = objects.to_owned();
    let removing = tokio::task::spawn_blocking(move || remove_uploads(&objects, &leftover));
    let files = removing.await.context("the removal broke")??;
    if files > 0 {
        tracing::info!(files, "removed what killed attempts had not stored whole");
    }
    Ok(())
}

/// Removes the files of uploads that nobody goes on with. Gives their number.
fn remove_uploads(objects: &Path, leftover: &Leftover) -> anyhow::Result<u64> {
    let mut removed = 0;
    for prefix in OBJECT_PREFIXES {
        let failed = || format!("failed to remove files of uploads in `{prefix}`");
        remove_in(&objects.join(prefix), leftover, &mut removed).with_context(failed)?;
    }
    Ok(removed)
}

fn remove_in(directory: &Path, leftover: &Leftover, removed: &mut u64) -> io::Result<()> {
    // A link may lead to what is not the object store's.
    match fs::symlink_metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(()),
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let gone = match is_left(&entry, leftover) {
            Ok(true) => fs::remove_file(entry.path()),
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        match gone {
            Ok(()) => *removed += 1,
            // Somebody was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether that is a file of an upload, `<name of the object>#<number>`, that is left.
fn is_left(entry: &DirEntry, leftover: &Leftover) -> io::Result<bool> {
    let name = entry.file_name();
    let Some((object, number)) = name.to_str().and_then(|name| name.split_once('#')) else {
        return Ok(false);
    };
    if !is_number(number) {
        return Ok(false);
    }
    // Does not follow links.
    let metadata = entry.metadata()?;
    Ok(metadata.is_file() && leftover.has(object, modified(&metadata)?))
}

/// As the object store writes numbers, from 1.
fn is_number(text: &str) -> bool {
    text.parse::<u64>()
        .is_ok_and(|number| number > 0 && number.to_string() == text)
}

fn modified(metadata: &Metadata) -> io::Result<Timestamp> {
    let since = metadata.modified()?.duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Ok(Timestamp::from_millis(
        i64::try_from(millis).unwrap_or(i64::MAX),
    ))
}

#[cfg(test)]
mod tests;
