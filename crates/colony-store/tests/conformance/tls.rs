//! TLS to PostgreSQL: what each `sslmode` asks of a server, on one with certificates made here.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use colony_store::{Database, OpenError, Store, StoreConfig, StoreError};
use colony_testkit::{TestPostgres, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const PASSWORD: &str = "geheim";

/// A server with `ssl = on`, and the certificate of its authority. Its own is for `localhost`.
struct TlsServer {
    directory: tempfile::TempDir,
    port: u16,
    server: Child,
}

impl TlsServer {
    fn start(ssl: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let programs = programs();
        let user = unprivileged();
        make_certificates(directory.path());
        for entry in std::fs::read_dir(directory.path()).unwrap().flatten() {
            std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o600)).unwrap();
            chown(entry.path(), user, user).unwrap();
        }
        chown(directory.path(), user, user).unwrap();
        let data = directory.path().join("data");
        let made = as_user(user, programs.join("initdb"))
            .args([
                "--auth=scram-sha-256",
                "--username=colony",
                "--no-sync",
                "--locale=C",
            ])
            .arg("--pwfile")
            .arg(directory.path().join("password"))
            .arg("--pgdata")
            .arg(&data)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = File::create(directory.path().join("log")).unwrap();
        let place = directory.path().display();
        let server = as_user(user, programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", &format!("unix_socket_directories={place}")])
            .args(["-c", &format!("ssl={ssl}")])
            .args(["-c", &format!("ssl_cert_file={place}/server.crt")])
            .args(["-c", &format!("ssl_key_file={place}/server.key")])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self {
            directory,
            port,
            server,
        };
        wait_for(Duration::from_secs(60), || {
            Store::open(&StoreConfig::postgres(
                this.url("localhost", "sslmode=disable"),
            ))
        });
        this
    }

    fn url(&self, host: &str, options: &str) -> String {
        let port = self.port;
        format!("postgres://colony:{PASSWORD}@{host}:{port}/postgres?{options}")
    }

    fn authority(&self) -> String {
        self.directory
            .path()
            .join("authority.crt")
            .display()
            .to_string()
    }

    /// Opens a store; tells whether its connection is encrypted.
    fn open(&self, host: &str, options: &str) -> Result<bool, OpenError> {
        let store = Store::open(&StoreConfig::postgres(self.url(host, options)))?;
        let encrypted = store.write_blocking(|tx| {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            tx.query_one(sql, &[])?.get::<bool>(0)
        });
        Ok(encrypted.unwrap_or_else(|error: StoreError| panic!("{error:?}")))
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        // An immediate end: nobody will miss what is in it.
        drop(Command::new("kill").args(["-QUIT", &pid]).status());
        drop(self.server.wait());
    }
}

/// Where the programs of the test server are.
fn programs() -> PathBuf {
    let db = TestPostgres::create("bindir");
    let store = Store::open(&StoreConfig::postgres(db.url())).unwrap();
    let found = store.read_blocking(|tx| {
        let sql = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
        tx.query_one(sql, &[])?.get::<String>(0)
    });
    found
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"))
        .into()
}

/// Another user to run as, since the server refuses to be root.
fn unprivileged() -> Option<u32> {
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    (me == 0).then_some(65_534)
}

fn as_user(user: Option<u32>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.arg("--clear-groups");
    }
    command.arg("--pdeathsig=QUIT").arg("--").arg(program);
    command
}

fn make_certificates(directory: &Path) {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let issuer = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let authority = issuer();
    write("authority.crt", &authority.pem());
    write("stranger.crt", &issuer().pem());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    write(
        "server.crt",
        &params.signed_by(&key, &authority).unwrap().pem(),
    );
    write("server.key", &key.serialize_pem());
    write("password", PASSWORD);
    write("empty.crt", "nothing\n");
}

/// The whole chain of an error, in one text.
fn told(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[test]
fn each_mode_asks_what_it_says() {
    let server = TlsServer::start("on");
    let root = |name: &str| {
        format!(
            "sslrootcert={}",
            server.authority().replace("authority", name)
        )
    };
    let (authority, stranger) = (root("authority"), root("stranger"));
    for (host, options, encrypted) in [
        // Nothing leaves the machine.
        ("localhost", String::new(), false),
        ("localhost", "sslmode=disable".to_owned(), false),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=require&{authority}"), true),
        ("127.0.0.1", format!("sslmode=verify-ca&{authority}"), true),
        (
            "localhost",
            format!("sslmode=verify-full&{authority}"),
            true,
        ),
        (
            "localhost",
            format!("{}&sslmode=verify-full", authority.replace('/', "%2F")),
            true,
        ),
    ] {
        let opened = server.open(host, &options);
        let opened = opened.unwrap_or_else(|error| panic!("{host} {options}: {}", told(&error)));
        assert_eq!(opened, encrypted, "{host} {options}");
    }
    for (host, options, words) in [
        (
            "localhost",
            format!("sslmode=verify-full&{stranger}"),
            "sslrootcert",
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&{stranger}"),
            "sslrootcert",
        ),
        (
            "localhost",
            format!("sslmode=require&{stranger}"),
            "sslrootcert",
        ),
        // No authority of the system vouches for it.
        ("localhost", "sslmode=verify-full".to_owned(), "sslrootcert"),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&{authority}"),
            "for another host",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/nowhere.crt".to_owned(),
            "/nowhere.crt",
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&{}", root("empty")),
            "empty.crt",
        ),
        ("localhost", "sslmode=sometimes".to_owned(), "verify-full"),
    ] {
        let error = server.open(host, &options).unwrap_err();
        let told = told(&error);
        assert!(told.contains(words), "{host} {options}: {told}");
        assert!(told.contains(host), "{told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

/// A queen's connections, its lock and its writers, all of them, and again after they were lost.
#[test]
fn every_connection_is_encrypted_and_comes_back() {
    let server = TlsServer::start("on");
    let options = format!("sslmode=verify-full&sslrootcert={}", server.authority());
    let config = StoreConfig {
        exclusive: true,
        ..StoreConfig::postgres(server.url("localhost", &options))
    };
    let store = Store::open(&config).unwrap();
    for _ in 0..2 {
        let plain = store.write_blocking(|tx| {
            let sql = "SELECT COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE backend_type = 'client backend' AND NOT ssl";
            tx.query_one(sql, &[])?.get::<i64>(0)
        });
        assert_eq!(
            plain.unwrap_or_else(|error: StoreError| panic!("{error:?}")),
            0
        );
        let cut = store.read_blocking(|tx| {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
            tx.query(sql, &[]).map(drop)
        });
        cut.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
    }
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let server = TlsServer::start("off");
    assert!(!server.open("localhost", "sslmode=prefer").unwrap());
    for mode in ["require", "verify-full"] {
        let options = format!("sslmode={mode}&sslrootcert={}", server.authority());
        let told = told(&server.open("localhost", &options).unwrap_err());
        assert!(told.contains("does not offer TLS"), "{told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

#[test]
fn a_url_with_a_path_of_certificates_shows_no_password() {
    let url = "postgres://u:geheim@h/d?sslmode=verify-full&sslrootcert=/x";
    let database = Database::parse(url).unwrap();
    assert!(!format!("{database:?} {database}").contains("geheim"));
}
