//! The settings of the Runs API.

use std::net::IpAddr;

use colony_server::runs::{
    AuthMode, DataTotal, DialectSetting, ListEnvelope, QueueSettings, RateLimitSettings,
    RedisSettings, RunsApiSettings, StaticKey, TimestampsSetting,
};

use super::parse::{number, number_or_none, one_of, optional, parse_switch, words};
use super::reader::Reader;
use super::table::{
    RUNS_AUTH, RUNS_BODY_TIMEOUT, RUNS_CORS, RUNS_DATA_TOTAL, RUNS_DEFAULT_ORG, RUNS_DIALECT,
    RUNS_ENVELOPE, RUNS_ENVIRONMENT, RUNS_PROXIES, RUNS_QUEUE_RESULTS, RUNS_QUEUE_TASKS,
    RUNS_RATE_REQUESTS, RUNS_RATE_WINDOW, RUNS_REDIS_DB, RUNS_REDIS_HOST, RUNS_REDIS_PASSWORD,
    RUNS_REDIS_PORT, RUNS_STATIC_KEY, RUNS_TIMESTAMPS, RUNS_TRUST,
};

const DIALECTS: &[(&str, DialectSetting)] = &[
    ("classic", DialectSetting::Classic),
    ("current", DialectSetting::Current),
    ("auto", DialectSetting::Auto),
];
const TIMESTAMPS: &[(&str, Option<TimestampsSetting>)] = &[
    ("", None),
    ("iso", Some(TimestampsSetting::Iso)),
    ("ms", Some(TimestampsSetting::Ms)),
];
const ENVELOPES: &[(&str, Option<ListEnvelope>)] = &[
    ("", None),
    ("both", Some(ListEnvelope::Both)),
    ("items", Some(ListEnvelope::Items)),
    ("data", Some(ListEnvelope::Data)),
];
const TOTALS: &[(&str, Option<DataTotal>)] = &[
    ("", None),
    ("matching", Some(DataTotal::Matching)),
    ("page", Some(DataTotal::Page)),
];
const ENVIRONMENTS: &[(&str, &str)] = &[
    ("development", "development"),
    ("production", "production"),
    ("test", "test"),
];

/// A day: no window of a limit and no body needs longer.
const MILLIS_MAX: u64 = 86_400_000;

impl Reader<'_> {
    /// Everything under `runs_api`. `auth` is the setting of that name, which is the default here.
    pub(super) fn runs_api(&mut self, auth: bool) -> anyhow::Result<RunsApiSettings> {
        let auth = if auth { "on" } else { "off" };
        let auth = match self.read_or(&RUNS_AUTH, auth, parse_switch)? {
            true => AuthMode::On,
            false => AuthMode::Off,
        };
        Ok(RunsApiSettings {
            auth,
            dialect: self.read(&RUNS_DIALECT, |text| one_of(text, DIALECTS))?,
            timestamps: self.read(&RUNS_TIMESTAMPS, |text| one_of(text, TIMESTAMPS))?,
            list_envelope: self.read(&RUNS_ENVELOPE, |text| one_of(text, ENVELOPES))?,
            data_total: self.read(&RUNS_DATA_TOTAL, |text| one_of(text, TOTALS))?,
            static_key: self.read(&RUNS_STATIC_KEY, secret)?,
            trust_well_formed_keys: self.read(&RUNS_TRUST, parse_switch)?,
            default_organization: self.read(&RUNS_DEFAULT_ORG, organization)?,
            rate_limit: self.rate_limit()?,
            trusted_proxies: self.read(&RUNS_PROXIES, addresses)?,
            cors_origins: self.read(&RUNS_CORS, origins)?,
            environment: self
                .read(&RUNS_ENVIRONMENT, |text| one_of(text, ENVIRONMENTS))?
                .to_owned(),
            redis: self.redis()?,
            queues: QueueSettings {
                tasks: self.read(&RUNS_QUEUE_TASKS, queue)?,
                results: self.read(&RUNS_QUEUE_RESULTS, queue)?,
            },
            body_timeout_ms: self.read(&RUNS_BODY_TIMEOUT, |text| number(text, 1..=MILLIS_MAX))?,
        })
    }

    fn rate_limit(&mut self) -> anyhow::Result<RateLimitSettings> {
        Ok(RateLimitSettings {
            requests: self.read(&RUNS_RATE_REQUESTS, |text| number(text, 0..=u64::MAX))?,
            window_ms: self.read(&RUNS_RATE_WINDOW, |text| number(text, 1..=MILLIS_MAX))?,
        })
    }

    fn redis(&mut self) -> anyhow::Result<RedisSettings> {
        Ok(RedisSettings {
            host: self.read(&RUNS_REDIS_HOST, |text| Ok(optional(text)))?,
            port: self.read(&RUNS_REDIS_PORT, |text| number_or_none(text, 1..=u16::MAX))?,
            password: self.read(&RUNS_REDIS_PASSWORD, secret)?,
            db: self.read(&RUNS_REDIS_DB, |text| number_or_none(text, 0..=u32::MAX))?,
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "parsers of settings may fail")]
fn secret(text: &str) -> Result<Option<StaticKey>, String> {
    Ok(optional(text).map(StaticKey))
}

/// As the organizations of keys and of `x-org-id`.
fn organization(text: &str) -> Result<String, String> {
    let length = text.encode_utf16().count();
    match (1..=255).contains(&length) && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err("give 1 to 255 characters, none of them a control character".to_owned()),
    }
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let address = |word: &str| {
        word.parse().map_err(|_| {
            format!(
                "`{word}` is no address; give ones such as 10.0.0.1 or ::1, separated by commas"
            )
        })
    };
    words(text).map(address).collect()
}

/// Browsers send scheme, host and port, and nothing else; they are compared as texts.
fn origins(text: &str) -> Result<Vec<String>, String> {
    let origin = |word: &str| {
        let host = word
            .strip_prefix("https://")
            .or_else(|| word.strip_prefix("http://"));
        match host {
            Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => {
                Ok(word.to_owned())
            }
            _ => Err(format!(
                "`{word}` is no origin; give ones such as https://app.example.org:8443, without a \
                 path, separated by commas"
            )),
        }
    };
    words(text).map(origin).collect()
}

/// Queue libraries build keys with `:`.
fn queue(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(':') {
        true => Err("give a name without `:`".to_owned()),
        false => Ok(text.to_owned()),
    }
}
