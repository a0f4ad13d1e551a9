//! Frames over a socket, with descriptors: length of the body, kind, body.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes of a frame before its body.
const HEADER: usize = 5;

/// No kernel starts a process with more arguments and variables than that.
const BODY_MAX: usize = 16 << 20;

/// Descriptors that go with one frame.
const DESCRIPTORS: usize = 3;

/// Read at once.
const CHUNK: usize = 16 << 10;

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Start a command: the owner's.
    Start = b'S',
    /// Ask the command's group to end.
    Soft = b'T',
    /// Kill the command's group.
    Hard = b'K',
    /// Kill everything.
    Close = b'C',
    /// The command is over: the reaper's. Its status, and whether nothing else is left.
    Exited = b'X',
    /// The command could not be started: the number of the error.
    NotStarted = b'N',
    /// What was left is killed: whether all of it is gone.
    Closed = b'E',
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Start,
            Self::Soft,
            Self::Hard,
            Self::Close,
            Self::Exited,
            Self::NotStarted,
            Self::Closed,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A message.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) body: Vec<u8>,
}

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Wire {
    /// Needs a runtime around it.
    pub(crate) fn new(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            bytes: Vec::new(),
            descriptors: VecDeque::new(),
        })
    }

    /// The next frame; none when the other end is gone. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let Self {
                stream,
                bytes,
                descriptors,
            } = self;
            let read = stream.async_io(Interest::READABLE, || receive(stream, bytes, descriptors));
            if read.await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some((header, rest)) = self.bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *header;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(kind) = Kind::of(kind).filter(|_| size <= BODY_MAX) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let Some(body) = rest.get(..size).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.bytes.drain(..HEADER + size);
        Ok(Some(Frame { kind, body }))
    }

    /// The next of the descriptors that came.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Sends a frame. Dropped half-way, the wire is of no use any more.
    pub(crate) async fn send(
        &self,
        kind: Kind,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = encode(kind, body)?;
        let stream = &self.stream;
        let first = || send_with(stream, &frame, descriptors);
        let mut sent = stream.async_io(Interest::WRITABLE, first).await?;
        while let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
            let more = || send_with(stream, rest, &[]);
            sent += stream.async_io(Interest::WRITABLE, more).await?;
        }
        Ok(())
    }

    /// Sends a short frame without waiting for room.
    pub(crate) fn send_now(&self, kind: Kind) -> io::Result<()> {
        let frame = encode(kind, &[])?;
        self.stream.try_write(&frame).map(drop)
    }

    /// Whether the other end is still there and has nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn encode(kind: Kind, body: &[u8]) -> io::Result<Vec<u8>> {
    let size = u32::try_from(body.len()).ok();
    let Some(size) = size.filter(|_| body.len() <= BODY_MAX) else {
        return Err(rustix::io::Errno::TOOBIG.into());
    };
    Ok([&size.to_le_bytes()[..], &[kind as u8], body].concat())
}

fn send_with(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL;
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags);
    Ok(sent?)
}

fn receive(
    stream: &UnixStream,
    bytes: &mut Vec<u8>,
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut chunk = [0; CHUNK];
    let mut slices = [IoSliceMut::new(&mut chunk)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(stream, &mut slices, &mut control, flags)?.bytes;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    bytes.extend_from_slice(chunk.get(..received).unwrap_or_default());
    Ok(received)
}
