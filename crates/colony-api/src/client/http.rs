//! One call: send, check the status, decode.

use std::fmt;
use std::sync::Once;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{ApiFailure, ClientError};
use crate::jobs::{ErrorBody, Health};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the queen may be silent within an answer. Longer than any long poll.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// How long an idle connection is kept: shorter than a queen keeps it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one queen. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .field("token", &token)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the queen at `url`, such as `http://127.0.0.1:7777`. Connects with the first
    /// call.
    ///
    /// # Errors
    ///
    /// The text is not an HTTP address.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let base = parse_base(url).map_err(|problem| ClientError::BadUrl {
            url: url.to_owned(),
            problem,
        })?;
        Ok(Self {
            http: build(&base).map_err(ClientError::Setup)?,
            base,
            token: token.map(|token| token.trim().to_owned()),
        })
    }

    /// The address of the queen.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Health of the queen, also when it is not healthy.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        let response = self.send(self.request(Method::GET, &["health"])).await?;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return self.json(response).await;
        }
        self.json(self.checked(response).await?).await
    }

    /// A request to `/api/…` with each part of the path escaped.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET of a JSON value.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path).query(query);
        self.json(self.success(request).await?).await
    }

    /// POST without body or answer.
    pub(super) async fn post_empty(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<(), ClientError> {
        let request = self.request(Method::POST, path).query(query);
        self.success(request).await.map(drop)
    }

    /// POST of JSON, answered with JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path).json(body);
        self.json(self.success(request).await?).await
    }

    /// The answer, if it is a success.
    pub(super) async fn success(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = self.send(request).await?;
        self.checked(response).await
    }

    /// Sends a request. One that only reads is sent again when a kept connection turns out to be
    /// closed: the queen may have been restarted meanwhile.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let request = request.build().map_err(|source| self.transport(source))?;
        let reads = request.method() == Method::GET;
        let again = reads.then(|| request.try_clone()).flatten();
        let sent = match (self.http.execute(request).await, again) {
            (Err(error), Some(again)) if is_stale(&error) => self.http.execute(again).await,
            (sent, _) => sent,
        };
        sent.map_err(|source| match source.is_connect() {
            true => ClientError::Connect {
                url: self.url().to_owned(),
                source,
            },
            false => self.transport(source),
        })
    }

    async fn checked(&self, response: Response) -> Result<Response, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = self.text(response).await?;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| ErrorBody {
            message: format!("the queen answered {status}"),
            ..ErrorBody::default()
        });
        Err(ClientError::Api(Box::new(ApiFailure {
            status: status.as_u16(),
            code: body.code,
            message: body.message,
            details: body.details,
        })))
    }

    /// The body as text.
    pub(super) async fn text(&self, response: Response) -> Result<String, ClientError> {
        response
            .text()
            .await
            .map_err(|source| self.transport(source))
    }

    /// The body as a JSON value.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        response: Response,
    ) -> Result<T, ClientError> {
        let url = response.url().to_string();
        let bytes = response
            .bytes()
            .await
            .map_err(|source| self.transport(source))?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Unexpected { url, source })
    }

    /// The connection broke within an answer.
    pub(super) fn transport(&self, source: reqwest::Error) -> ClientError {
        ClientError::Transport {
            url: self.url().to_owned(),
            source,
        }
    }
}

/// Marks a body as YAML.
pub(super) fn yaml(request: RequestBuilder, text: String) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/yaml").body(text)
}

/// The address of a queen, or what is wrong with it.
pub(crate) fn parse_base(url: &str) -> Result<Url, String> {
    let base = Url::parse(url.trim()).map_err(|error| error.to_string())?;
    match base.scheme() {
        "http" | "https" if base.has_host() => Ok(base),
        scheme => Err(format!("its scheme is `{scheme}`, not http or https")),
    }
}

/// An HTTP client for one queen.
pub(crate) fn build(base: &Url) -> Result<reqwest::Client, reqwest::Error> {
    install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if base.scheme() == "http" {
        // Looks for no certificates, which a small machine may not have.
        builder = builder.tls_certs_only([]);
    }
    if is_local(base) {
        builder = builder.no_proxy();
    }
    builder.build()
}

/// No answer began, though there was a connection.
fn is_stale(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

fn is_local(base: &Url) -> bool {
    let host = base.host_str().unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The HTTP library wants a provider even when nothing is encrypted. One that the process has
/// chosen already stays.
fn install_tls_provider() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error means that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_taken() {
        for good in ["http://127.0.0.1:7777", "https://colony.example/base/"] {
            assert!(Client::new(good, None).is_ok(), "{good}");
        }
        for bad in ["", "localhost:7777", "ftp://x", "http://", "nonsense"] {
            let error = Client::new(bad, None).unwrap_err();
            assert!(matches!(error, ClientError::BadUrl { .. }), "{bad}");
        }
    }

    #[test]
    fn paths_are_escaped_and_keep_a_prefix() {
        let client = Client::new("http://h:1/base/", None).unwrap();
        let request = client.request(Method::GET, &["jobs", "definitions", "a/b c?"]);
        let url = request.build().unwrap().url().to_string();
        assert_eq!(url, "http://h:1/base/api/jobs/definitions/a%2Fb%20c%3F");
    }

    #[test]
    fn the_token_is_not_shown() {
        let client = Client::new("http://h:1", Some("secret")).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }
}
