//! A wire to a server that a test can cut.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon a change is noticed.
const TICK: Duration = Duration::from_millis(10);

/// What becomes of bytes and of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Everything passes.
    Whole,
    /// Connections are accepted and stay open, but nothing passes in either direction. What was
    /// swallowed does not come later: such a connection is of no use any more.
    Silent,
    /// New connections are closed at once; those that are there stay as they are.
    Closed,
}

/// What becomes of a `COMMIT` of PostgreSQL on its way, and of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It passes, and its answer too.
    Whole,
    /// It passes; the connection is cut before its answer.
    AnswerCut,
    /// It passes; nothing comes back, and the connection stays open.
    AnswerSilent,
    /// The connection is cut before it.
    RequestCut,
    /// It is swallowed, and the connection stays open.
    RequestSilent,
}

type Fates = Box<dyn FnMut() -> CommitFate + Send>;

/// Stands between a client and a server, on a port of its own.
pub struct TestProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    wire: Mutex<Wire>,
    commits: Mutex<Option<Fates>>,
    links: Mutex<Vec<[TcpStream; 2]>>,
    /// Connections with a lower number say nothing any more.
    silent_below: AtomicUsize,
    linked: AtomicUsize,
    ended: AtomicBool,
}

impl TestProxy {
    /// In front of the server that a URL names, such as `postgres://user@127.0.0.1:5432/name`.
    /// Gives the URL by way of the proxy, too.
    ///
    /// # Panics
    ///
    /// The URL names no address, or the machine has no port left.
    pub fn before(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let place = rest.split_once('/').map_or(rest, |(place, _)| place);
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let server = host.parse().expect("the URL names an address and a port");
        let proxy = Self::start(server);
        let through = rest.replacen(host, &proxy.address.to_string(), 1);
        (proxy, format!("{scheme}://{through}"))
    }

    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a test machine has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            server,
            wire: Mutex::new(Wire::Whole),
            commits: Mutex::new(None),
            links: Mutex::default(),
            silent_below: AtomicUsize::new(0),
            linked: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let inside = Arc::clone(&shared);
        let listening = Some(std::thread::spawn(move || inside.listen(&listener)));
        Self {
            address,
            shared,
            listening,
        }
    }

    /// From now on, also for connections that are open.
    pub fn set(&self, wire: Wire) {
        *lock(&self.shared.wire) = wire;
    }

    /// From now on asks what is to become of each `COMMIT` that comes by.
    pub fn at_commits(&self, fates: impl FnMut() -> CommitFate + Send + 'static) {
        *lock(&self.shared.commits) = Some(Box::new(fates));
    }

    /// On the connections that are there nothing passes any more, in either direction.
    pub fn silence(&self) {
        let linked = self.shared.linked.load(Ordering::SeqCst);
        self.shared.silent_below.store(linked, Ordering::SeqCst);
    }

    /// Closes every connection.
    pub fn cut(&self) {
        for link in lock(&self.shared.links).drain(..) {
            close(&link);
        }
    }

    /// Closes the connection that was made first among those that are open.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn cut_first(&self) {
        close(&lock(&self.shared.links).remove(0));
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the one who listens.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            drop(listening.join());
        }
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            if *lock(&self.wire) == Wire::Closed {
                continue;
            }
            if let Ok(server) = TcpStream::connect(self.server) {
                self.link(client, server);
            }
        }
    }

    fn link(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let copy = |stream: &TcpStream| stream.try_clone().expect("a test has descriptors");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("it is a TCP connection");
            let timeout = stream.set_read_timeout(Some(TICK));
            timeout.expect("the time is not zero");
        }
        lock(&self.links).push([copy(&client), copy(&server)]);
        let number = self.linked.fetch_add(1, Ordering::SeqCst);
        let fate = Arc::new(Mutex::new(CommitFate::Whole));
        for (from, to, asks) in [
            (copy(&client), copy(&server), true),
            (server, client, false),
        ] {
            let (shared, fate) = (Arc::clone(self), Arc::clone(&fate));
            std::thread::spawn(move || shared.pump((from, to), number, asks, &fate));
        }
    }

    fn pump(
        &self,
        (mut from, mut to): (TcpStream, TcpStream),
        number: usize,
        asks: bool,
        fate: &Mutex<CommitFate>,
    ) {
        let mut buffer = [0; 8192];
        let mut spoiled = false;
        while !self.ended.load(Ordering::SeqCst) {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(_) => break,
            };
            spoiled |= *lock(&self.wire) == Wire::Silent;
            spoiled |= number < self.silent_below.load(Ordering::SeqCst);
            match self.fate(&buffer[..read], asks, fate) {
                CommitFate::Whole => {}
                CommitFate::AnswerCut if asks => {}
                CommitFate::AnswerCut | CommitFate::RequestCut => break,
                CommitFate::AnswerSilent => spoiled |= !asks,
                CommitFate::RequestSilent => spoiled = true,
            }
            if !spoiled && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        close(&[from, to]);
    }
}

impl Shared {
    /// The fate of what comes by, which holds for all that follows on its connection.
    fn fate(&self, bytes: &[u8], asks: bool, fate: &Mutex<CommitFate>) -> CommitFate {
        const COMMIT: &[u8] = b"COMMIT\0";
        let mut fate = lock(fate);
        let commits = asks && bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
        if commits
            && *fate == CommitFate::Whole
            && let Some(fates) = &mut *lock(&self.commits)
        {
            *fate = fates();
        }
        *fate
    }
}

fn close(link: &[TcpStream; 2]) {
    for stream in link {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
