//! The log: format, order, limits, long lines, files.

use colony_wire::{LogRef, Order};

use crate::colony::{Colony, completed, lines, order};

#[tokio::test]
async fn lines_have_time_source_and_tag() {
    let mut colony = Colony::start().await;
    let order = order(&[
        "echo out\necho err >&2",
        "printf 'no newline'",
        "printf 'a\\r\\n\\377\\n'",
    ]);
    let report = colony.run(&order).await;
    let log = colony.log(&report).await;
    for line in log.lines() {
        let parts: Vec<&str> = line.splitn(4, ' ').collect();
        let [time, source, tag, _] = parts[..] else {
            panic!("{line}");
        };
        assert!(
            time.parse::<colony_core::time::Timestamp>().is_ok(),
            "{line}"
        );
        assert!(["stdout", "stderr", "system"].contains(&source), "{line}");
        assert_eq!(tag, "F", "{line}");
    }
    assert_eq!(
        lines(&log, "stdout"),
        ["out", "no newline", "a", "\u{fffd}"]
    );
    assert_eq!(lines(&log, "stderr"), ["err"]);
    let commands = ["$ echo out", "> echo err >&2", "$ printf 'no newline'"];
    assert_eq!(lines(&log, "system")[..3], commands);
    assert_eq!(colony.logs[&order.attempt], log, "the live log is the same");
    colony.end().await;
}

#[tokio::test]
async fn first_output_is_seen_while_the_command_runs() {
    let mut colony = Colony::start().await;
    let gate = colony.dir.path().join("gate");
    let order = order(&[&format!(
        "echo begun; until [ -e {} ]; do sleep 0.01; done; echo over",
        gate.display()
    )]);
    colony.order(&order).await;
    colony.hear_log(order.attempt, "begun").await;
    std::fs::write(&gate, "").unwrap();
    completed(&colony.report().await);
    colony.end().await;
}

#[tokio::test]
async fn a_long_line_comes_in_parts() {
    let mut colony = Colony::start().await;
    let report = colony
        .sh("head -c 200000 /dev/zero | tr '\\0' x; echo; echo next")
        .await;
    let log = colony.log(&report).await;
    let parts: Vec<(&str, &str)> = log
        .lines()
        .filter(|line| line.contains(" stdout "))
        .map(|line| line.split_at(line.find(" stdout ").unwrap() + 10))
        .collect();
    let (last, first) = parts.split_last().unwrap();
    assert!(last.1.ends_with("next"));
    assert!(first.iter().all(|(_, text)| text.len() <= (16 << 10)));
    let joined: String = first.iter().map(|(_, text)| *text).collect();
    assert_eq!(joined, "x".repeat(200_000));
    let tags: Vec<bool> = first.iter().map(|(head, _)| head.ends_with("F ")).collect();
    assert_eq!(tags.iter().filter(|full| **full).count(), 1);
    assert_eq!(tags.last(), Some(&true));
    colony.end().await;
}

#[tokio::test]
async fn a_large_log_is_stored_and_matches_what_was_seen_live() {
    let mut colony = Colony::start().await;
    let order = order(&["seq 1 20000"]);
    let report = colony.run(&order).await;
    completed(&report);
    let LogRef::Stored(object) = &report.log else {
        panic!("a large log travels in the report");
    };
    assert_eq!(object.name, "task_console.txt");
    let log = colony.log(&report).await;
    assert_eq!(object.size_bytes, log.len() as u64);
    assert_eq!(colony.logs[&order.attempt], log);
    let numbers = lines(&log, "stdout");
    assert_eq!(numbers.len(), 20_000);
    assert_eq!(numbers[19_999], "20000");
    colony.end().await;
}

#[tokio::test]
async fn empty_lines_are_as_large_as_what_is_stored_of_them() {
    let mut colony = Colony::start_with(|config| config.limits.output_bytes = 100_000).await;
    let report = colony.sh("yes '' | head -n 200000").await;
    let log = colony.log(&report).await;
    assert!(log.len() < 110_000, "{} bytes", log.len());
    assert!(log.contains("output limit"));
    colony.end().await;
}

#[tokio::test]
async fn output_over_the_limit_is_dropped_and_commands_go_on() {
    let mut colony = Colony::start_with(|config| config.limits.output_bytes = 1000).await;
    let order = Order {
        report_stdout: true,
        ..order(&[
            "seq 1 100000; echo ::set-output name=late::yes",
            "echo more >&2; exit 7",
        ])
    };
    let report = colony.run(&order).await;
    assert_eq!(report.exit_code, "7");
    assert_eq!(report.outputs["late"], "yes");
    let log = colony.log(&report).await;
    // With time and source: what is stored counts.
    let stored = log.lines().filter(|line| line.contains(" stdout "));
    let stored: usize = stored.map(|line| line.len() + 1).sum();
    assert!(stored <= 1000 && stored > 900, "{stored}");
    let kept = lines(&log, "stdout");
    let kept: usize = kept.iter().map(|line| line.len() + 1).sum();
    assert_eq!(report.stdout[0].len(), kept);
    assert!(lines(&log, "stderr").is_empty());
    let markers = lines(&log, "system");
    let markers = markers.iter().filter(|line| line.contains("output limit"));
    assert_eq!(markers.count(), 1);
    colony.end().await;
}

#[tokio::test]
async fn a_background_process_does_not_hold_its_command() {
    let mut colony = Colony::start().await;
    let report = colony
        .run(&order(&[
            "(sleep 0.1; echo late; exec sleep 1000) & echo first",
            "sleep 0.5; echo second",
        ]))
        .await;
    completed(&report);
    let log = colony.log(&report).await;
    assert_eq!(lines(&log, "stdout"), ["first", "late", "second"]);
    colony.end().await;
}
