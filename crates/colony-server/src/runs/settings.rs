//! What may be set about the Runs API.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Settings under `runs_api` (`foreman-api` 3, 4, 10, 11).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunsApiSettings {
    /// Whether callers must show a key.
    pub auth: AuthMode,
    /// A configured key beside those that are stored.
    pub static_key: Option<StaticKey>,
    /// Accept every well-formed `fmn_` key (REF's behaviour, for closed networks).
    pub trust_well_formed_keys: bool,
    /// Organization of callers who name none.
    pub default_organization: String,
    /// Which generation of clients is served.
    pub dialect: DialectSetting,
    /// Overrides the dialect's timestamps.
    pub timestamps: Option<TimestampsSetting>,
    /// Overrides the dialect's envelope of lists.
    pub list_envelope: Option<ListEnvelope>,
    /// Overrides what the dialect counts as `total` of a query of run data.
    pub data_total: Option<DataTotal>,
    /// Requests per caller.
    pub rate_limit: RateLimitSettings,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpAddr>,
    /// Origins of browsers that may call; none = off.
    pub cors_origins: Vec<String>,
    /// `development`, `production` or `test`.
    pub environment: String,
    /// Where clients find their external queue.
    pub redis: RedisSettings,
    /// What their external queues are called.
    pub queues: QueueSettings,
    /// How long a request may take to arrive.
    pub body_timeout_ms: u64,
}

impl Default for RunsApiSettings {
    fn default() -> Self {
        Self {
            auth: AuthMode::On,
            static_key: None,
            trust_well_formed_keys: false,
            default_organization: "default-org".to_owned(),
            dialect: DialectSetting::Classic,
            timestamps: None,
            list_envelope: None,
            data_total: None,
            rate_limit: RateLimitSettings::default(),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            environment: "production".to_owned(),
            redis: RedisSettings::default(),
            queues: QueueSettings::default(),
            body_timeout_ms: 30_000,
        }
    }
}

/// Whether callers must show a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// They must.
    #[default]
    On,
    /// Everybody is let in.
    Off,
}

/// A configured key (`foreman-api` 3.2). Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StaticKey(pub String);

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey(***)")
    }
}

/// Which generation of clients is served (`foreman-api` 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DialectSetting {
    /// The reference document's.
    #[default]
    Classic,
    /// Today's.
    Current,
    /// Today's for requests with an `x-org-id` header, else the reference document's.
    Auto,
}

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampsSetting {
    /// RFC 3339 text.
    Iso,
    /// Milliseconds since 1970.
    Ms,
}

/// Which members lists have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListEnvelope {
    /// `items` and its numbers, `data` and `pagination`.
    Both,
    /// `items` and its numbers.
    Items,
    /// `data` and `pagination`.
    Data,
}

/// What the `total` of a query of run data counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataTotal {
    /// All matching entries.
    Matching,
    /// The entries of the page.
    Page,
}

/// How many requests a caller may make (`foreman-api` 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Requests in a window; 0 = no limit.
    pub requests: u64,
    /// Length of the window.
    pub window_ms: u64,
}

/// So many that no honest program meets the limit alone.
impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            requests: 6_000_000,
            window_ms: 60_000,
        }
    }
}

/// Where clients find their external queue (`foreman-api` 10.1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// Host; `localhost` is told when none is set.
    pub host: Option<String>,
    /// Port; 6379 unless set.
    pub port: Option<u16>,
    /// Handed to every caller with a key.
    pub password: Option<StaticKey>,
    /// Number of the database.
    pub db: Option<u32>,
}

/// What the external queues are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Tasks.
    pub tasks: String,
    /// Results; nothing is ever in it.
    pub results: String,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            tasks: "foreman-tasks".to_owned(),
            results: "foreman-results".to_owned(),
        }
    }
}
