//! The conversation with the queen.

use std::time::Duration;

use colony_ant::{AntError, WorkRootError};
use colony_core::method::Method;
use colony_wire::{AntMessage, Order, Outcome, QueenMessage};

use crate::colony::{Colony, completed, order, soon};

#[tokio::test]
async fn hello_says_who_the_ant_is() {
    let colony = Colony::start_with(|config| {
        config.tags = vec!["gpu".to_owned()];
        config.capacity = 7;
    })
    .await;
    let hello = &colony.hello;
    assert_eq!(hello.version, colony_wire::VERSION);
    assert_eq!((hello.ant_id.as_str(), hello.capacity), ("test-ant", 7));
    assert_eq!(hello.methods, [Method::Shell]);
    assert_eq!(hello.tags, ["gpu"]);
    assert!(hello.running.is_empty());
    colony.end().await;
}

#[tokio::test]
async fn a_report_is_repeated_until_it_is_acknowledged() {
    let mut colony =
        Colony::start_with(|config| config.periods.report_repeat = Duration::from_millis(20)).await;
    let order = order(&["true"]);
    colony.order(&order).await;
    let attempt = order.attempt;
    let mut heard = 0;
    while heard < 3 {
        match colony.hear().await {
            AntMessage::Report(report) => {
                completed(&report);
                assert_eq!(report.attempt, attempt);
                heard += 1;
            }
            AntMessage::Started { .. } => assert_eq!(heard, 0),
            other => panic!("{other:?}"),
        }
    }
    // Also when the queen starts it once more: it is not run again.
    colony.order(&order).await;
    assert!(matches!(colony.hear().await, AntMessage::Report(_)));
    let accepted = false;
    colony
        .tell(QueenMessage::ReportStored { attempt, accepted })
        .await;
    colony.end().await;
}

#[tokio::test]
async fn heartbeats_name_what_runs_and_an_idle_ant_is_silent() {
    let mut colony = Colony::start().await;
    let gate = colony.dir.path().join("gate");
    let order = order(&[&format!(
        "until [ -e {} ]; do sleep 0.01; done",
        gate.display()
    )]);
    colony.order(&order).await;
    let mut beats = 0;
    while beats < 3 {
        if let AntMessage::Heartbeat { running } = soon(colony.from_ant.recv()).await.unwrap() {
            assert_eq!(running, [order.attempt]);
            beats += 1;
        }
    }
    std::fs::write(&gate, "").unwrap();
    completed(&colony.report().await);
    // Ten heartbeats long nothing may come, but one that was on its way.
    let mut late = 0;
    let silence = async {
        while colony.from_ant.recv().await.is_some() {
            late += 1;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(200), silence)
            .await
            .is_err()
    );
    assert!(late <= 1, "{late} messages of an idle ant");
    colony.end().await;
}

#[tokio::test]
async fn orders_over_capacity_run_too() {
    let mut colony = Colony::start_with(|config| config.capacity = 1).await;
    let gate = colony.dir.path().join("gate");
    let waiting = order(&[&format!(
        "until [ -e {} ]; do sleep 0.01; done",
        gate.display()
    )]);
    let opening = order(&[&format!("touch {}", gate.display())]);
    colony.order(&waiting).await;
    colony.order(&opening).await;
    for _ in 0..2 {
        completed(&colony.report().await);
    }
    colony.end().await;
}

#[tokio::test]
async fn an_attempt_is_run_once_however_often_it_is_started() {
    let mut colony = Colony::start().await;
    let file = colony.dir.path().join("count");
    let gate = colony.dir.path().join("gate");
    let order = order(&[&format!(
        "echo x >> {}; until [ -e {} ]; do sleep 0.01; done",
        file.display(),
        gate.display()
    )]);
    colony.order(&order).await;
    colony.order(&order).await;
    std::fs::write(&gate, "").unwrap();
    completed(&colony.report().await);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    colony.end().await;
}

#[tokio::test]
async fn a_queen_that_does_not_listen_stops_nothing_but_the_output() {
    // The link holds eight messages; this writes many more before anyone listens.
    let mut colony = Colony::start().await;
    let noisy = order(&["seq 1 200000"]);
    let attempt = noisy.attempt;
    colony.order(&noisy).await;
    for _ in 0..50 {
        // Would block for ever if the ant waited for room before it listened.
        let other = order(&["true"]).attempt;
        colony
            .tell(QueenMessage::LeaseLost { attempt: other })
            .await;
    }
    let report = colony.report().await;
    completed(&report);
    assert_eq!(colony.log(&report).await, colony.logs[&attempt]);
    colony.end().await;
}

#[tokio::test]
async fn a_cancel_is_obeyed_while_the_queen_does_not_listen() {
    let mut colony = Colony::start().await;
    let order = Order {
        report_stdout: false,
        ..order(&["yes"])
    };
    let attempt = order.attempt;
    colony.order(&order).await;
    let reason = String::new();
    colony.tell(QueenMessage::Cancel { attempt, reason }).await;
    let report = colony.report().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    colony.end().await;
}

#[tokio::test]
async fn a_second_ant_in_the_same_directory_is_refused() {
    let first = Colony::start().await;
    let (to_queen, _from_ant) = tokio::sync::mpsc::channel(1);
    let (_to_ant, from_queen) = tokio::sync::mpsc::channel(1);
    let clock = colony_core::time::SystemClock;
    let ant = colony_ant::Ant::new(
        colony_ant::AntConfig::new("second", &first.work_root, crate::orphans::reaper()),
        colony_ant::Link {
            to_queen,
            from_queen,
        },
        std::sync::Arc::new(colony_ant::DirectObjects::new(first.store.clone())),
        std::sync::Arc::new(clock),
        std::sync::Arc::new(colony_core::id::MonotonicIds::new(clock)),
    );
    let error = soon(ant.run(colony_ant::Shutdown::new()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, AntError::WorkRoot(WorkRootError::InUse { .. })),
        "{error}"
    );
    first.end().await;
}

#[tokio::test]
async fn many_at_once() {
    let mut colony = Colony::start_with(|config| config.capacity = 50).await;
    for number in 0..50 {
        colony.order(&order(&[&format!("echo {number}")])).await;
    }
    let mut said: Vec<u32> = Vec::new();
    for _ in 0..50 {
        said.push(colony.report().await.stdout[0].trim().parse().unwrap());
    }
    said.sort_unstable();
    assert_eq!(said, (0..50).collect::<Vec<_>>());
    colony.end().await;
}
