//! What strangers, silent ones and those who send much or half of it can do to a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use colony_server::Auth;
use colony_testkit::{block_on, both_databases, wait_for_async};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{answer, raw};
use crate::kit::{DEADLINE, Kit};

const KEY: &str = "x-api-key: fmn_test_acme_secret\r\n";
const PATHS: [&str; 2] = ["/api/jobs/requests", "/api/v1/runs"];
const MIB: usize = 1 << 20;

fn head(address: SocketAddr, path: &str, more: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{more}\r\n"
    )
}

/// What a caller of that path shows.
fn credentials(kit: &Kit, path: &str) -> String {
    match (&kit.token, path) {
        (Some(token), "/api/jobs/requests") => format!("authorization: Bearer {token}\r\n"),
        (Some(_), _) => KEY.to_owned(),
        (None, _) => String::new(),
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// A connection on which that was sent.
async fn sent(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The status of the next answer on a connection that may stay open.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut line)).await;
    read.expect("an answer in time").unwrap();
    let line = std::str::from_utf8(&line).unwrap();
    line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

/// Whether the server closes the connection, with or without a word.
async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection stays open");
}

both_databases! {
    fn strangers_are_answered_from_the_head_alone(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            for path in PATHS {
                for more in ["", "authorization: Bearer wrong\r\n"] {
                    let mut stream = sent(kit.address, &head(kit.address, path, more, 1000)).await;
                    assert_eq!(status(&mut stream).await, 401, "{path}");
                }
            }
        });
    }

    /// Clients that send everything before they read see the answer, not a broken pipe.
    fn refused_bodies_are_read_to_their_end(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            for path in PATHS {
                let caller = credentials(&kit, path);
                for (more, expected) in [("", 401), (caller.as_str(), 413)] {
                    let length = 30 * MIB;
                    let more = format!("{more}connection: close\r\n");
                    let mut bytes = head(kit.address, path, &more, length).into_bytes();
                    bytes.resize(bytes.len() + length, b' ');
                    assert_eq!(raw(kit.address, &bytes).await.status, expected, "{path}");
                }
            }
        });
    }

    /// The connection can be used again when all of the refused body has come.
    fn a_connection_outlives_a_refused_body(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let text = head(kit.address, PATHS[1], "", 5);
            let mut stream = sent(kit.address, &text).await;
            assert_eq!(status(&mut stream).await, 401);
            let again = head(kit.address, "/api/v1/nothing", "connection: close\r\n", 0);
            stream.write_all(format!("12345{again}").as_bytes()).await.unwrap();
            let rest = tokio::time::timeout(DEADLINE, async {
                let mut rest = String::new();
                stream.read_to_string(&mut rest).await.unwrap();
                rest
            });
            let rest = rest.await.expect("an end in time");
            assert!(rest.contains("HTTP/1.1 404"), "{rest}");
        });
    }

    /// The client waits for leave to send: none is given, and no body is waited for.
    fn who_asks_before_the_body_is_told_no(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            for path in PATHS {
                let caller = credentials(&kit, path);
                for (more, expected) in [("", 401), (caller.as_str(), 413)] {
                    let more = format!("{more}expect: 100-continue\r\n");
                    let text = head(kit.address, path, &more, 100 * MIB);
                    let mut stream = sent(kit.address, &text).await;
                    assert_eq!(answer(&mut stream).await.status, expected, "{path}");
                }
            }
        });
    }

    fn silent_connections_keep_nobody_out(store) {
        block_on(async {
            let kit = Kit::with(&store, Auth::On, |state| {
                state.limits.connections_max = 4;
                state.limits.connections_per_address_max = 4;
            }).await;
            let get = "GET /api/v1/runs HTTP/1.1\r\nhost: x\r\n";
            let known = format!("{get}{KEY}\r\n");
            let mut first = sent(kit.address, &known).await;
            assert_eq!(status(&mut first).await, 200);
            let mut strangers = Vec::new();
            for count in 0..20 {
                let text = if count % 2 == 0 { "" } else { "POST /api/v1/runs HTTP/1.1\r\n" };
                strangers.push(sent(kit.address, text).await);
            }
            for stranger in &mut strangers[..10] {
                is_closed(stranger).await;
            }
            let mut second = sent(kit.address, &known).await;
            assert_eq!(status(&mut second).await, 200);
            // Who was recognized stays.
            first.write_all(format!("{get}{KEY}connection: close\r\n\r\n").as_bytes()).await.unwrap();
            is_closed(&mut first).await;
        });
    }

    fn over_the_bound_connections_are_closed_at_once(store) {
        block_on(async {
            let kit = Kit::with(&store, Auth::Off, |state| {
                state.limits.connections_max = 4;
                state.limits.connections_per_address_max = 2;
            }).await;
            let call = format!("GET /api/v1/runs HTTP/1.1\r\nhost: {}\r\n\r\n", kit.address);
            let mut callers = Vec::new();
            for _ in 0..2 {
                let mut stream = sent(kit.address, &call).await;
                assert_eq!(status(&mut stream).await, 200);
                callers.push(stream);
            }
            let refused = answer(&mut connect(kit.address).await).await;
            assert_eq!((refused.status, refused.headers["connection"].as_str()), (503, "close"));
            assert_eq!(refused.headers["retry-after"], "1");
            assert!(refused.json()["error"].is_string() && refused.json()["message"].is_string());
            callers.pop();
            wait_for_async(DEADLINE, async || {
                let mut stream = sent(kit.address, &call).await;
                match status(&mut stream).await {
                    200 => Ok(()),
                    other => Err(other),
                }
            }).await;
        });
    }

    fn who_says_nothing_has_to_leave(store) {
        block_on(async {
            let kit = Kit::with(&store, Auth::On, |state| {
                state.limits.head_timeout = Duration::from_millis(50);
            }).await;
            for text in ["", "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\n"] {
                is_closed(&mut sent(kit.address, text).await).await;
            }
        });
    }

    fn heads_are_bounded(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            for (bytes, expected) in [(60 << 10, 404), (80 << 10, 431)] {
                let long = "x".repeat(bytes);
                let text = format!("GET /api/v1/{long} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                let mut stream = sent(kit.address, &text).await;
                assert_eq!(status(&mut stream).await, expected, "{bytes}");
            }
        });
    }

    /// Neither half a head nor half a body holds up the end, whoever sends it.
    fn half_calls_do_not_delay_the_end(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let address = kit.address;
            let mut halves = vec![
                sent(address, "POST /api/jobs/requests HTTP/1.1\r\n").await,
                sent(address, &format!("{}{{", head(address, PATHS[1], "", 100))).await,
            ];
            assert_eq!(status(&mut halves[1]).await, 401);
            for path in PATHS {
                let text = head(address, path, &credentials(&kit, path), 100);
                halves.push(sent(address, &format!("{text}{{")).await);
            }
            // All of them have arrived: one that came later was answered.
            kit.get("/api/health").await.expect(200);
            let start = Instant::now();
            kit.stop().await;
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
            for half in &mut halves {
                is_closed(half).await;
            }
        });
    }

    fn bodies_share_a_bounded_memory(store) {
        block_on(async {
            let kit = Kit::with(&store, Auth::On, |state| {
                state.limits.bodies_bytes_max = 4 * MIB;
            }).await;
            for path in PATHS {
                // Its half counts as 2 MiB, of 3 that large bodies may take.
                let more = format!("{}expect: 100-continue\r\n", credentials(&kit, path));
                let mut first = sent(kit.address, &head(kit.address, path, &more, MIB)).await;
                assert_eq!(status(&mut first).await, 100, "it is let in");
                first.write_all(&vec![b' '; MIB / 2]).await.unwrap();
                let more = format!("{}connection: close\r\n", credentials(&kit, path));
                let mut second = head(kit.address, path, &more, MIB / 2).into_bytes();
                second.resize(second.len() + MIB / 2, b' ');
                wait_for_async(DEADLINE, async || {
                    let refused = raw(kit.address, &second).await;
                    match refused.status {
                        503 => {
                            assert_eq!(refused.headers["retry-after"], "1");
                            Ok(())
                        }
                        other => Err(other),
                    }
                }).await;
                // Small calls go on, and large ones when there is room again.
                let small = format!("{}{{}}", head(kit.address, path, &more, 2));
                let small = raw(kit.address, small.as_bytes()).await;
                assert_eq!(small.status, 400, "{}", small.text());
                drop(first);
                wait_for_async(DEADLINE, async || {
                    let served = raw(kit.address, &second).await;
                    match served.status {
                        400 => Ok(()),
                        other => Err(other),
                    }
                }).await;
            }
        });
    }
}
