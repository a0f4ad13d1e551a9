//! Whether a call is meant for this server, and by whom it was caused.
//!
//! A web page can make the browser of its reader send calls. Two signs give them away, and a page
//! can change neither: `Origin` is the page's own, and `Host` the name by which the browser found
//! this server. A page of another origin changes nothing here. The name matters where no token
//! is asked for: there, a name that its owner lets point to this machine would make the page's
//! origin the same as ours.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

/// What this server is called.
#[derive(Debug)]
pub(crate) struct Names {
    address: Option<SocketAddr>,
    others: Vec<Name>,
}

/// A host, and a port if it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    host: String,
    port: Option<u16>,
}

/// Why a call is not carried out. The text is for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It asks for another server.
    Host,
    /// A page of another origin caused it.
    Origin,
    /// Its body is of a type that any page can send.
    Content,
}

impl Foreign {
    /// What is wrong and what to do.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Host => {
                "without authentication this server answers only to its own names: `Host` is \
                 another; call it by the address that it listens on, or list the name in \
                 `http.hosts`"
            }
            Self::Origin => {
                "a page of another origin must not change anything here; list its origin in \
                 `runs_api.cors_origins`, or this server's public name in `http.hosts`"
            }
            Self::Content => {
                "without authentication a body needs the content type application/json or \
                 application/yaml"
            }
        }
    }
}

impl Names {
    /// Of a server at that address, which has these names as well.
    pub(crate) fn new(hosts: &[String], address: Option<SocketAddr>) -> Self {
        let named = |host: &String| {
            let name = Name::parse(host);
            if name.is_none() {
                tracing::warn!(
                    "`{}` in `http.hosts` is no name of a host",
                    host.escape_debug()
                );
            }
            name
        };
        Self {
            address,
            others: hosts.iter().filter_map(named).collect(),
        }
    }

    /// Checks the head of a call. `is_open` says that no token is asked for, `origins` who may call
    /// from browsers.
    ///
    /// # Errors
    ///
    /// The call is not carried out.
    pub(crate) fn check(
        &self,
        head: &Parts,
        is_open: bool,
        origins: &[String],
    ) -> Result<(), Foreign> {
        let host = host(head);
        if is_open && !host.as_ref().is_none_or(|host| self.is_ours(host)) {
            return Err(Foreign::Host);
        }
        if !changes(&head.method) {
            return Ok(());
        }
        if let Some(origin) = head.headers.get(ORIGIN) {
            let listed = || origins.iter().any(|listed| origin == listed.as_str());
            let same = || {
                let origin = origin.to_str().ok().and_then(Name::of_origin);
                origin.is_some_and(|origin| self.is_same(&origin, host.as_ref()))
            };
            if !listed() && !same() {
                return Err(Foreign::Origin);
            }
        }
        if is_open && has_body(&head.headers) && !is_deliberate(&head.headers) {
            return Err(Foreign::Content);
        }
        Ok(())
    }

    /// Whether this server is called that, on whatever port: there may be a tunnel.
    fn is_ours(&self, name: &Name) -> bool {
        let address = name.host.parse::<IpAddr>().ok();
        let bound = self.address.map(|address| address.ip());
        match address {
            // An address cannot be made to point elsewhere.
            Some(address) => {
                let any = bound.is_none_or(|bound| bound.is_unspecified());
                any || address.is_loopback() || bound == Some(address) || self.is_listed(name)
            }
            None => name.host == "localhost" || self.is_listed(name),
        }
    }

    fn is_listed(&self, name: &Name) -> bool {
        self.others.iter().any(|listed| {
            listed.host == name.host && listed.port.is_none_or(|port| name.port == Some(port))
        })
    }

    /// Whether a page of that origin is this server's own.
    fn is_same(&self, origin: &Origin, host: Option<&Name>) -> bool {
        let same = host.is_some_and(|host| {
            host.host == origin.name.host
                && host.port.unwrap_or(origin.default_port) == origin.port()
        });
        same || self.is_listed(&origin.name)
    }
}

/// Where a page comes from.
struct Origin {
    name: Name,
    default_port: u16,
}

impl Origin {
    fn port(&self) -> u16 {
        self.name.port.unwrap_or(self.default_port)
    }
}

impl Name {
    /// `host`, `host:port`, `[address]` or `[address]:port`.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (
                    address,
                    port.strip_prefix(':').or(port.is_empty().then_some("")),
                )
            }
            None => match text.rsplit_once(':') {
                // An address of IPv6 in a setting.
                Some((host, _)) if host.contains(':') => (text, Some("")),
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match port? {
            "" => None,
            port => Some(port.parse().ok()?),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { host, port })
    }

    fn of_origin(text: &str) -> Option<Origin> {
        let (scheme, authority) = text.split_once("://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let name = Self::parse(authority)?;
        Some(Origin { name, default_port })
    }
}

/// By which name the caller found this server. One that cannot be read is nobody's; browsers always
/// send one.
fn host(head: &Parts) -> Option<Name> {
    let nobody = || Name {
        host: String::new(),
        port: None,
    };
    if let Some(authority) = head.uri.authority() {
        return Some(Name::parse(authority.as_str()).unwrap_or_else(nobody));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let first = hosts.next()?;
    let name = first.to_str().ok().and_then(Name::parse);
    Some(match hosts.next() {
        None => name.unwrap_or_else(nobody),
        Some(_) => nobody(),
    })
}

/// Whether calls of the method may change something.
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// Whether a page would have needed leave to send a body of this type. One without a type it can
/// send, but never without its origin, which was checked.
fn is_deliberate(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kinds = [
        "",
        "application/json",
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
    ];
    kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(names: &Names, is_open: bool, method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/api/jobs/requests");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let origins = ["https://app.example".to_owned()];
        names.check(&head, is_open, &origins).is_ok()
    }

    fn at(address: &str) -> Names {
        let hosts = ["colony.example".to_owned(), "other.example:81".to_owned()];
        Names::new(&hosts, Some(address.parse().unwrap()))
    }

    #[test]
    fn without_a_token_only_our_own_names_count() {
        let (here, everywhere) = (at("127.0.0.1:7777"), at("0.0.0.0:7777"));
        for (host, on_loopback, on_all) in [
            ("127.0.0.1:7777", true, true),
            ("127.0.0.1:9000", true, true),
            ("localhost", true, true),
            ("LOCALHOST.:7777", true, true),
            ("[::1]:7777", true, true),
            ("10.0.0.5:7777", false, true),
            ("[2001:db8::1]", false, true),
            ("colony.example", true, true),
            ("colony.example:8443", true, true),
            ("other.example:81", true, true),
            ("other.example", false, false),
            ("evil.example:7777", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("", false, false),
            ("[::1", false, false),
            ("a:b", false, false),
        ] {
            for method in ["GET", "POST"] {
                let headers = [("host", host)];
                assert_eq!(check(&here, true, method, &headers), on_loopback, "{host}");
                assert_eq!(check(&everywhere, true, method, &headers), on_all, "{host}");
                assert!(check(&here, false, method, &headers), "{host}");
            }
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert!(!check(&here, true, "GET", &twice));
        assert!(check(&here, true, "GET", &[]));
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let names = at("127.0.0.1:7777");
        for (host, origin, fine) in [
            ("127.0.0.1:7777", "http://127.0.0.1:7777", true),
            ("localhost:7777", "http://localhost:7777", true),
            ("localhost:7777", "http://localhost:3000", false),
            ("localhost:7777", "http://localhost", false),
            ("localhost:7777", "http://evil.example", false),
            ("localhost:7777", "null", false),
            ("localhost:7777", "", false),
            ("localhost:7777", "file://localhost:7777", false),
            ("localhost", "http://localhost", true),
            ("localhost:443", "https://localhost", true),
            ("127.0.0.1:7777", "https://app.example", true),
            ("127.0.0.1:7777", "https://colony.example", true),
            ("127.0.0.1:7777", "http://app.example", false),
            ("colony.example:80", "http://colony.example", true),
        ] {
            let headers = [("host", host), ("origin", origin)];
            for is_open in [true, false] {
                assert_eq!(
                    check(&names, is_open, "POST", &headers),
                    fine,
                    "{headers:?}"
                );
                assert_eq!(
                    check(&names, is_open, "DELETE", &headers),
                    fine,
                    "{headers:?}"
                );
                assert!(check(&names, is_open, "GET", &headers), "{headers:?}");
            }
        }
        assert!(!check(
            &names,
            false,
            "POST",
            &[("origin", "http://localhost")]
        ));
    }

    #[test]
    fn without_a_token_bodies_say_what_they_are() {
        let names = at("127.0.0.1:7777");
        for (kind, fine) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/yaml"), true),
            (Some("text/yaml"), true),
            (None, true),
            (Some(""), true),
            (Some("text/plain"), false),
            (Some("text/plain; application/json"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some("multipart/form-data; boundary=x"), false),
        ] {
            let kind = kind.map(|kind| ("content-type", kind));
            for length in [("content-length", "2"), ("transfer-encoding", "chunked")] {
                let headers: Vec<_> = kind.into_iter().chain([length]).collect();
                assert_eq!(check(&names, true, "POST", &headers), fine, "{headers:?}");
                assert!(check(&names, false, "POST", &headers), "{headers:?}");
            }
            let empty: Vec<_> = kind.into_iter().chain([("content-length", "0")]).collect();
            assert!(check(&names, true, "POST", &empty), "{empty:?}");
        }
    }
}
