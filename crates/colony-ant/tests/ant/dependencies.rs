//! Dependencies: unpacked between `before_script` and `script`, and never trusted.

use std::io::{Cursor, Write as _};

use colony_core::id::{ArtifactId, IdSource as _, MonotonicIds};
use colony_core::time::SystemClock;
use colony_wire::{Dependency, Failure, Order, Outcome};
use object_store::ObjectStoreExt as _;
use sha2::{Digest as _, Sha256};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::colony::{Colony, completed, order, texts};

fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        let options = SimpleFileOptions::default();
        match text.strip_prefix("-> ") {
            Some(target) => zip.add_symlink(*name, target, options).unwrap(),
            None => {
                zip.start_file(*name, options).unwrap();
                zip.write_all(text.as_bytes()).unwrap();
            }
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Stores an archive and gives the dependency on it.
async fn store(colony: &Colony, bytes: Vec<u8>) -> Dependency {
    let artifact_id = ArtifactId::new(MonotonicIds::new(SystemClock).next_uuid());
    let object_key = format!("artifacts/{artifact_id}");
    let digest = Sha256::digest(&bytes);
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = object_key.as_str().into();
    colony.store.put(&key, bytes.into()).await.unwrap();
    Dependency {
        artifact_id,
        task_type: "earlier".to_owned(),
        object_key,
        sha256,
    }
}

fn depending(script: &[&str], dependencies: Vec<Dependency>) -> Order {
    Order {
        dependencies,
        ..order(script)
    }
}

#[tokio::test]
async fn they_are_there_for_script_and_later_ones_overwrite() {
    let mut colony = Colony::start().await;
    let first = store(&colony, zip(&[("a", "old"), ("d/b", "b")])).await;
    let second = store(&colony, zip(&[("a", "new"), ("./c", "c")])).await;
    let mut order = depending(&["cat a d/b c"], vec![first, second]);
    order.phases.before_script = texts(&["ls"]);
    let report = colony.run(&order).await;
    completed(&report);
    assert_eq!(report.stdout, ["newbc"]);
    let archive = colony.archive(&report).await;
    assert_eq!(archive.len(), 1, "before_script saw files: {archive:?}");
    colony.end().await;
}

#[tokio::test]
async fn hostile_archives_fail_the_task_and_write_nothing() {
    let mut colony = Colony::start_with(|config| {
        config.limits.unpacked_bytes = 1 << 20;
        config.limits.unpacked_files = 10;
    })
    .await;
    let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    let bomb = "0".repeat(2 << 20);
    for (entries, text) in [
        (&[("../out", "x")][..], "outside"),
        (&[("a/../../out", "x")], "outside"),
        (&[("/tmp/colony-ant-test-out", "x")], "outside"),
        (&[("link", "-> /etc"), ("link/x", "x")], "is a link"),
        (&[("away/x", "x")], "outside"),
        (&[("bomb", &bomb)], "more than 1048576 bytes"),
        (&many, "more than 10 files"),
    ] {
        let dependency = store(&colony, zip(entries)).await;
        let mut order = depending(&["echo never"], vec![dependency]);
        order.phases.before_script = texts(&["ln -s \"$TMPDIR\" away"]);
        order.phases.after_script = texts(&["ls -A \"$TMPDIR\" ..", "echo cleaned"]);
        let report = colony.run(&order).await;
        let Outcome::Failed(Failure::Dependencies { message }) = &report.outcome else {
            panic!("{entries:?}: {report:?}");
        };
        assert!(
            message.contains("dependency `earlier`") && message.contains(text),
            "{message}"
        );
        let log = colony.log(&report).await;
        assert!(
            !log.contains("never\n") && !log.contains("F out") && !log.contains("F x"),
            "{log}"
        );
        assert!(log.contains("F cleaned"), "{log}");
    }
    assert!(!std::path::Path::new("/tmp/colony-ant-test-out").exists());
    colony.end().await;
}

#[tokio::test]
async fn wrong_missing_and_broken_archives_fail_the_task() {
    let mut colony = Colony::start().await;
    let good = store(&colony, zip(&[("a", "a")])).await;
    let wrong = Dependency {
        sha256: "0".repeat(64),
        ..good.clone()
    };
    let missing = Dependency {
        object_key: "artifacts/none".to_owned(),
        ..good
    };
    let broken = store(&colony, b"no zip".to_vec()).await;
    for (dependency, text) in [
        (wrong, "SHA-256"),
        (missing, "there is no object `artifacts/none`"),
        (broken, "as a ZIP"),
    ] {
        let report = colony.run(&depending(&["true"], vec![dependency])).await;
        let Outcome::Failed(Failure::Dependencies { message }) = &report.outcome else {
            panic!("{report:?}");
        };
        assert!(message.contains(text), "{message}");
    }
    colony.end().await;
}

#[tokio::test]
async fn a_link_in_the_way_of_a_file_is_replaced_not_followed() {
    let mut colony = Colony::start().await;
    let victim = colony.dir.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let dependency = store(&colony, zip(&[("file", "new")])).await;
    let mut order = depending(&["cat file"], vec![dependency]);
    order.phases.before_script = vec![format!("ln -s {} file", victim.display())];
    let report = colony.run(&order).await;
    assert_eq!(report.stdout, ["new"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    colony.end().await;
}
