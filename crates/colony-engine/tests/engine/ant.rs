//! An ant that does what a test tells it, over the same messages as a real one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use colony_core::id::{AttemptRef, Epoch};
use colony_core::method::Method;
use colony_core::time::Timestamp;
use colony_engine::{AntLink, Engine};
use colony_wire::{
    AntMessage, Failure, Hello, LogChunk, LogRef, Order, Outcome, QueenMessage, Report, Timings,
};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct ScriptedAnt {
    to_queen: mpsc::Sender<AntMessage>,
    from_queen: mpsc::Receiver<QueenMessage>,
    /// Messages that a test did not wait for yet.
    kept: VecDeque<QueenMessage>,
}

impl ScriptedAnt {
    /// Connects an ant that offers SHELL with these tags.
    pub(crate) async fn connect(
        engine: &Engine,
        ant_id: &str,
        tags: &[&str],
        embedded: bool,
    ) -> Self {
        let (to_queen, from_ant) = mpsc::channel(256);
        let (to_ant, from_queen) = mpsc::channel(256);
        let engine = engine.clone();
        tokio::spawn(async move {
            engine
                .serve_ant(AntLink {
                    from_ant,
                    to_ant,
                    embedded,
                })
                .await
                .unwrap();
        });
        let hello = Hello {
            version: colony_wire::VERSION,
            ant_id: ant_id.to_owned(),
            host: "test".to_owned(),
            methods: vec![Method::Shell],
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            capacity: 8,
            running: Vec::new(),
        };
        let mut ant = Self {
            to_queen,
            from_queen,
            kept: VecDeque::new(),
        };
        ant.say(AntMessage::Hello(hello)).await;
        let welcome = ant.receive().await;
        assert!(
            matches!(welcome, QueenMessage::Welcome { .. }),
            "{welcome:?}"
        );
        ant
    }

    pub(crate) async fn say(&self, message: AntMessage) {
        self.to_queen.send(message).await.unwrap();
    }

    async fn receive(&mut self) -> QueenMessage {
        let message = tokio::time::timeout(DEADLINE, self.from_queen.recv()).await;
        message
            .expect("the queen says something in time")
            .expect("the link is open")
    }

    /// The next message that `wanted` takes; others are kept.
    pub(crate) async fn expect<T>(&mut self, wanted: impl Fn(&QueenMessage) -> Option<T>) -> T {
        if let Some(index) = self
            .kept
            .iter()
            .position(|message| wanted(message).is_some())
        {
            let message = self.kept.remove(index).unwrap();
            return wanted(&message).unwrap();
        }
        loop {
            let message = self.receive().await;
            match wanted(&message) {
                Some(value) => return value,
                None => self.kept.push_back(message),
            }
        }
    }

    /// The next order.
    pub(crate) async fn order(&mut self) -> Order {
        self.expect(|message| match message {
            QueenMessage::Start(order) => Some((**order).clone()),
            _ => None,
        })
        .await
    }

    /// Whether the queen took the report of this attempt.
    pub(crate) async fn acknowledged(&mut self, wanted: AttemptRef) -> bool {
        self.expect(|message| match message {
            QueenMessage::ReportStored { attempt, accepted } if *attempt == wanted => {
                Some(*accepted)
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn cancelled(&mut self) -> AttemptRef {
        self.expect(|message| match message {
            QueenMessage::Cancel { attempt, .. } => Some(*attempt),
            _ => None,
        })
        .await
    }

    pub(crate) async fn log(&self, attempt: AttemptRef, offset: u64, text: &str) {
        let text = text.to_owned();
        self.say(AntMessage::Log(LogChunk {
            attempt,
            offset,
            text,
        }))
        .await;
    }

    /// Reports an exit code and waits until it is stored.
    pub(crate) async fn end(&mut self, order: &Order, exit_code: i32) -> bool {
        self.say(AntMessage::Report(Box::new(report(
            order.attempt,
            exit_code,
        ))))
        .await;
        self.acknowledged(order.attempt).await
    }

    /// Runs orders until `count` of them ended: each task gives the exit codes of its script in
    /// turn, the last one again and again, and 0 without a script. Returns the tasks' names.
    pub(crate) async fn work(&mut self, count: usize, scripts: &[(&str, &[i32])]) -> Vec<String> {
        let mut scripts: BTreeMap<&str, VecDeque<i32>> = scripts
            .iter()
            .map(|(task, codes)| (*task, codes.iter().copied().collect()))
            .collect();
        let mut worked = Vec::new();
        while worked.len() < count {
            let order = self.order().await;
            let script = scripts.get_mut(&*order.task_type);
            let code = script.map_or(0, |codes| {
                if codes.len() > 1 {
                    codes.pop_front().unwrap()
                } else {
                    codes[0]
                }
            });
            assert!(self.end(&order, code).await);
            worked.push(order.task_type.clone());
        }
        worked
    }
}

pub(crate) fn report(attempt: AttemptRef, exit_code: i32) -> Report {
    let command = "false".to_owned();
    let outcome = match exit_code {
        0 => Outcome::Completed,
        143 => Outcome::Cancelled,
        code => Outcome::Failed(Failure::Exited { code, command }),
    };
    Report {
        attempt,
        outcome,
        exit_code: exit_code.to_string(),
        outputs: BTreeMap::new(),
        artifacts: None,
        log: LogRef::Inline {
            text: format!("2026-01-05T09:00:00.000Z system F $ exit {exit_code}\n"),
        },
        warnings: Vec::new(),
        stdout: Vec::new(),
        timings: Timings {
            received_at: Timestamp::from_millis(0),
            ..Timings::default()
        },
    }
}

pub(crate) fn later(attempt: AttemptRef) -> AttemptRef {
    AttemptRef {
        epoch: Epoch(attempt.epoch.0 + 1),
        ..attempt
    }
}
