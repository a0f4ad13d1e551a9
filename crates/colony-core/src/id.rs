//! The kinds of ids, and where new ones come from.
//!
//! All ids are time-ordered UUIDs (version 7) inside and bare hyphenated text outside, as both
//! public APIs promise. The types keep the kinds apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use uuid::timestamp::context::ContextV7;
use uuid::{Timestamp as UuidTimestamp, Uuid};

use crate::time::Clock;

/// Text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: expected a hyphenated UUID of 36 characters")]
pub struct ParseIdError(pub String);

/// Declares every kind of id as a newtype over [`Uuid`].
macro_rules! id_kinds {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is known to be of this kind.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside, for storage.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Accepts the 36-character hyphenated form in any letter case.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_uuid(text).map(Self)
            }
        }
    )*};
}

id_kinds! {
    /// One execution context in the ledger; a job execution is a run.
    RunId
    /// A unit of work in a run.
    TaskId
    /// Someone's wish to run a definition.
    RequestId
    /// One stored version of a job's YAML.
    DefinitionId
    /// A stored output.
    ArtifactId
    /// An entry of run data.
    RunDataId
    /// A user.
    UserId
    /// An API token or key.
    TokenId
}

fn parse_uuid(text: &str) -> Result<Uuid, ParseIdError> {
    // `Uuid::parse_str` also takes braces and missing hyphens, which are not ids here.
    let well_formed = text.len() == 36;
    well_formed
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
        .ok_or_else(|| ParseIdError(text.to_owned()))
}

/// Number that grows with each lease of a task. A report is accepted only from the current one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch of the next lease.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One try at a task: the task and the epoch of the lease it runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptRef {
    /// The task.
    pub task_id: TaskId,
    /// The lease.
    pub epoch: Epoch,
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task_id, self.epoch)
    }
}

/// Where new ids come from.
pub trait IdSource: Send + Sync {
    /// A UUID that sorts after every one given before by this source.
    fn next_uuid(&self) -> Uuid;
}

/// The process-wide source: version 7, strictly increasing.
///
/// Ids in time order keep inserts at the end of every index; scattered ids were measured to cost
/// SQLite five sixths of its write rate.
pub struct MonotonicIds<C> {
    clock: C,
    context: Mutex<ContextV7>,
}

impl<C: Clock> MonotonicIds<C> {
    /// A source that takes its time from `clock`.
    pub fn new(clock: C) -> Self {
        Self {
            clock,
            context: Mutex::new(ContextV7::new()),
        }
    }
}

impl<C: Clock> IdSource for MonotonicIds<C> {
    fn next_uuid(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        let context = self
            .context
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Uuid::new_v7(UuidTimestamp::from_unix(&*context, millis / 1000, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    #[test]
    fn ids_grow_within_one_millisecond_and_when_the_clock_steps_back() {
        let clock = ManualClock::at_millis(1_700_000_000_000);
        let ids = MonotonicIds::new(clock.clone());
        let mut last = ids.next_uuid();
        for step in 0..20_000 {
            if step == 10_000 {
                clock.set_millis(1_699_999_999_000);
            }
            let next = ids.next_uuid();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e";
        assert_eq!(text.parse::<RunId>().unwrap().to_string(), text);
        assert_eq!(
            text.to_uppercase().parse::<RunId>().unwrap().to_string(),
            text
        );
        for bad in [
            "",
            "x",
            "0190b5c0aa6a7d0e9c592f8a6b7c8d9e",
            "{0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e}",
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
