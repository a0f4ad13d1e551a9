//! docs/jobs-api.md, "Who may call", for both APIs.

use std::io::Write as _;
use std::net::TcpStream;

use super::{JSON, Site, YAML, says};
use crate::http::{Answer, call, raw};
use crate::kit::{Home, Queen, also_on_postgres};

also_on_postgres! {
    with_a_token
    with_auth_off
    heads_and_bodies
}

const PATHS: [&str; 2] = ["/api/jobs/requests", "/api/v1/runs"];
const BODY: &[u8] = b"{\"job_type\":\"nosuch\",\"inputData\":1}";

/// Who is let in is answered by what the call is about.
fn is_let_in(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 201 | 404)
}

#[test]
fn with_a_token() {
    let site = Site::start(&["--no-ant"]);
    let address = site.queen.address().to_owned();
    let own = format!("http://{address}");
    for (path, shown) in PATHS.iter().zip([&site.token, &site.key]) {
        let post = |more: &[(&str, &str)]| {
            let mut headers = vec![JSON, ("authorization", shown.as_str())];
            headers.extend(more);
            site.bare("POST", path, &headers, BODY)
        };
        says!("without Origin", is_let_in(&post(&[])), post(&[]));
        says!(
            "Origin: the server's own (Host with its port)",
            is_let_in(&post(&[("origin", &own)])),
            own
        );
        for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
            let answer = post(&[("origin", foreign)]);
            says!("else 403", answer.status == 403, (path, foreign, answer));
        }
        let get = |more: &[(&str, &str)]| {
            let mut headers = vec![("authorization", shown.as_str())];
            headers.extend(more);
            site.bare("GET", path, &headers, b"")
        };
        let answer = get(&[("origin", "https://evil.example")]);
        says!(
            "only when the call may change something",
            is_let_in(&answer),
            answer
        );
        let answer = get(&[("host", "anything.example")]);
        says!("Host: any", is_let_in(&answer), answer);
    }
    // With a token any content type will do in the Jobs API; the Runs API takes JSON alone.
    let headers = [
        ("authorization", site.token.as_str()),
        ("content-type", "text/plain"),
    ];
    let answer = site.bare("POST", PATHS[0], &headers, BODY);
    says!("content type of a body: any", answer.status == 404, answer);
}

#[test]
fn with_auth_off() {
    let home = Home::new();
    home.write(
        "colony.toml",
        "[http]\nhosts = ['colony.example']\n[runs_api]\ncors_origins = ['https://app.example']\n",
    );
    let queen = Queen::start(&home, &["--no-ant", "--auth", "off"]);
    let address = queen.address().to_owned();
    let port = address.rsplit(':').next().unwrap();
    for path in PATHS {
        let post = |more: &[(&str, &str)]| {
            let mut headers = vec![JSON];
            headers.extend(more);
            call(&address, "POST", path, &headers, BODY)
        };
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "colony.example",
            "127.9.9.9",
        ] {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                let answer = post(&[("host", &host)]);
                says!(
                    "localhost, a loopback address, or a name in http.hosts",
                    is_let_in(&answer),
                    (path, host, answer)
                );
            }
        }
        for host in ["evil.example", "10.0.0.1", "localhost.evil.example"] {
            let answer = post(&[("host", host)]);
            says!("else 403", answer.status == 403, (path, host, answer));
        }
        for origin in [
            "https://app.example",
            "https://colony.example",
            "http://colony.example:8080",
        ] {
            let answer = post(&[("origin", origin)]);
            says!(
                "a name in http.hosts, or listed in cors_origins",
                is_let_in(&answer),
                (path, origin, answer)
            );
        }
        let answer = post(&[("origin", "https://evil.example")]);
        says!("Origin: else 403", answer.status == 403, answer);
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            let answer = call(&address, "POST", path, &[("content-type", kind)], BODY);
            says!(
                "content type: else 400",
                answer.status == 400,
                (path, kind, answer)
            );
        }
        let answer = call(&address, "POST", path, &[], BODY);
        says!("content type: none", is_let_in(&answer), answer);
    }
    let job = b"job_type: x\ntasks:\n- task_type: a\n  method: SHELL\n";
    let answer = call(&address, "POST", "/api/jobs/definitions", &[YAML], job);
    says!("content type: YAML", answer.status == 201, answer);
}

#[test]
fn heads_and_bodies() {
    let site = Site::start(&["--no-ant"]);
    let address = site.queen.address();
    for path in PATHS {
        let head = |bytes: usize| {
            let start = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
            let mut head = start.into_bytes();
            // Many headers: one alone may have a bound of its own.
            while head.len() < bytes {
                head.extend_from_slice(
                    format!("x-{}: {}\r\n", head.len(), "y".repeat(1000)).as_bytes(),
                );
            }
            head.extend_from_slice(b"\r\n");
            raw(address, &head).status
        };
        says!(
            "a head of 64 KiB, else 431",
            head(60 << 10) == 401,
            head(60 << 10)
        );
        says!(
            "a head of 64 KiB, else 431",
            head(70 << 10) == 431,
            head(70 << 10)
        );
    }
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        PATHS[1], site.key
    );
    stream.write_all(head.as_bytes()).unwrap();
    let begun = std::time::Instant::now();
    site.queen.stop();
    says!(
        "what is not completely sent within 1 s is cut off",
        begun.elapsed().as_secs() < 8,
        begun.elapsed()
    );
    drop(stream);
}
