//! Secrets show nowhere.

use colony_wire::{Failure, Order, Outcome};

use crate::colony::{Colony, lines, order, texts};

#[tokio::test]
async fn secrets_are_masked_everywhere() {
    let mut colony = Colony::start().await;
    let secret = "p@ss/word+1";
    let order = Order {
        secrets: texts(&[secret, "line one\nline two", "ab"]),
        ..order(&[
            "echo 'x p@ss/word+1 y ab'; echo 'line two' >&2; printf p@ss/word+1 | base64",
            "echo '::set-output name=k::p@ss/word+1'; exit 3 # p@ss/word+1",
        ])
    };
    let report = colony.run(&order).await;
    let log = colony.log(&report).await;
    let out = lines(&log, "stdout");
    assert_eq!(out[..2], ["x [****] y ab", "[****]"]);
    assert_eq!(lines(&log, "stderr"), ["[****]"]);
    let Outcome::Failed(Failure::Exited { command, .. }) = &report.outcome else {
        panic!("{report:?}");
    };
    assert!(command.ends_with("# [****]"), "{command}");
    assert_eq!(
        report.outputs["k"], secret,
        "values are only masked where they are shown"
    );
    let archive = colony.archive(&report).await;
    for shown in [
        &log,
        &report.stdout.concat(),
        &format!("{archive:?}"),
        &format!("{:?}", report.outcome),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    colony.end().await;
}

#[tokio::test]
async fn a_secret_across_every_border_of_a_long_line_is_masked() {
    let mut colony = Colony::start().await;
    let secret = "0123456789abcdefghij";
    // A line of more than 64 KiB, written in pieces, with the secret wherever a border may be.
    let script = "i=0; while [ $i -lt 12000 ]; do printf 0123456789; printf abcdefghij; i=$((i+1)); done; echo";
    let order = Order {
        secrets: texts(&[secret]),
        ..order(&[script])
    };
    let report = colony.run(&order).await;
    let text = lines(&colony.log(&report).await, "stdout").concat();
    assert_eq!(text, "[****]".repeat(12_000));
    colony.end().await;
}
