//! Commands: exit codes, phases, environment, directories, `env` items, `::set-output`.

use std::collections::BTreeMap;

use colony_wire::{Failure, Order, Outcome, Phases};

use crate::colony::{Colony, completed, lines, order, texts};

#[tokio::test]
async fn exit_codes_and_signals() {
    let mut colony = Colony::start().await;
    for (script, code, failed) in [
        (&["true"][..], "0", None),
        (&["true", "exit 3", "exit 4"], "3", Some("exit 3")),
        (&["kill -9 $$"], "137", Some("kill -9 $$")),
        (&["kill -TERM $$"], "143", Some("kill -TERM $$")),
        (
            &["no-such-command-at-all"],
            "127",
            Some("no-such-command-at-all"),
        ),
        (
            &["sh -c 'kill -9 $$'; exit $?"],
            "137",
            Some("sh -c 'kill -9 $$'; exit $?"),
        ),
    ] {
        let report = colony.run(&order(script)).await;
        assert_eq!(report.exit_code, code, "{script:?}");
        let command = match &report.outcome {
            Outcome::Completed => None,
            Outcome::Failed(Failure::Exited {
                code: status,
                command,
            }) => {
                assert_eq!(status.to_string(), code);
                Some(command.as_str())
            }
            Outcome::Failed(Failure::Signalled { signal, command }) => {
                assert_eq!((128 + signal).to_string(), code);
                Some(command.as_str())
            }
            other => panic!("{script:?}: {other:?}"),
        };
        assert_eq!(command, failed);
    }
    colony.end().await;
}

/// What ran, by the letters it wrote.
async fn phases(before: &[&str], script: &[&str], after: &[&str]) -> (String, Outcome, usize) {
    let mut colony = Colony::start().await;
    let order = Order {
        phases: Phases {
            before_script: texts(before),
            script: texts(script),
            after_script: texts(after),
        },
        ..order(&[])
    };
    let report = colony.run(&order).await;
    let log = colony.log(&report).await;
    (
        lines(&log, "stdout").concat(),
        report.outcome,
        report.warnings.len(),
    )
}

#[tokio::test]
async fn after_script_always_runs_and_changes_nothing() {
    let exited = |code, command: &str| {
        let command = command.to_owned();
        Outcome::Failed(Failure::Exited { code, command })
    };
    let ok = Outcome::Completed;
    for (before, script, after, ran, outcome, warnings) in [
        (
            &["echo a"][..],
            &["echo b", "echo c"][..],
            &["echo d"][..],
            "abcd",
            ok.clone(),
            0,
        ),
        (
            &["echo a", "exit 1"],
            &["echo b"],
            &["echo c"],
            "ac",
            exited(1, "exit 1"),
            0,
        ),
        (
            &[],
            &["echo a", "exit 2", "echo b"],
            &["echo c"],
            "ac",
            exited(2, "exit 2"),
            0,
        ),
        (&[], &["echo a"], &["exit 5", "echo b"], "a", ok, 1),
        (&[], &["exit 2"], &["exit 5"], "", exited(2, "exit 2"), 1),
    ] {
        let found = phases(before, script, after).await;
        assert_eq!(
            found,
            (ran.to_owned(), outcome, warnings),
            "{before:?} {script:?} {after:?}"
        );
    }
}

#[tokio::test]
async fn the_environment_is_clean_and_the_order_wins() {
    let mut colony = Colony::start_with(|config| {
        *config = config
            .clone()
            .pass_environment(["CARGO_PKG_NAME", "SURELY_NOT_SET"]);
    })
    .await;
    let order = Order {
        environment: BTreeMap::from([
            ("LANG".to_owned(), "tlh".to_owned()),
            ("odd.name".to_owned(), "kept".to_owned()),
            ("bad=name".to_owned(), "dropped".to_owned()),
        ]),
        // What the shell was given; it does not pass all of it on.
        ..order(&["tr '\\0' '\\n' </proc/$$/environ"])
    };
    let report = colony.run(&order).await;
    completed(&report);
    let found: BTreeMap<&str, &str> = report.stdout[0]
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let allowed = [
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "TMPDIR",
        "CARGO_PKG_NAME",
        "odd.name",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    let unexpected: Vec<_> = found
        .keys()
        .filter(|name| !allowed.contains(name))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert_eq!(found["LANG"], "tlh");
    assert_eq!(found["odd.name"], "kept");
    assert_eq!(found["CARGO_PKG_NAME"], "colony-ant");
    assert!(report.warnings[0].contains("bad=name"));
    colony.end().await;
}

#[tokio::test]
async fn each_attempt_has_a_fresh_directory_that_is_removed() {
    let mut colony = Colony::start().await;
    for _ in 0..2 {
        let report = colony
            .sh("ls -A | wc -l; ls -A \"$TMPDIR\" | wc -l; touch file; mktemp >/dev/null; pwd")
            .await;
        completed(&report);
        let said: Vec<&str> = report.stdout[0].lines().map(str::trim).collect();
        assert_eq!(said[..2], ["0", "0"]);
        assert!(!std::path::Path::new(said[2]).exists());
    }
    colony.end().await;
}

#[tokio::test]
async fn working_dir_may_be_elsewhere_and_is_kept() {
    let mut colony = Colony::start().await;
    let elsewhere = colony.dir.path().join("a/b");
    for (directory, expected) in [
        (elsewhere.to_str().unwrap(), elsewhere.to_str().unwrap()),
        ("sub/dir", "/work/sub/dir"),
    ] {
        let order = Order {
            working_dir: Some(directory.to_owned()),
            ..order(&["pwd; touch file"])
        };
        let report = colony.run(&order).await;
        assert!(
            report.stdout[0].trim_end().ends_with(expected),
            "{:?}",
            report.stdout
        );
    }
    assert!(elsewhere.join("file").exists());
    colony.end().await;
}

#[tokio::test]
async fn what_cannot_start_says_so() {
    let mut colony = Colony::start().await;
    let file = colony.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let blocked = Order {
        working_dir: Some(file.join("below").to_str().unwrap().to_owned()),
        ..order(&["true"])
    };
    let unknown = Order {
        method: colony_core::method::Method::Docker,
        ..order(&["true"])
    };
    for (order, text) in [
        (blocked, "make the directory"),
        (unknown, "no executor for DOCKER"),
        (order(&["echo a\0b"]), "start `/bin/sh`"),
    ] {
        let report = colony.run(&order).await;
        let Outcome::Failed(Failure::CouldNotStart { message }) = &report.outcome else {
            panic!("{report:?}");
        };
        assert!(message.contains(text), "{message}");
    }
    colony.end().await;
}

#[tokio::test]
async fn env_items_last_and_exports_do_not() {
    let mut colony = Colony::start().await;
    let report = colony
        .run(&order(&[
            "env A='x y'",
            "export B=z; cd /",
            "echo \"$A-$B\"; pwd",
        ]))
        .await;
    completed(&report);
    // The first item is no command, so it has no stdout.
    assert!(
        report.stdout[1].starts_with("x y-\n"),
        "{:?}",
        report.stdout
    );
    assert!(!report.stdout[1].ends_with("\n/\n"));
    colony.end().await;
}

#[tokio::test]
async fn set_output_counts_in_every_phase_and_in_failing_commands() {
    let mut colony = Colony::start().await;
    let order = Order {
        phases: Phases {
            before_script: texts(&["echo ::set-output name=a::1; echo ::set-output name=b::1"]),
            script: texts(&[
                "echo '::set-output name=b::two words '; echo ::set-output name=e::x >&2; exit 1",
            ]),
            after_script: texts(&["printf '::set-output name=c::no newline'"]),
        },
        ..order(&[])
    };
    let report = colony.run(&order).await;
    let expected = [("a", "1"), ("b", "two words"), ("c", "no newline")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(report.outputs, BTreeMap::from(expected));
    assert!(colony.log(&report).await.contains("::set-output name=a::1"));
    colony.end().await;
}

#[tokio::test]
async fn timings_are_in_order() {
    let mut colony = Colony::start().await;
    let report = colony.sh("echo x").await;
    let times = report.timings;
    let order = [
        Some(times.received_at),
        times.started_at.and(times.before_script_finished_at),
        times.dependencies_downloaded_at,
        times.started_at,
        times.script_finished_at,
        times.after_script_finished_at,
        times.artifacts_uploaded_at,
    ];
    assert!(order.iter().all(Option::is_some), "{times:?}");
    assert!(order.is_sorted(), "{times:?}");
}
