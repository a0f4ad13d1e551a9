//! A keep-alive connection that costs as little as possible.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the server.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server is up");
        stream
            .set_nodelay(true)
            .expect("a TCP stream has this option");
        Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        }
    }

    /// Sends a request below `/api/v1`; returns the body of its answer, which must be a success.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &str) -> String {
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nx-api-key: fmn_b_bench_k\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .write_all(request.as_bytes())
            .await
            .expect("the server reads");
        self.buffer.clear();
        let (mut head, mut length) = (0, usize::MAX);
        while head == 0 || self.buffer.len() < head + length {
            let read = self
                .stream
                .read_buf(&mut self.buffer)
                .await
                .expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            if head == 0
                && let Some(end) = find(&self.buffer, b"\r\n\r\n")
            {
                head = end + 4;
                length = content_length(&self.buffer[..head]);
            }
        }
        let body = String::from_utf8_lossy(&self.buffer[head..head + length]).into_owned();
        assert_eq!(self.buffer[9], b'2', "{method} {path}: {body}");
        body
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|length| length.trim().parse().ok())
        .expect("answers tell their length")
}
