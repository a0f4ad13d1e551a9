//! Timeouts, cancels, lost leases and shutdown: whole groups end, softly where they can.

use std::time::Duration;

use colony_wire::{AntMessage, Failure, Order, Outcome, Phases, QueenMessage};

use crate::colony::{Colony, gone, is_alive, lines, order, soon, texts};

/// A script that says its grandchild's process id and never ends.
const FAMILY: &str = "sh -c 'echo child $$; exec sleep 1000' & sh -c 'sh -c \"echo grandchild \\$\\$; exec sleep 1000\"; true'";

/// The process ids in a log of [`FAMILY`].
fn pids(log: &str) -> Vec<String> {
    let said = lines(log, "stdout");
    let pids = said.iter().filter_map(|line| line.split_once("child "));
    pids.map(|(_, pid)| pid.to_owned()).collect()
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    let mut colony = Colony::start().await;
    let order = Order {
        phases: Phases {
            script: texts(&[FAMILY, "echo never"]),
            after_script: texts(&["echo cleaned"]),
            ..Phases::default()
        },
        timeout_ms: 700,
        ..order(&[])
    };
    let report = colony.run(&order).await;
    let expected = Failure::TimedOut {
        phase: "script".to_owned(),
        timeout_ms: 700,
        command: FAMILY.to_owned(),
    };
    assert_eq!(report.outcome, Outcome::Failed(expected));
    assert_eq!(report.exit_code, "143");
    let log = colony.log(&report).await;
    assert_eq!(pids(&log).len(), 2, "{log}");
    for pid in pids(&log) {
        gone(&pid).await;
    }
    assert!(log.contains("context deadline exceeded"));
    assert_eq!(lines(&log, "stdout").last().unwrap(), "cleaned");
    colony.end().await;
}

#[tokio::test]
async fn a_timeout_in_after_script_is_a_warning() {
    let mut colony = Colony::start().await;
    let order = Order {
        phases: Phases {
            after_script: texts(&["sleep 1000"]),
            ..Phases::default()
        },
        timeout_ms: 100,
        ..order(&[])
    };
    let report = colony.run(&order).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(
        report.warnings[0].contains("after_script"),
        "{:?}",
        report.warnings
    );
    colony.end().await;
}

#[tokio::test]
async fn who_does_not_listen_is_killed() {
    let mut colony = Colony::start().await;
    let order = Order {
        timeout_ms: 200,
        ..order(&["trap '' TERM; echo pid child $$; while :; do sleep 0.05; done"])
    };
    let report = colony.run(&order).await;
    assert_eq!(report.exit_code, "137");
    let log = colony.log(&report).await;
    assert!(log.contains("killed"), "{log}");
    colony.end().await;
}

#[tokio::test]
async fn a_soft_stop_leaves_time_to_clean_up() {
    let mut colony = Colony::start_with(|c| c.periods.stop_grace = Duration::from_secs(20)).await;
    // The shell dies at once, its child needs a moment.
    let child =
        "trap 'sleep 0.3; echo tidy; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let order = order(&[&format!("sh -c \"{child}\"; true")]);
    colony.order(&order).await;
    colony.hear_log(order.attempt, "stdout F ready").await;
    let attempt = order.attempt;
    let reason = "test".to_owned();
    colony.tell(QueenMessage::Cancel { attempt, reason }).await;
    let report = colony.report().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    let log = colony.log(&report).await;
    assert!(lines(&log, "stdout").contains(&"tidy".to_owned()), "{log}");
    colony.end().await;
}

#[tokio::test]
async fn cancel_ends_the_group_cleans_up_and_reports() {
    let mut colony = Colony::start().await;
    let order = Order {
        phases: Phases {
            script: texts(&[FAMILY, "echo never"]),
            after_script: texts(&["echo cleaned"]),
            ..Phases::default()
        },
        ..order(&[])
    };
    colony.order(&order).await;
    colony.hear_log(order.attempt, " grandchild ").await;
    let attempt = order.attempt;
    let reason = "by hand".to_owned();
    colony.tell(QueenMessage::Cancel { attempt, reason }).await;
    let report = colony.report().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    let log = colony.log(&report).await;
    assert!(log.contains("cancelled: by hand"), "{log}");
    assert_eq!(lines(&log, "stdout").last().unwrap(), "cleaned");
    for pid in pids(&log) {
        gone(&pid).await;
    }
    colony.end().await;
}

#[tokio::test]
async fn a_lost_lease_is_not_reported() {
    let mut colony = Colony::start().await;
    let lost = order(&[FAMILY]);
    colony.order(&lost).await;
    colony.hear_log(lost.attempt, " grandchild ").await;
    let attempt = lost.attempt;
    colony.tell(QueenMessage::LeaseLost { attempt }).await;
    for pid in pids(&colony.logs[&attempt]) {
        gone(&pid).await;
    }
    // The next thing that is heard is about the next attempt.
    let next = order(&["true"]);
    colony.order(&next).await;
    loop {
        match colony.hear().await {
            AntMessage::Started { attempt, .. } => assert_eq!(attempt, next.attempt),
            AntMessage::Report(report) => {
                assert_eq!(report.attempt, next.attempt);
                let (attempt, accepted) = (next.attempt, true);
                colony
                    .tell(QueenMessage::ReportStored { attempt, accepted })
                    .await;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    colony.end().await;
}

#[tokio::test]
async fn draining_lets_work_finish_and_takes_no_more() {
    let mut colony = Colony::start().await;
    let gate = colony.dir.path().join("gate");
    let running = order(&[&format!(
        "echo on; until [ -e {} ]; do sleep 0.01; done",
        gate.display()
    )]);
    colony.order(&running).await;
    colony.hear_log(running.attempt, "stdout F on").await;
    colony.shutdown.drain();
    let late = order(&["true"]);
    // The ant may hear the order before it notices the wish to end.
    tokio::task::yield_now().await;
    colony.order(&late).await;
    loop {
        match colony.hear().await {
            AntMessage::GiveBack { attempt } => {
                assert_eq!(attempt, late.attempt);
                break;
            }
            AntMessage::Started { attempt, .. } => assert_ne!(attempt, late.attempt),
            other => panic!("{other:?}"),
        }
    }
    std::fs::write(&gate, "").unwrap();
    assert_eq!(colony.report().await.outcome, Outcome::Completed);
    colony.end().await;
}

#[tokio::test]
async fn after_the_grace_time_work_is_killed_and_given_back() {
    let mut colony =
        Colony::start_with(|config| config.periods.drain_grace = Duration::from_millis(50)).await;
    let running = [order(&[FAMILY]), order(&[FAMILY])];
    for order in &running {
        colony.order(order).await;
    }
    for order in &running {
        colony.hear_log(order.attempt, " grandchild ").await;
    }
    colony.shutdown.drain();
    let mut given_back = Vec::new();
    while given_back.len() < 2 {
        match colony.hear().await {
            AntMessage::GiveBack { attempt } => given_back.push(attempt),
            other => panic!("{other:?}"),
        }
    }
    given_back.sort_unstable();
    let mut expected = running.map(|order| order.attempt);
    expected.sort_unstable();
    assert_eq!(given_back, expected);
    let pids: Vec<String> = colony.logs.values().flat_map(|log| pids(log)).collect();
    colony.end().await;
    assert!(pids.iter().all(|pid| !is_alive(pid)), "{pids:?}");
}

#[tokio::test]
async fn without_a_queen_everything_stops() {
    let mut colony = Colony::start().await;
    let order = order(&[FAMILY]);
    colony.order(&order).await;
    colony.hear_log(order.attempt, " grandchild ").await;
    let pids = pids(&colony.logs[&order.attempt]);
    drop((colony.to_ant, colony.from_ant));
    let ended = soon(colony.ant).await.unwrap();
    assert!(ended.is_err());
    assert!(pids.iter().all(|pid| !is_alive(pid)), "{pids:?}");
}

#[tokio::test]
async fn the_exit_code_of_a_stopped_task_does_not_depend_on_its_command() {
    let mut colony = Colony::start().await;
    let scripts = [
        (
            "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done",
            "143",
        ),
        (
            "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done",
            "143",
        ),
        ("trap '' TERM; echo up; while :; do sleep 0.01; done", "137"),
        ("echo up; exec sleep 1000", "143"),
    ];
    for (script, code) in scripts {
        let timed = Order {
            timeout_ms: 300,
            ..order(&[script])
        };
        assert_eq!(colony.run(&timed).await.exit_code, code, "{script}");
        let cancelled = order(&[script]);
        colony.order(&cancelled).await;
        colony.hear_log(cancelled.attempt, "stdout F up").await;
        let (attempt, reason) = (cancelled.attempt, "test".to_owned());
        colony.tell(QueenMessage::Cancel { attempt, reason }).await;
        let report = colony.report().await;
        assert_eq!(report.outcome, Outcome::Cancelled);
        assert_eq!(report.exit_code, "0", "{script}");
    }
    colony.end().await;
}
