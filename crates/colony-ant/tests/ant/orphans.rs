//! Nothing outlives its attempt, and nothing outlives the ant, however that ends.
//!
//! Reapers, and the ant that is killed, have to be processes of their own: this test program, started
//! again to run one of the two helpers below, which do nothing when they are not asked to.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use colony_ant::ReaperCommand;
use colony_reaper::process::Process;
use colony_wire::{AntMessage, Failure, Order, Outcome, QueenMessage};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::colony::{Colony, completed, gone, is_alive, order, until};

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
    let mut colony = Colony::start_in(own, |config| {
        config.work_root = dir.join("work-root");
        // This process has no other children.
        config.reaper.adopts = true;
        config.periods.want_pause = Duration::from_millis(20);
    })
    .await;
    for script in ["script", "next"] {
        let script = std::fs::read_to_string(dir.join(script)).unwrap();
        colony.order(&order(&[&script])).await;
        loop {
            match colony.hear().await {
                AntMessage::Report(_) => break,
                AntMessage::GiveBack { .. } => {
                    let mut noted = std::fs::read(dir.join("given-back")).unwrap_or_default();
                    noted.push(b'x');
                    std::fs::write(dir.join("given-back"), noted).unwrap();
                    colony.order(&order(&[&script])).await;
                }
                _ => {}
            }
        }
    }
    std::future::pending::<()>().await;
}

#[test]
fn helper_reaper() {
    if std::env::var_os(REAPER).is_some() {
        colony_reaper::run().unwrap();
    }
}

fn helper(name: &str) -> Vec<String> {
    ["--exact", name, "--nocapture", "--test-threads=1"]
        .map(str::to_owned)
        .to_vec()
}

/// The reaper of every test's ant. A test has children of its own, so that it cannot adopt.
pub(crate) fn reaper() -> ReaperCommand {
    let program = std::env::current_exe().unwrap();
    let mut args = vec![format!("{REAPER}=1"), program.display().to_string()];
    args.extend(helper("orphans::helper_reaper"));
    ReaperCommand {
        program: "/usr/bin/env".into(),
        args,
        adopts: false,
        own_session: false,
    }
}

/// Processes that wish to outlive their attempt: a name, and how the command `{}` is started.
const DAEMONS: [(&str, &str); 7] = [
    ("group", "{} &"),
    ("session", "setsid {} &"),
    ("twice", "(setsid sh -c '(setsid {} &)' &)"),
    ("bare", "env -i PATH=\"$PATH\" setsid {} &"),
    (
        "elsewhere",
        "(cd /; TMPDIR=/tmp setsid {} </dev/null >/dev/null 2>&1 &)",
    ),
    (
        "nothing",
        "(cd /; env -i PATH=\"$PATH\" TMPDIR=/tmp setsid {} </dev/null >/dev/null 2>&1 &)",
    ),
    ("deaf", "env -i PATH=\"$PATH\" setsid nohup {} &"),
];

/// Those that carry no mark of their attempt at all.
const UNMARKED: [&str; 2] = ["elsewhere", "nothing"];

/// A script that starts every daemon, each of which notes its process id in `dir`, and one that
/// changes its process id all the time; then `rest`.
fn script(dir: &Path, rest: &str) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    let note = "echo $$ > \"$1.new\"; mv \"$1.new\" \"$1\"";
    let daemon = format!("trap : TERM HUP INT\n{note}\nwhile :; do sleep 1000; done\n");
    std::fs::write(at("daemon"), daemon).unwrap();
    let hop = format!("echo x >> {}\nsetsid sh {} &\n", at("hops"), at("hop"));
    std::fs::write(at("hop"), hop).unwrap();
    let mut script = String::new();
    for (name, start) in DAEMONS {
        let command = format!("sh {} {}", at("daemon"), at(name));
        script.push_str(&format!("{}\n", start.replace("{}", &command)));
    }
    script.push_str(&format!("setsid sh {} &\n", at("hop")));
    script.push_str(&format!("set -- {}\n{note}\n", at("main")));
    for name in DAEMONS.map(|(name, _)| name).into_iter().chain(["hops"]) {
        script.push_str(&format!("until [ -s {} ]; do sleep 0.01; done\n", at(name)));
    }
    script + rest
}

/// The processes that the script has started, once it has.
async fn pids(dir: &Path) -> Vec<String> {
    let mut pids = Vec::new();
    let names = DAEMONS.iter().map(|(name, _)| *name);
    for name in names.chain(["main", "hops"]) {
        let file = dir.join(name);
        until(name, || file.exists()).await;
        if name != "hops" {
            pids.push(std::fs::read_to_string(&file).unwrap().trim().to_owned());
        }
    }
    pids
}

fn hops_on(dir: &Path) -> bool {
    let hop = dir.join("hop");
    colony_reaper::process::all()
        .filter(|process| !process.is_dead)
        .filter_map(|process| {
            std::fs::read(colony_reaper::process::file(process.pid, "cmdline")).ok()
        })
        .any(|line| String::from_utf8_lossy(&line).contains(hop.to_str().unwrap()))
}

fn assert_gone(dir: &Path, pids: &[String], when: &str) {
    for ((name, _), pid) in DAEMONS.iter().zip(pids) {
        assert!(!is_alive(pid), "{name} lives after {when}");
    }
    assert!(!hops_on(dir), "it hops on after {when}");
}

async fn all_gone(dir: &Path, pids: &[String]) {
    for pid in pids {
        gone(pid).await;
    }
    until("the end of hopping", || !hops_on(dir)).await;
}

#[tokio::test]
async fn nothing_outlives_its_attempt_however_that_ends() {
    let mut colony = Colony::start().await;
    for (when, rest, outcome) in [
        ("success", "exit 0", Some(Outcome::Completed)),
        ("failure", "exit 3", None),
        ("cancel", "sleep 1000", Some(Outcome::Cancelled)),
        ("timeout", "sleep 1000", None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut order = order(&[&script(dir.path(), rest)]);
        if when == "timeout" {
            order.timeout_ms = 3_000;
        }
        colony.order(&order).await;
        let pids = pids(dir.path()).await;
        if when == "cancel" {
            let (attempt, reason) = (order.attempt, "test".to_owned());
            colony.tell(QueenMessage::Cancel { attempt, reason }).await;
        }
        let report = colony.report().await;
        assert_gone(dir.path(), &pids, when);
        match outcome {
            Some(outcome) => assert_eq!(report.outcome, outcome, "{when}"),
            None => assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:?}"),
        }
    }
    colony.end().await;
}

#[tokio::test]
async fn the_end_of_an_attempt_is_not_that_of_its_neighbour() {
    let mut colony = Colony::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = format!(
        "until [ -e {}/gate ]; do sleep 0.01; done",
        dir.path().display()
    );
    let long = order(&[&script(dir.path(), &gate)]);
    colony.order(&long).await;
    let pids = pids(dir.path()).await;
    completed(&colony.sh("(setsid sleep 1000 &); exit 0").await);
    assert!(pids.iter().all(|pid| is_alive(pid)) && hops_on(dir.path()));
    std::fs::write(dir.path().join("gate"), "").unwrap();
    completed(&colony.report().await);
    assert_gone(dir.path(), &pids, "its own attempt");
    colony.end().await;
}

#[tokio::test]
async fn a_background_process_lives_until_the_end_of_its_attempt() {
    let mut colony = Colony::start().await;
    let report = colony
        .run(&order(&[
            "(setsid sh -c 'until [ -e stop ]; do sleep 0.01; done; echo heard > answer' &)",
            "touch stop; until [ -s answer ]; do sleep 0.01; done; cat answer",
        ]))
        .await;
    completed(&report);
    assert_eq!(report.stdout[1], "heard\n");
    colony.end().await;
}

pub(crate) fn ant_process(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(helper("orphans::helper_ant"))
        .env(ANT, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Starts an ant that runs every daemon, and gives it and their process ids.
async fn busy_ant(dir: &Path) -> (Child, Vec<String>) {
    std::fs::write(dir.join("script"), script(dir, "sleep 1000")).unwrap();
    let next = format!("touch {}/done; sleep 1000", dir.display());
    std::fs::write(dir.join("next"), next).unwrap();
    let ant = ant_process(dir);
    let pids = pids(dir).await;
    (ant, pids)
}

/// The reaper of the script: the parent of its shell.
fn reaper_of(pids: &[String]) -> Pid {
    let main = pids.last().unwrap().parse().unwrap();
    let shell = Process::read(Pid::from_raw(main).unwrap()).unwrap();
    Pid::from_raw(shell.parent).unwrap()
}

async fn next_ant(dir: &Path) {
    let root = dir.join("work-root");
    let inner = tempfile::tempdir().unwrap();
    let mut next = Colony::start_in(inner, |config| config.work_root.clone_from(&root)).await;
    completed(&next.sh("true").await);
    next.end().await;
}

#[tokio::test]
async fn nothing_outlives_an_ant_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ant, pids) = busy_ant(dir.path()).await;
    assert!(pids.iter().all(|pid| is_alive(pid)));
    ant.kill().await.unwrap();
    all_gone(dir.path(), &pids).await;
    // The next ant gets the directory as soon as the reapers are done, and cleans it.
    next_ant(dir.path()).await;
}

#[tokio::test]
async fn nothing_outlives_a_reaper_that_is_killed_and_another_takes_its_place() {
    for signal in [Signal::KILL, Signal::STOP] {
        let dir = tempfile::tempdir().unwrap();
        let (mut ant, pids) = busy_ant(dir.path()).await;
        kill_process(reaper_of(&pids), signal).unwrap();
        if signal == Signal::STOP {
            // Who does not answer is found out when somebody wants the end.
            ant.kill().await.unwrap();
            kill_process(reaper_of(&pids), Signal::CONT).unwrap();
        }
        all_gone(dir.path(), &pids).await;
        if signal == Signal::KILL {
            let done = dir.path().join("done");
            until("the next attempt", || done.exists()).await;
            ant.kill().await.unwrap();
        }
        next_ant(dir.path()).await;
    }
}

#[tokio::test]
async fn what_is_left_when_all_are_killed_at_once_is_swept_by_the_next_ant() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ant, pids) = busy_ant(dir.path()).await;
    let reaper = reaper_of(&pids);
    kill_process(reaper, Signal::STOP).unwrap();
    ant.kill().await.unwrap();
    kill_process(reaper, Signal::KILL).unwrap();
    gone(&reaper.as_raw_nonzero().to_string()).await;
    // One that nothing can tell from a stranger is what remains.
    std::fs::write(dir.path().join("hop"), "").unwrap();
    let marked = DAEMONS.iter().zip(&pids);
    let (unmarked, marked): (Vec<_>, Vec<_>) =
        marked.partition(|((name, _), _)| UNMARKED.contains(name));
    next_ant(dir.path()).await;
    for (_, pid) in marked {
        gone(pid).await;
    }
    for (_, pid) in unmarked {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        Process::read(pid).unwrap().kill();
    }
}

#[tokio::test]
async fn a_command_that_kills_its_reaper_ends_its_attempt_only() {
    let mut colony = Colony::start().await;
    let order = order(&["kill -9 $PPID; sleep 1000"]);
    colony.order(&order).await;
    let report = colony.report().await;
    let Outcome::Failed(Failure::CouldNotStart { message }) = &report.outcome else {
        panic!("{report:?}");
    };
    assert!(message.contains("watches over it"), "{message}");
    completed(&colony.sh("true").await);
    colony.end().await;
}

#[tokio::test]
async fn a_reaper_that_is_stopped_is_killed_when_the_attempt_has_to_end() {
    let mut colony = Colony::start().await;
    let order = Order {
        timeout_ms: 200,
        ..order(&["kill -STOP $PPID; sleep 3; exit 0"])
    };
    colony.order(&order).await;
    let report = colony.report().await;
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:?}");
    completed(&colony.sh("true").await);
    tokio::time::timeout(Duration::from_secs(20), colony.end())
        .await
        .unwrap();
}
