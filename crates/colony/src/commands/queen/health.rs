//! What a queen needs on its machine beside the database, for its health.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use colony_server::health::Health;
use colony_store::Store;

use crate::settings::Settings;

/// Fewer free file descriptors are too few for connections and tasks.
const DESCRIPTORS_MIN: u64 = 16;

/// Everything that the health of this queen depends on.
pub(super) fn of(settings: &Settings, store: Store) -> Health {
    let data = settings.data_dir.clone();
    let mut health = Health::new(store)
        .with("objects", move || writable("objects", &data.objects()))
        .with("descriptors", descriptors);
    if let Some(ant) = &settings.ant {
        let work = ant.work_dir.clone();
        health = health.with("work", move || writable("work", &work));
    }
    health
}

/// Whether a directory takes a file; one that is missing is made again.
fn writable(name: &str, directory: &Path) -> Result<(), String> {
    let write = || -> std::io::Result<()> {
        crate::data_dir::make_again(directory)?;
        let mut file = tempfile::Builder::new()
            .prefix(".health-")
            .tempfile_in(directory)?;
        file.write_all(b"health")
    };
    write().map_err(|error| {
        format!(
            "the directory `{name}` cannot be written to: {}",
            error.kind()
        )
    })
}

/// Whether there are file descriptors left.
fn descriptors() -> Result<(), String> {
    match free_descriptors() {
        Ok(Some(free)) if free < DESCRIPTORS_MIN => {
            Err(format!("only {free} file descriptors are left"))
        }
        Ok(_) => Ok(()),
        // Even looking takes one.
        Err(_) => Err("no file descriptors are left".to_owned()),
    }
}

/// None where the system does not tell.
fn free_descriptors() -> std::io::Result<Option<u64>> {
    let limits = match std::fs::read_to_string("/proc/self/limits") {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        limits => limits?,
    };
    let limit = limits.lines().find_map(|line| {
        let numbers = line.strip_prefix("Max open files")?;
        numbers.split_whitespace().next()?.parse::<u64>().ok()
    });
    let open = std::fs::read_dir("/proc/self/fd")?.count();
    let open = u64::try_from(open).unwrap_or(u64::MAX);
    Ok(limit.map(|limit| limit.saturating_sub(open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_and_one_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let work = home.path().join("a").join("work");
        writable("work", &work).unwrap();
        assert_eq!(std::fs::read_dir(&work).unwrap().count(), 0);
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let problem = writable("work", &file.join("work")).unwrap_err();
        assert!(
            problem.starts_with("the directory `work` cannot be written to: "),
            "{problem}"
        );
        assert!(
            !problem.contains(home.path().to_str().unwrap()),
            "{problem}"
        );
    }

    #[test]
    fn descriptors_are_counted() {
        assert!(free_descriptors().unwrap().is_some_and(|free| free > 0));
    }
}
