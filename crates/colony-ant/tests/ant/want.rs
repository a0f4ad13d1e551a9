//! A host that is short of something: never the task's failure.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colony_ant::{DirectObjects, ObjectError, Objects};
use colony_wire::{AntMessage, ArtifactRules, Order, UploadWhen};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::colony::{Colony, completed, order, texts, until};
use crate::orphans::ant_process;

/// A disk that is full for the first so many things that are put on it.
struct Full {
    puts_left: AtomicUsize,
    objects: DirectObjects,
}

impl Full {
    fn check(&self) -> Result<(), ObjectError> {
        let left = |left: usize| left.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        match self.puts_left.fetch_update(set, fetch, left) {
            Err(_) => Ok(()),
            Ok(_) => Err(ObjectError::File {
                path: "/full".into(),
                source: std::io::Error::from_raw_os_error(28),
            }),
        }
    }
}

impl Objects for Full {
    fn put_bytes<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        async move {
            self.check()?;
            Objects::put_bytes(&self.objects, key, bytes).await
        }
        .boxed()
    }

    fn put_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        async move {
            self.check()?;
            Objects::put_file(&self.objects, key, path).await
        }
        .boxed()
    }

    fn get_to_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<u64, ObjectError>> {
        Objects::get_to_file(&self.objects, key, path)
    }
}

async fn colony(puts: usize, patience: Duration) -> Colony {
    let full = |objects| -> Arc<dyn Objects> {
        Arc::new(Full {
            puts_left: AtomicUsize::new(puts),
            objects,
        })
    };
    let change = |config: &mut colony_ant::AntConfig| {
        config.periods.want_pause = Duration::from_millis(5);
        config.periods.want_patience = patience;
    };
    Colony::start_on(tempfile::tempdir().unwrap(), change, full).await
}

fn with_artifacts(script: &str) -> Order {
    Order {
        artifacts: ArtifactRules {
            paths: texts(&["file"]),
            when: UploadWhen::Always,
        },
        ..order(&[script])
    }
}

#[tokio::test]
async fn what_succeeded_is_stored_when_there_is_room_again() {
    let mut colony = colony(3, Duration::from_secs(60)).await;
    let report = colony.run(&with_artifacts("echo kept > file")).await;
    completed(&report);
    assert_eq!(colony.archive(&report).await["file"], "kept\n");
    // So is a log that is too long for the report.
    let report = colony.sh("seq 20000").await;
    completed(&report);
    assert!(colony.log(&report).await.contains(" 20000\n"));
    colony.end().await;
}

#[tokio::test]
async fn stdout_that_finds_no_room_fails_nothing() {
    let mut colony = colony(usize::MAX, Duration::ZERO).await;
    let report = colony.sh("echo said").await;
    completed(&report);
    assert!(report.artifacts.is_none());
    assert!(report.warnings[0].contains("not stored"), "{report:?}");
    colony.end().await;
}

#[tokio::test]
async fn artifacts_that_find_no_room_give_the_attempt_back() {
    let mut colony = colony(usize::MAX, Duration::ZERO).await;
    let order = with_artifacts("echo lost > file");
    colony.order(&order).await;
    loop {
        match colony.hear().await {
            AntMessage::GiveBack { attempt } => break assert_eq!(attempt, order.attempt),
            AntMessage::Started { .. } => {}
            message => panic!("{message:?}"),
        }
    }
    colony.end().await;
}

#[tokio::test]
async fn want_of_descriptors_gives_attempts_back_until_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let script = format!(
        "touch {}; until [ -e {} ]; do sleep 0.01; done",
        at("began"),
        at("gate")
    );
    std::fs::write(at("script"), script).unwrap();
    std::fs::write(at("next"), format!("touch {}", at("done"))).unwrap();
    let ant = ant_process(dir.path());
    let exists = |name: &str| dir.path().join(name).exists();
    until("the first attempt", || exists("began")).await;
    let pid = Pid::from_raw(i32::try_from(ant.id().unwrap()).unwrap()).unwrap();
    let fds = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let open = std::fs::read_dir(fds).unwrap().count() as u64;
    let usual = getrlimit(Resource::Nofile);
    // The pipes of this attempt have four; two of these are what is left afterwards.
    let current = Some(open - 2);
    let few = Rlimit { current, ..usual };
    prlimit(Some(pid), Resource::Nofile, few).unwrap();
    std::fs::write(at("gate"), "").unwrap();
    // Two that were given back, so that it does not end with the first.
    until("attempts given back", || {
        std::fs::read(at("given-back")).is_ok_and(|noted| noted.len() >= 2)
    })
    .await;
    assert!(!exists("done"));
    prlimit(Some(pid), Resource::Nofile, usual).unwrap();
    until("the next attempt", || exists("done")).await;
}
