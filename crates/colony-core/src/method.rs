//! The methods of tasks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The method of a task: which executor does it (`job-definitions` 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// A pod.
    Kubernetes,
    /// A container.
    Docker,
    /// Processes on the ant's host.
    Shell,
    /// An HTTP GET.
    HttpGet,
    /// An HTTP POST of a form.
    HttpPostForm,
    /// An HTTP POST of JSON.
    HttpPostJson,
    /// An HTTP PUT of a form.
    HttpPutForm,
    /// An HTTP PUT of JSON.
    HttpPutJson,
    /// An HTTP DELETE.
    HttpDelete,
    /// A client that attached by WebSocket.
    Websocket,
    /// A consumer of a message queue.
    Messaging,
    /// A user's own program that claims tasks through the Runs API (ours).
    Worker,
    /// Starts a child job.
    ForkJob,
    /// Waits for child jobs.
    AwaitForkedJob,
    /// Several children of one task.
    FanOutJob,
    /// Deletes expired artifacts.
    ExpireArtifacts,
    /// Waits for people.
    Manual,
}

impl Method {
    /// Every method, in the order of the specification.
    pub const ALL: [Self; 17] = [
        Self::Kubernetes,
        Self::Docker,
        Self::Shell,
        Self::HttpGet,
        Self::HttpPostForm,
        Self::HttpPostJson,
        Self::HttpPutForm,
        Self::HttpPutJson,
        Self::HttpDelete,
        Self::Websocket,
        Self::Messaging,
        Self::Worker,
        Self::ForkJob,
        Self::AwaitForkedJob,
        Self::FanOutJob,
        Self::ExpireArtifacts,
        Self::Manual,
    ];

    /// The word used in definitions and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "KUBERNETES",
            Self::Docker => "DOCKER",
            Self::Shell => "SHELL",
            Self::HttpGet => "HTTP_GET",
            Self::HttpPostForm => "HTTP_POST_FORM",
            Self::HttpPostJson => "HTTP_POST_JSON",
            Self::HttpPutForm => "HTTP_PUT_FORM",
            Self::HttpPutJson => "HTTP_PUT_JSON",
            Self::HttpDelete => "HTTP_DELETE",
            Self::Websocket => "WEBSOCKET",
            Self::Messaging => "MESSAGING",
            Self::Worker => "WORKER",
            Self::ForkJob => "FORK_JOB",
            Self::AwaitForkedJob => "AWAIT_FORKED_JOB",
            Self::FanOutJob => "FAN_OUT_JOB",
            Self::ExpireArtifacts => "EXPIRE_ARTIFACTS",
            Self::Manual => "MANUAL",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(())
    }
}
