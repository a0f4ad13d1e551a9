//! Nothing outlives its attempt, and nothing outlives the ant, however that ends.
//!
//! The ant that is killed has to be a process of its own: this test program, started again to run
//! one of the two helpers below, which do nothing when they are not asked to.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use colony_ant::ReaperCommand;
use tokio::process::{Child, Command};

use crate::colony::{Colony, completed, gone, is_alive, order, soon, until};

/// Names the directory of a helper ant, and so asks for one.
const ANT: &str = "COLONY_ANT_TEST_ANT";
/// Asks for a reaper.
const REAPER: &str = "COLONY_ANT_TEST_REAPER";

/// Runs the orders that the directory's scripts are until it is killed.
#[tokio::test]
async fn helper_ant() {
    let Some(dir) = std::env::var_os(ANT).map(PathBuf::from) else {
        return;
    };
    let own = tempfile::tempdir_in(&dir).unwrap();
    let with_reaper = std::env::var_os(REAPER).is_some();
    let mut colony = Colony::start_in(own, |config| {
        config.work_root = dir.join("work-root");
        config.reaper = with_reaper.then(reaper);
    })
    .await;
    let script = std::fs::read_to_string(dir.join("script")).unwrap();
    colony.order(&order(&[&script])).await;
    loop {
        colony.hear().await;
    }
}

#[test]
fn helper_reaper() {
    if std::env::var_os(ANT).is_some() {
        colony_ant::reaper::run(std::io::stdin()).unwrap();
    }
}

fn helper(name: &str) -> Vec<String> {
    ["--exact", name, "--nocapture", "--test-threads=1"]
        .map(str::to_owned)
        .to_vec()
}

fn reaper() -> ReaperCommand {
    ReaperCommand {
        program: std::env::current_exe().unwrap(),
        args: helper("orphans::helper_reaper"),
    }
}

fn ant_process(dir: &Path, with_reaper: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(helper("orphans::helper_ant"))
        .env(ANT, dir)
        .env_remove(REAPER);
    if with_reaper {
        command.env(REAPER, "1");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Starts an ant that runs processes of every kind, and gives it and their ids.
async fn busy_ant(dir: &Path, with_reaper: bool) -> (Child, Vec<String>) {
    let note = |name: &str| {
        format!(
            "echo $$ > {0}/{name}.new; mv {0}/{name}.new {0}/{name}",
            dir.display()
        )
    };
    let script = format!(
        "{}\nsh -c '{}; exec sleep 1000' &\nsetsid sh -c '{}; exec sleep 1000' &\nenv -i sh -c '{}; while :; do sleep 1; done' &\nsleep 1000",
        note("main.pid"),
        note("child.pid"),
        note("escaped.pid"),
        note("unmarked.pid"),
    );
    std::fs::write(dir.join("script"), script).unwrap();
    let ant = ant_process(dir, with_reaper);
    let mut pids = Vec::new();
    for name in ["main.pid", "child.pid", "escaped.pid", "unmarked.pid"] {
        let file = dir.join(name);
        until(name, || file.exists()).await;
        pids.push(std::fs::read_to_string(&file).unwrap().trim().to_owned());
    }
    (ant, pids)
}

#[tokio::test]
async fn the_reaper_kills_what_a_killed_ant_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ant, pids) = busy_ant(dir.path(), true).await;
    assert!(pids.iter().all(|pid| is_alive(pid)));
    ant.kill().await.unwrap();
    for pid in &pids {
        gone(pid).await;
    }
    // The next ant gets the directory as soon as the reaper is done, and cleans it.
    let root = dir.path().join("work-root");
    let inner = tempfile::tempdir().unwrap();
    let mut next = Colony::start_in(inner, |config| config.work_root.clone_from(&root)).await;
    completed(&next.sh("true").await);
    next.end().await;
}

#[tokio::test]
async fn without_a_reaper_the_next_ant_sweeps() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ant, pids) = busy_ant(dir.path(), false).await;
    ant.kill().await.unwrap();
    assert!(
        pids.iter().all(|pid| is_alive(pid)),
        "nobody killed them yet"
    );
    let root = dir.path().join("work-root");
    let inner = tempfile::tempdir().unwrap();
    let mut next = Colony::start_in(inner, |config| config.work_root.clone_from(&root)).await;
    for pid in &pids {
        gone(pid).await;
    }
    completed(&next.sh("true").await);
    next.end().await;
}

#[tokio::test]
async fn an_ant_that_ends_well_dismisses_its_reaper() {
    let dir = tempfile::tempdir().unwrap();
    let ReaperCommand { program, mut args } = reaper();
    args.splice(0..0, [format!("{ANT}=."), program.display().to_string()]);
    let program = "/usr/bin/env".into();
    let command = ReaperCommand { program, args };
    let mut colony = Colony::start_in(dir, |config| config.reaper = Some(command)).await;
    completed(&colony.sh("sleep 0.05").await);
    colony.end().await;
}

#[tokio::test]
async fn background_processes_end_with_their_attempt() {
    let mut colony = Colony::start().await;
    let report = colony
        .run(&order(&[
            "sleep 1000 & echo $!",
            "setsid sh -c 'echo $$ > pid; exec sleep 1000' & until [ -s pid ]; do sleep 0.01; done; cat pid",
        ]))
        .await;
    completed(&report);
    let [grouped, escaped] = &report.stdout[..] else {
        panic!("{report:?}");
    };
    assert!(!is_alive(grouped), "gone before the report");
    soon(gone(escaped)).await;
    colony.end().await;
}
