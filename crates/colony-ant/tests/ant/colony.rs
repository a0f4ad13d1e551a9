//! A queen of nothing: starts an ant in a directory of its own, and hears what it says.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use colony_ant::{Ant, AntConfig, AntError, DirectObjects, Link, Shutdown};
use colony_core::id::{AttemptRef, Epoch, IdSource, MonotonicIds, RequestId, TaskId};
use colony_core::method::Method;
use colony_core::time::SystemClock;
use colony_wire::{
    AntMessage, ArtifactRules, Hello, LogRef, Order, Outcome, Phases, QueenMessage, Report,
};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::orphans::reaper;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An ant and the queen's end of its link.
pub(crate) struct Colony {
    pub(crate) dir: TempDir,
    pub(crate) work_root: PathBuf,
    pub(crate) store: Arc<InMemory>,
    pub(crate) to_ant: mpsc::Sender<QueenMessage>,
    pub(crate) from_ant: mpsc::Receiver<AntMessage>,
    pub(crate) shutdown: Shutdown,
    pub(crate) hello: Hello,
    pub(crate) ant: JoinHandle<Result<(), AntError>>,
    /// Live log of each attempt.
    pub(crate) logs: BTreeMap<AttemptRef, String>,
}

impl Colony {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut AntConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut AntConfig)) -> Self {
        let mut config = AntConfig::new("test-ant", dir.path().join("work-root"), reaper());
        config.periods.stop_grace = Duration::from_millis(500);
        change(&mut config);
        let work_root = config.work_root.clone();
        let (to_queen, mut from_ant) = mpsc::channel(8);
        let (to_ant, from_queen) = mpsc::channel(8);
        let store = Arc::new(InMemory::new());
        let link = Link {
            to_queen,
            from_queen,
        };
        let ant = Ant::new(
            config,
            link,
            Arc::new(DirectObjects::new(Arc::clone(&store) as _)),
            Arc::new(SystemClock),
            Arc::new(MonotonicIds::new(SystemClock)),
        );
        let shutdown = Shutdown::new();
        let ant = tokio::spawn(ant.run(shutdown.clone()));
        let AntMessage::Hello(hello) = soon(from_ant.recv()).await.expect("a hello") else {
            panic!("the first message is no hello");
        };
        let heartbeat_ms = 20;
        to_ant
            .send(QueenMessage::Welcome { heartbeat_ms })
            .await
            .unwrap();
        Self {
            dir,
            work_root,
            store,
            to_ant,
            from_ant,
            shutdown,
            hello,
            ant,
            logs: BTreeMap::new(),
        }
    }

    pub(crate) async fn tell(&self, message: QueenMessage) {
        soon(self.to_ant.send(message)).await.unwrap();
    }

    pub(crate) async fn order(&self, order: &Order) {
        self.tell(QueenMessage::Start(Box::new(order.clone())))
            .await;
    }

    /// The next message that is no heartbeat; log chunks are noted.
    pub(crate) async fn hear(&mut self) -> AntMessage {
        loop {
            let message = soon(self.from_ant.recv()).await.expect("a message");
            match message {
                AntMessage::Heartbeat { .. } => {}
                AntMessage::Log(chunk) => {
                    let log = self.logs.entry(chunk.attempt).or_default();
                    assert_eq!(log.len() as u64, chunk.offset, "the log has a gap");
                    assert!(chunk.text.ends_with('\n'), "a chunk ends within a line");
                    log.push_str(&chunk.text);
                }
                message => return message,
            }
        }
    }

    /// Waits until the live log of an attempt holds a text.
    pub(crate) async fn hear_log(&mut self, attempt: AttemptRef, text: &str) {
        soon(async {
            while !self
                .logs
                .get(&attempt)
                .is_some_and(|log| log.contains(text))
            {
                match self.from_ant.recv().await.expect("a message") {
                    AntMessage::Log(chunk) => {
                        self.logs
                            .entry(chunk.attempt)
                            .or_default()
                            .push_str(&chunk.text);
                    }
                    AntMessage::Heartbeat { .. } | AntMessage::Started { .. } => {}
                    message => panic!("{message:?} before {text}"),
                }
            }
        })
        .await;
    }

    /// Waits for a report and acknowledges it.
    pub(crate) async fn report(&mut self) -> Report {
        loop {
            if let AntMessage::Report(report) = self.hear().await {
                self.tell(QueenMessage::ReportStored {
                    attempt: report.attempt,
                    accepted: true,
                })
                .await;
                return *report;
            }
        }
    }

    /// Runs an order to its end.
    pub(crate) async fn run(&mut self, order: &Order) -> Report {
        self.order(order).await;
        let report = self.report().await;
        assert_eq!(report.attempt, order.attempt);
        report
    }

    /// Runs one command.
    pub(crate) async fn sh(&mut self, script: &str) -> Report {
        self.run(&order(&[script])).await
    }

    pub(crate) async fn object(&self, key: &str) -> Vec<u8> {
        let found = self.store.get(&key.into()).await.unwrap();
        found.bytes().await.unwrap().to_vec()
    }

    /// The whole log of a report.
    pub(crate) async fn log(&self, report: &Report) -> String {
        match &report.log {
            LogRef::Inline { text } => text.clone(),
            LogRef::Stored(object) => {
                String::from_utf8(self.object(&object.object_key).await).unwrap()
            }
        }
    }

    /// Names and contents of the archive of a report.
    pub(crate) async fn archive(&self, report: &Report) -> BTreeMap<String, String> {
        let object = report.artifacts.as_ref().expect("an archive");
        read_zip(self.object(&object.object_key).await)
    }

    /// Ends the ant and checks that it leaves nothing.
    pub(crate) async fn end(self) {
        self.shutdown.drain();
        soon(self.ant).await.unwrap().unwrap();
        let left: Vec<_> = std::fs::read_dir(&self.work_root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".lock" && name != ".spare")
            .collect();
        assert!(left.is_empty(), "{left:?} was left");
    }
}

/// An order of one script.
pub(crate) fn order(script: &[&str]) -> Order {
    let ids = MonotonicIds::new(SystemClock);
    Order {
        attempt: AttemptRef {
            task_id: TaskId::new(ids.next_uuid()),
            epoch: Epoch(1),
        },
        request_id: RequestId::new(ids.next_uuid()),
        job_type: "job".to_owned(),
        task_type: "task".to_owned(),
        method: Method::Shell,
        phases: Phases {
            script: texts(script),
            ..Phases::default()
        },
        environment: BTreeMap::new(),
        working_dir: None,
        timeout_ms: 60_000,
        artifacts: ArtifactRules::default(),
        dependencies: Vec::new(),
        report_stdout: true,
        secrets: Vec::new(),
    }
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The texts of one source's lines.
pub(crate) fn lines(log: &str, source: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(4, ' ').skip(1);
            (parts.next()? == source).then(|| parts.nth(1).unwrap().to_owned())
        })
        .collect()
}

pub(crate) fn completed(report: &Report) {
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
}

pub(crate) fn read_zip(bytes: Vec<u8>) -> BTreeMap<String, String> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            (name, text)
        })
        .collect()
}

/// A future's value, or a failed test.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("something takes too long")
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and not dead.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        !matches!(state, Some(b'Z' | b'X'))
    })
}

/// Waits until a process is gone.
pub(crate) async fn gone(pid: &str) {
    until(&format!("the end of process {pid}"), || !is_alive(pid)).await;
}
