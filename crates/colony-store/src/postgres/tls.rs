//! TLS to the server: `sslmode` and `sslrootcert` of the URL, with the meaning that libpq gives them.
//!
//! | `sslmode` | the connection |
//! | --- | --- |
//! | `disable` | is not encrypted; what counts for this machine when nothing is said |
//! | `prefer` | is encrypted when the server offers it; what counts elsewhere when nothing is said |
//! | `require` | is encrypted; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | and the server shows a certificate of an authority that is trusted |
//! | `verify-full` | and that certificate is for the host of the URL |
//!
//! Authorities are those of the system, or those in the file that `sslrootcert` names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How much is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What a URL says of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    mode: Option<Mode>,
    roots: Option<PathBuf>,
}

/// Why TLS cannot be had as wanted.
#[derive(Debug)]
pub(super) enum Refused {
    Mode,
    Roots(PathBuf, io::Error),
}

/// What a `sslmode` may be.
pub(super) const MODES: &str =
    "sslmode is none of disable, prefer, require, verify-ca and verify-full";

impl Wanted {
    /// Takes what is said of TLS out of a URL.
    pub(super) fn take(url: &str) -> Result<(String, Self), Refused> {
        let mut wanted = Self::default();
        let Some((place, options)) = url.split_once('?') else {
            return Ok((url.to_owned(), wanted));
        };
        let mut left = Vec::new();
        for option in options.split('&') {
            match option.split_once('=') {
                Some(("sslmode", mode)) => wanted.mode = Some(parse_mode(mode)?),
                Some(("sslrootcert", path)) => wanted.roots = Some(decoded(path).into()),
                _ => left.push(option),
            }
        }
        let separator = if left.is_empty() { "" } else { "?" };
        Ok((format!("{place}{separator}{}", left.join("&")), wanted))
    }

    /// How to connect with this configuration. None without TLS.
    pub(super) fn apply(&self, config: &mut Config) -> Result<Option<MakeRustlsConnect>, Refused> {
        let mode = match (self.mode, &self.roots) {
            (Some(Mode::Require), Some(_)) => Mode::VerifyCa,
            (Some(mode), _) => mode,
            (None, _) if is_near(config) => Mode::Disable,
            (None, _) => Mode::Prefer,
        };
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        match mode {
            Mode::Disable => Ok(None),
            mode => Ok(Some(MakeRustlsConnect::new(self.client(mode)?))),
        }
    }

    fn client(&self, mode: Mode) -> Result<ClientConfig, Refused> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has the versions of TLS that are safe");
        Ok(match mode {
            Mode::VerifyFull => builder
                .with_root_certificates(self.authorities()?)
                .with_no_client_auth(),
            mode => builder
                .dangerous()
                .with_custom_certificate_verifier(self.lenient(mode, provider)?)
                .with_no_client_auth(),
        })
    }

    /// Who looks less closely than `verify-full`.
    fn lenient(
        &self,
        mode: Mode,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Refused> {
        if mode != Mode::VerifyCa {
            let schemes = provider.signature_verification_algorithms;
            return Ok(Arc::new(Anyone(schemes.supported_schemes())));
        }
        let roots = Arc::new(self.authorities()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        // It refuses an empty list only.
        let verifier = verifier.map_err(|error| self.bad_roots(io::Error::other(error)))?;
        Ok(Arc::new(AnyName(verifier)))
    }

    fn authorities(&self) -> Result<RootCertStore, Refused> {
        let mut store = RootCertStore::empty();
        let certificates = match &self.roots {
            Some(path) => read(path).map_err(|error| self.bad_roots(error))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let (added, _) = store.add_parsable_certificates(certificates);
        if added == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in it");
            return Err(self.bad_roots(error));
        }
        Ok(store)
    }

    fn bad_roots(&self, error: io::Error) -> Refused {
        let system = || PathBuf::from("(those of the system)");
        Refused::Roots(self.roots.clone().unwrap_or_else(system), error)
    }
}

fn parse_mode(word: &str) -> Result<Mode, Refused> {
    Ok(match word {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => return Err(Refused::Mode),
    })
}

/// Whether nothing leaves this machine.
fn is_near(config: &Config) -> bool {
    let is_near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    };
    let addresses = config.get_hostaddrs();
    match addresses.is_empty() {
        true => config.get_hosts().iter().all(is_near),
        false => addresses.iter().all(std::net::IpAddr::is_loopback),
    }
}

fn read(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(path)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// A value of a URL, in which `%2F` is a slash.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, left @ ..] = rest {
        let code = left.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &left[2..];
            }
            None => {
                bytes.push(*first);
                rest = left;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What went wrong in a handshake, as far as it is TLS's.
pub(super) fn failure(error: &tokio_postgres::Error) -> Option<&Error> {
    let cause = std::error::Error::source(error)?;
    let cause = cause.downcast_ref::<io::Error>()?.get_ref()?;
    cause.downcast_ref()
}

/// What to do about it.
pub(super) fn advice(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            "nobody who is trusted vouches for the server's certificate; name the file with the \
             certificate of its authority in the URL: sslrootcert=FILE"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the server's certificate is for another host; write the host in the URL as it is in \
             the certificate, or ask for less with sslmode=verify-ca"
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the server's certificate is no longer valid; renew it on the server",
        _ => "the server and this program do not agree on TLS; see the reason below",
    }
}

/// Trusts whoever answers: what is said is hidden from those who only listen.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// Trusts certificates of known authorities, for whatever host they are.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = (self.0).verify_server_cert(certificate, between, name, ocsp, now);
        match verified {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_the_url() {
        let (url, wanted) =
            Wanted::take("postgres://u:p@h/d?a=1&sslmode=verify-ca&sslrootcert=%2Ftmp%2Fa%20b&c=2")
                .unwrap();
        assert_eq!(url, "postgres://u:p@h/d?a=1&c=2");
        assert_eq!(wanted.mode, Some(Mode::VerifyCa));
        assert_eq!(wanted.roots.as_deref(), Some(Path::new("/tmp/a b")));
        let (url, wanted) = Wanted::take("postgres://h/d?sslmode=disable").unwrap();
        assert_eq!(
            (&*url, wanted.mode),
            ("postgres://h/d", Some(Mode::Disable))
        );
        assert!(Wanted::take("postgres://h/d?sslmode=allow").is_err());
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%41"), "%zzA");
    }

    #[test]
    fn what_stays_on_this_machine_is_not_encrypted_unless_asked() {
        for (url, expected) in [
            ("postgres://127.0.0.1/d", SslMode::Disable),
            ("postgres://localhost,[::1]/d", SslMode::Disable),
            ("postgres://%2Frun%2Fpostgresql/d", SslMode::Disable),
            ("postgres://db.example.org/d", SslMode::Prefer),
            ("postgres://localhost,other/d", SslMode::Prefer),
            ("postgres://localhost/d?hostaddr=10.0.0.1", SslMode::Prefer),
            ("postgres://127.0.0.1/d?sslmode=require", SslMode::Require),
        ] {
            let (plain, wanted) = Wanted::take(url).unwrap();
            let mut config: Config = plain.parse().unwrap();
            let tls = wanted.apply(&mut config).unwrap();
            assert_eq!(config.get_ssl_mode(), expected, "{url}");
            assert_eq!(tls.is_some(), expected != SslMode::Disable, "{url}");
        }
    }
}
