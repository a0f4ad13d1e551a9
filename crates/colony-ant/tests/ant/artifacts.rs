//! Artifacts: what is stored, when, and what goes wrong.

use colony_wire::{ArtifactRules, Failure, Order, Outcome, UploadWhen};

use crate::colony::{Colony, completed, order, texts};

fn with_artifacts(script: &[&str], paths: &[&str], when: UploadWhen) -> Order {
    let paths = texts(paths);
    Order {
        artifacts: ArtifactRules { paths, when },
        ..order(script)
    }
}

#[tokio::test]
async fn files_directories_and_patterns_are_stored() {
    let mut colony = Colony::start().await;
    let script = "mkdir -p out/deep && echo a > a.txt && echo b > out/b.bin && echo c > out/deep/c && chmod 755 out/b.bin";
    let order = with_artifacts(&[script], &["a.txt", "./out", "*.none"], UploadWhen::Always);
    let report = colony.run(&order).await;
    completed(&report);
    let object = report.artifacts.clone().unwrap();
    assert_eq!(
        (object.name.as_str(), object.content_type.as_str()),
        ("task.zip", "application/zip")
    );
    assert_eq!(
        object.object_key,
        format!("artifacts/{}", object.artifact_id)
    );
    let bytes = colony.object(&object.object_key).await;
    assert_eq!(object.size_bytes, bytes.len() as u64);
    let archive = colony.archive(&report).await;
    let expected = [
        ("a.txt", "a\n"),
        ("out/b.bin", "b\n"),
        ("out/deep/c", "c\n"),
    ];
    assert_eq!(
        archive
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect::<Vec<_>>(),
        expected
    );
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mode = zip.by_name("out/b.bin").unwrap().unix_mode().unwrap();
    assert_eq!(mode & 0o777, 0o755);
    colony.end().await;
}

#[tokio::test]
async fn when_decides() {
    use UploadWhen::{Always, Never, OnFailure, OnSuccess};
    let mut colony = Colony::start().await;
    for (when, exit, stored) in [
        (Always, 0, true),
        (Always, 1, true),
        (OnSuccess, 0, true),
        (OnSuccess, 1, false),
        (OnFailure, 0, false),
        (OnFailure, 1, true),
        (Never, 0, false),
        (Never, 1, false),
    ] {
        let script = format!("touch file; exit {exit}");
        let report = colony
            .run(&with_artifacts(&[&script], &["file"], when))
            .await;
        assert_eq!(
            report.artifacts.is_some(),
            stored,
            "{when:?} after exit {exit}"
        );
    }
    colony.end().await;
}

#[tokio::test]
async fn a_missing_path_fails_what_would_complete() {
    let mut colony = Colony::start().await;
    let always = UploadWhen::Always;
    let report = colony
        .run(&with_artifacts(&["touch a"], &["a", "b"], always))
        .await;
    let Outcome::Failed(Failure::Artifacts { message }) = &report.outcome else {
        panic!("{report:?}");
    };
    assert!(message.contains("`b`"), "{message}");
    assert!(report.artifacts.is_some(), "what is there is stored");
    let report = colony
        .run(&with_artifacts(&["exit 3"], &["b"], always))
        .await;
    assert!(matches!(
        report.outcome,
        Outcome::Failed(Failure::Exited { code: 3, .. })
    ));
    assert!(report.warnings[0].contains("`b`"));
    assert!(report.artifacts.is_none());
    colony.end().await;
}

#[tokio::test]
async fn no_file_is_no_artifact() {
    let mut colony = Colony::start().await;
    let order = with_artifacts(&["mkdir empty"], &["*.txt", "empty"], UploadWhen::Always);
    let report = colony.run(&order).await;
    completed(&report);
    assert!(report.artifacts.is_none());
    colony.end().await;
}

#[tokio::test]
async fn stdout_of_every_command_is_stored_without_being_asked_for() {
    let mut colony = Colony::start().await;
    let mut order = order(&["true", "echo two"]);
    order.phases.before_script = texts(&["echo zero; echo err >&2"]);
    order.phases.after_script = texts(&["printf three", "seq 1 50000"]);
    let report = colony.run(&order).await;
    let archive = colony.archive(&report).await;
    let name = |number: u32| format!("{}_task_{number}.stdout", order.request_id);
    assert_eq!(archive.len(), 4);
    for (number, text) in [(0, "zero\n"), (2, "two\n"), (3, "three")] {
        assert_eq!(archive[&name(number)], text);
    }
    assert!(archive[&name(4)].ends_with("49999\n50000\n"));
    assert_eq!(archive[&name(4)].lines().count(), 50_000);
    assert_eq!(report.stdout, ["", "two\n"], "only of script, in order");
    colony.end().await;
}

#[tokio::test]
async fn an_upload_that_takes_too_long_fails() {
    let mut colony = Colony::start().await;
    // A large sparse file, far more than can be packed in the time that its making needs.
    let mut order = with_artifacts(&["truncate -s 20G big"], &["big"], UploadWhen::Always);
    order.timeout_ms = 500;
    let report = colony.run(&order).await;
    let expected = Failure::TimedOut {
        phase: "artifact upload".to_owned(),
        timeout_ms: 500,
        command: String::new(),
    };
    assert_eq!(report.outcome, Outcome::Failed(expected));
    colony.end().await;
}

#[tokio::test]
async fn artifacts_and_dependencies_fit_together() {
    let mut colony = Colony::start().await;
    let script =
        "mkdir d; echo data > d/file; printf '#!/bin/sh\\necho tool\\n' > d/tool; chmod 755 d/tool";
    let made = colony
        .run(&with_artifacts(&[script], &["d"], UploadWhen::Always))
        .await;
    let object = made.artifacts.unwrap();
    let mut order = order(&["cat d/file; ./d/tool"]);
    order.dependencies = vec![colony_wire::Dependency {
        artifact_id: object.artifact_id,
        task_type: "maker".to_owned(),
        object_key: object.object_key,
        sha256: object.sha256,
    }];
    let report = colony.run(&order).await;
    assert_eq!(report.stdout, ["data\ntool\n"], "{report:?}");
    colony.end().await;
}
