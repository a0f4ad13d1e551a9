//! Installing what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, failed_to, say};

const POSTGRES_ROOT: &str = "/usr/lib/postgresql";

/// Where Debian's cluster tool looks for what to do when a server is installed.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d";

/// The directory of PostgreSQL's server programs, the newest version that there is.
pub(crate) fn postgres_programs() -> Result<PathBuf, Failure> {
    if let Some(found) = newest_postgres() {
        return Ok(found);
    }
    if !is_root() {
        return Err(Failure::Message(format!(
            "PostgreSQL's server is missing (looked in {POSTGRES_ROOT}/*/bin); install it with \
             `apt-get install postgresql`, or run this as root"
        )));
    }
    // Only the programs are wanted, not a server that runs beside ours.
    std::fs::create_dir_all(CLUSTER_SETTINGS)
        .and_then(|()| {
            let settings = Path::new(CLUSTER_SETTINGS).join("colony-xtask.conf");
            std::fs::write(settings, "create_main_cluster = false\n")
        })
        .map_err(failed_to("prepare the installation of PostgreSQL"))?;
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", "postgresql"])?;
    newest_postgres().ok_or_else(|| {
        Failure::Message(format!(
            "apt-get installed PostgreSQL, but there is none in {POSTGRES_ROOT}/*/bin"
        ))
    })
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES_ROOT).ok()?;
    versions
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            let complete = programs.join("initdb").exists() && programs.join("postgres").exists();
            complete.then_some((version, programs))
        })
        .max()
        .map(|(_, programs)| programs)
}

/// Whether this is root, who owns its own entry of `/proc`.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn apt_get(arguments: &[&str]) -> Result<(), Failure> {
    say(&format!("==> apt-get {}", arguments.join(" ")));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(std::process::Stdio::null())
        .status()
        .map_err(failed_to("start apt-get"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Message(format!("apt-get failed ({status})")))
}
