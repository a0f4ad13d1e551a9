//! What templates need from outside: other jobs, randomness, and the memory of what they started.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The server as templates see it (`job-definitions` 5.6, 5.9).
pub trait JobHost: Send + Sync {
    /// Whether functions that ask or change the server do so; if not, they give `""` and 0.
    fn is_enabled(&self) -> bool {
        true
    }

    /// Number of the tenant's requests of a type in any of these states, which are upper case.
    fn count_requests(&self, job_type: &str, states: &[String]) -> u64;

    /// Creates a request and gives its id. A non-terminal request with the same user key is
    /// returned instead of a new one.
    fn submit(&self, submission: &Submission) -> Result<String, String>;
}

/// A request that a template wants to make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submission {
    /// Type of the job.
    pub job_type: String,
    /// Description of the request.
    pub description: String,
    /// Parameters in the order of the call; a later one overrides an earlier one.
    pub params: Vec<(String, String)>,
    /// `_user_key`: makes the request unique while it is not terminal.
    pub user_key: Option<String>,
    /// `_parent_id`: the request whose cancel cancels this one.
    pub parent_id: Option<String>,
}

/// No server: at upload, and wherever side effects are forbidden.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl JobHost for Offline {
    fn is_enabled(&self) -> bool {
        false
    }

    fn count_requests(&self, _job_type: &str, _states: &[String]) -> u64 {
        0
    }

    fn submit(&self, _submission: &Submission) -> Result<String, String> {
        Ok(String::new())
    }
}

/// Results of calls with side effects, by call. Keep it with the attempts of a task: a call that
/// was made is never made again (`job-definitions` 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Submitted(BTreeMap<String, String>);

impl Submitted {
    /// Whether nothing was submitted yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The outside as functions share it during the renderings of one attempt.
pub(crate) struct Session {
    pub(crate) host: Arc<dyn JobHost>,
    memory: Mutex<Memory>,
}

struct Memory {
    random_state: u64,
    submitted: Submitted,
    /// How often each call was seen in the current rendering.
    seen: HashMap<String, usize>,
}

impl Session {
    pub(crate) fn new(host: Arc<dyn JobHost>, seed: u64, submitted: Submitted) -> Self {
        let memory = Memory {
            random_state: seed,
            submitted,
            seen: HashMap::new(),
        };
        Self {
            host,
            memory: Mutex::new(memory),
        }
    }

    /// Starts a rendering: equal calls are told apart by their order in it.
    pub(crate) fn begin(&self) {
        self.memory().seen.clear();
    }

    /// The next random number (SplitMix64), the same for the same seed.
    pub(crate) fn random(&self) -> u64 {
        let mut memory = self.memory();
        memory.random_state = memory.random_state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = memory.random_state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The result of a call with side effects: remembered, or made now.
    pub(crate) fn once(&self, call: &str, make: impl FnOnce() -> String) -> String {
        let key = {
            let mut memory = self.memory();
            let count = memory.seen.entry(call.to_owned()).or_default();
            *count += 1;
            let key = format!("{call}#{count}");
            if let Some(result) = memory.submitted.0.get(&key) {
                return result.clone();
            }
            key
        };
        // Not under the lock: the host may take its time.
        let result = make();
        self.memory().submitted.0.insert(key, result.clone());
        result
    }

    pub(crate) fn submitted(&self) -> Submitted {
        self.memory().submitted.clone()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
