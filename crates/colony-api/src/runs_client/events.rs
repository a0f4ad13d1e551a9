//! Following a run: server-sent events, read from the answer as they arrive.

use bytes::{Buf as _, BytesMut};
use reqwest::Response;

use super::{ClientError, parse};
use crate::runs::{Run, Task};

/// The events of a run, as long as the connection holds.
#[derive(Debug)]
pub struct Events {
    response: Response,
    buffer: BytesMut,
}

/// A change of a run or of one of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where to resume after it.
    pub id: String,
    /// What changed.
    pub kind: EventKind,
}

/// What changed, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// The run.
    Run(Box<Run>),
    /// A task of it.
    Task(Box<Task>),
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self {
            response,
            buffer: BytesMut::new(),
        }
    }

    /// The next event; none when the server has ended the stream. It may come twice after a break.
    ///
    /// # Errors
    ///
    /// The connection broke, or the server speaks otherwise.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(block) = take_block(&mut self.buffer) {
                if let Some(event) = read_block(&block)? {
                    return Ok(Some(event));
                }
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// The lines before the first empty one.
fn take_block(buffer: &mut BytesMut) -> Option<BytesMut> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block = buffer.split_to(end);
    buffer.advance(2);
    Some(block)
}

/// One event. Comments, and kinds that a later server may send, are none.
fn read_block(block: &[u8]) -> Result<Option<Event>, ClientError> {
    let (mut id, mut name, mut data) = (&b""[..], &b""[..], &b""[..]);
    for line in block.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let field = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"id" => id = value,
            b"event" => name = value,
            b"data" => data = value,
            _ => {}
        }
    }
    let kind = match name {
        b"run" => EventKind::Run(parse(data).map_err(ClientError::Unexpected)?),
        b"task" => EventKind::Task(parse(data).map_err(ClientError::Unexpected)?),
        _ => return Ok(None),
    };
    let id = String::from_utf8_lossy(id).into_owned();
    Ok(Some(Event { id, kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"id":"r","orgId":"o","status":"running","inputData":null,"metadata":null,"totalTasks":0,"completedTasks":0,"failedTasks":0,"createdAt":1,"updatedAt":1}"#;

    #[test]
    fn events_are_cut_out_of_whatever_arrives() {
        let text = format!(": still here\n\nid: 7\nevent: run\ndata: {RUN}\n\nid: 8\nevent: r");
        let mut buffer = BytesMut::from(&text[..]);
        let blocks: Vec<_> = std::iter::from_fn(|| take_block(&mut buffer)).collect();
        assert_eq!(blocks.len(), 2);
        assert_eq!(&buffer[..], b"id: 8\nevent: r");
        assert_eq!(read_block(&blocks[0]).unwrap(), None);
        let event = read_block(&blocks[1]).unwrap().unwrap();
        assert_eq!(event.id, "7");
        assert!(matches!(event.kind, EventKind::Run(run) if run.id == "r"));
    }

    #[test]
    fn what_is_unknown_is_left_out_and_what_is_broken_is_an_error() {
        assert_eq!(read_block(b"event: more\ndata: 1").unwrap(), None);
        assert!(read_block(b"event: task\ndata: {").is_err());
    }
}
