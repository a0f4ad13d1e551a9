//! An ant inside the test: takes orders and reports what the test says.

use std::collections::{BTreeMap, VecDeque};

use colony_core::id::{ArtifactId, AttemptRef};
use colony_core::method::Method;
use colony_core::time::Timestamp;
use colony_engine::{AntLink, Engine};
use colony_wire::{
    AntMessage, Failure, Hello, LogChunk, LogRef, Order, Outcome, QueenMessage, Report,
    StoredObject, Timings,
};
use tokio::sync::mpsc;

use crate::kit::DEADLINE;

pub(crate) struct Ant {
    to_queen: mpsc::Sender<AntMessage>,
    from_queen: mpsc::Receiver<QueenMessage>,
    /// Orders that came while the test waited for something else.
    orders: VecDeque<Order>,
}

/// What the ant says at the end of an attempt.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) exit_code: i32,
    pub(crate) log: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) artifacts: Option<StoredObject>,
}

impl Ant {
    pub(crate) async fn connect(engine: &Engine) -> Self {
        let (to_queen, from_ant) = mpsc::channel(64);
        let (to_ant, from_queen) = mpsc::channel(64);
        let link = AntLink {
            from_ant,
            to_ant,
            embedded: true,
        };
        let engine = engine.clone();
        tokio::spawn(async move { engine.serve_ant(link).await });
        let mut ant = Self {
            to_queen,
            from_queen,
            orders: VecDeque::new(),
        };
        ant.say(AntMessage::Hello(Hello {
            version: colony_wire::VERSION,
            ant_id: "ant-1".to_owned(),
            host: "test".to_owned(),
            methods: vec![Method::Shell],
            tags: Vec::new(),
            capacity: 4,
            running: Vec::new(),
        }))
        .await;
        assert!(matches!(ant.hear().await, QueenMessage::Welcome { .. }));
        ant
    }

    async fn say(&self, message: AntMessage) {
        self.to_queen.send(message).await.unwrap();
    }

    /// The next message that is no order.
    async fn hear(&mut self) -> QueenMessage {
        loop {
            match self.receive().await {
                QueenMessage::Start(order) => self.orders.push_back(*order),
                message => return message,
            }
        }
    }

    async fn receive(&mut self) -> QueenMessage {
        let message = tokio::time::timeout(DEADLINE, self.from_queen.recv()).await;
        message
            .expect("the queen speaks in time")
            .expect("the link is open")
    }

    /// The next order.
    pub(crate) async fn order(&mut self) -> Order {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return order;
            }
            if let QueenMessage::Start(order) = self.receive().await {
                return *order;
            }
        }
    }

    /// The attempt that is to be stopped next.
    pub(crate) async fn cancelled(&mut self) -> AttemptRef {
        loop {
            if let QueenMessage::Cancel { attempt, .. } = self.hear().await {
                return attempt;
            }
        }
    }

    /// Sends output of a running attempt.
    pub(crate) async fn log(&self, attempt: AttemptRef, offset: u64, text: &str) {
        let text = text.to_owned();
        self.say(AntMessage::Log(LogChunk {
            attempt,
            offset,
            text,
        }))
        .await;
    }

    /// Ends an attempt; the queen has stored it when this returns.
    pub(crate) async fn end(&mut self, order: &Order, end: End) {
        self.say(AntMessage::Report(Box::new(report(order.attempt, end))))
            .await;
        loop {
            if let QueenMessage::ReportStored { attempt, accepted } = self.hear().await
                && attempt == order.attempt
            {
                assert!(accepted);
                return;
            }
        }
    }

    /// Takes the next order and ends it.
    pub(crate) async fn work(&mut self, end: End) -> Order {
        let order = self.order().await;
        self.end(&order, end).await;
        order
    }
}

fn report(attempt: AttemptRef, end: End) -> Report {
    let command = "false".to_owned();
    let outcome = match end.exit_code {
        0 => Outcome::Completed,
        143 => Outcome::Cancelled,
        code => Outcome::Failed(Failure::Exited { code, command }),
    };
    Report {
        attempt,
        outcome,
        exit_code: end.exit_code.to_string(),
        outputs: end.outputs,
        artifacts: end.artifacts,
        log: LogRef::Inline { text: end.log },
        warnings: Vec::new(),
        stdout: Vec::new(),
        timings: Timings {
            received_at: Timestamp::from_millis(0),
            ..Timings::default()
        },
    }
}

/// A line of a log.
pub(crate) fn line(text: &str) -> String {
    format!("2026-01-05T09:00:00.000Z stdout F {text}\n")
}

/// A stored archive.
pub(crate) fn archive(id: ArtifactId, key: &str, sha256: &str, size_bytes: u64) -> StoredObject {
    StoredObject {
        artifact_id: id,
        object_key: key.to_owned(),
        name: "a\"b.zip".to_owned(),
        content_type: "application/zip".to_owned(),
        size_bytes,
        sha256: sha256.to_owned(),
    }
}
