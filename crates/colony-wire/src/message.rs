//! The frames that go over a link.

use colony_core::id::AttemptRef;
use colony_core::method::Method;
use colony_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::report::Report;

/// What an ant tells a queen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AntMessage {
    /// First frame of a link.
    Hello(Hello),
    /// The first process of an attempt is about to start.
    Started {
        /// The attempt.
        attempt: AttemptRef,
        /// When, by the ant's clock.
        at: Timestamp,
    },
    /// Output of a running attempt, in order and without gaps.
    Log(LogChunk),
    /// The attempt is over.
    Report(Box<Report>),
    /// These attempts are alive: their leases are to be extended. Sent every heartbeat while there
    /// are any; an idle ant is silent.
    Heartbeat {
        /// Attempts that the ant still works on, or whose report was not acknowledged yet.
        running: Vec<AttemptRef>,
    },
    /// The attempt was not started, or was stopped half-way, because the ant is going away: its
    /// lease is given back and the task may run elsewhere at once.
    GiveBack {
        /// The attempt.
        attempt: AttemptRef,
    },
}

/// Who an ant is and what it can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The ant's protocol version.
    pub version: u32,
    /// Name of the ant, unique among live ants.
    pub ant_id: String,
    /// Host it runs on.
    pub host: String,
    /// Methods it has executors for.
    pub methods: Vec<Method>,
    /// Tags it satisfies, lower case.
    pub tags: Vec<String>,
    /// How many attempts it runs at once.
    pub capacity: u32,
    /// Attempts that it still runs from an earlier link.
    pub running: Vec<AttemptRef>,
}

/// A piece of an attempt's log, whole lines in the CRI log format:
/// `<RFC 3339 time> <stdout|stderr|system> <F|P> <text>\n`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogChunk {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Offset of `text` in the attempt's log, in bytes.
    pub offset: u64,
    /// The lines, each ended by a newline.
    pub text: String,
}

/// What a queen tells an ant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum QueenMessage {
    /// Answer to [`Hello`].
    Welcome {
        /// How often the ant sends a heartbeat, in milliseconds.
        heartbeat_ms: u64,
    },
    /// Run this attempt.
    Start(Box<Order>),
    /// Stop this attempt: softly, then hard. The ant reports [`crate::Outcome::Cancelled`].
    Cancel {
        /// The attempt.
        attempt: AttemptRef,
        /// Why, for the log.
        reason: String,
    },
    /// The report was stored, or refused because another lease is current. Either way the ant may
    /// forget the attempt.
    ReportStored {
        /// The attempt.
        attempt: AttemptRef,
        /// False when the report was refused.
        accepted: bool,
    },
    /// The lease of this attempt is gone: stop it and report nothing.
    LeaseLost {
        /// The attempt.
        attempt: AttemptRef,
    },
}
