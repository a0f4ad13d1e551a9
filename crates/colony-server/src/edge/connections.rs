//! Who may connect.
//!
//! Connections are bounded in all and per address. Until a call on it was recognized, a connection
//! is a stranger's, and the oldest stranger leaves when there is no room for a newcomer. So a flood of
//! silent connections keeps nobody out for longer than a call takes, and who was recognized stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Everybody who is connected.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    per_address_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    count: usize,
    strangers: BTreeMap<u64, Stranger>,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Stranger {
    address: IpAddr,
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Address {
    count: usize,
    strangers: BTreeSet<u64>,
}

/// A place for one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    connections: Arc<Connections>,
    id: u64,
    address: IpAddr,
    leave: CancellationToken,
    known: AtomicBool,
    called: AtomicBool,
    calls: AtomicUsize,
    reading: AtomicBool,
}

/// A call that is being answered.
pub(crate) struct Answering(Arc<Seat>);

impl Connections {
    /// At most so many in all and from one address.
    pub(crate) fn new((max, per_address_max): (usize, usize)) -> Self {
        Self {
            max,
            per_address_max,
            table: Mutex::default(),
        }
    }

    /// A place for a connection from there, unless everybody who could leave for it is known.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Arc<Seat>> {
        let address = network(peer);
        let mut table = self.table();
        if table.count_of(address) >= self.per_address_max {
            let oldest = table.addresses.get(&address)?.strangers.first().copied()?;
            table.evict(oldest);
        }
        if table.count >= self.max {
            let oldest = table.strangers.keys().next().copied()?;
            table.evict(oldest);
        }
        let leave = CancellationToken::new();
        Some(Arc::new(Seat {
            id: table.enter(address, leave.clone()),
            connections: Arc::clone(self),
            address,
            leave,
            known: AtomicBool::new(false),
            called: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            reading: AtomicBool::new(false),
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count_of(&self, address: IpAddr) -> usize {
        (self.addresses.get(&address)).map_or(0, |address| address.count)
    }

    fn enter(&mut self, address: IpAddr, leave: CancellationToken) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.count += 1;
        let here = self.addresses.entry(address).or_default();
        here.count += 1;
        here.strangers.insert(id);
        self.strangers.insert(id, Stranger { address, leave });
        id
    }

    /// Takes a stranger off the list, if it is one.
    fn recognize(&mut self, id: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&id)?;
        if let Some(here) = self.addresses.get_mut(&stranger.address) {
            here.strangers.remove(&id);
        }
        Some(stranger)
    }

    fn evict(&mut self, id: u64) {
        if let Some(stranger) = self.recognize(id) {
            stranger.leave.cancel();
            self.leave(stranger.address);
        }
    }

    fn leave(&mut self, address: IpAddr) {
        self.count -= 1;
        if let Some(here) = self.addresses.get_mut(&address) {
            here.count -= 1;
            if here.count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Seat {
    /// Its caller was recognized: it is no stranger's any more.
    pub(crate) fn recognize(&self) {
        if !self.known.load(Ordering::Relaxed) {
            let stranger = self.connections.table().recognize(self.id);
            // One that was told to leave stays a stranger.
            self.known.store(stranger.is_some(), Ordering::Relaxed);
        }
    }

    /// Resolves when it has to be given to another.
    pub(crate) async fn taken_away(&self) {
        self.leave.cancelled().await;
    }

    /// A call begins.
    pub(crate) fn answer(self: &Arc<Self>) -> Answering {
        self.called.store(true, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Whether there was a call on it.
    pub(crate) fn was_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for more of a body.
    pub(crate) fn set_reading(&self, reading: bool) {
        self.reading.store(reading, Ordering::Relaxed);
    }

    /// Whether nothing is being done for it: there is no call, or its body is still missing.
    pub(crate) fn is_waiting(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0 || self.reading.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        let is_counted = self.known.load(Ordering::Relaxed) || table.recognize(self.id).is_some();
        if is_counted {
            table.leave(self.address);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one address: whoever has one of IPv6 has its whole network.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, per_address_max: usize) -> Arc<Connections> {
        Arc::new(Connections::new((max, per_address_max)))
    }

    fn from(connections: &Arc<Connections>, address: &str) -> Option<Arc<Seat>> {
        connections.admit(address.parse().unwrap())
    }

    #[test]
    fn the_oldest_stranger_leaves_for_a_newcomer() {
        let all = connections(3, 3);
        let seats: Vec<_> = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|address| from(&all, address).unwrap())
            .into();
        seats[0].recognize();
        let newcomer = from(&all, "10.0.0.4").unwrap();
        let left: Vec<bool> = seats.iter().map(|seat| seat.leave.is_cancelled()).collect();
        assert_eq!(left, [false, true, false]);
        // Too late: its place is given away.
        seats[1].recognize();
        seats[2].recognize();
        newcomer.recognize();
        assert!(from(&all, "10.0.0.5").is_none());
        drop(seats);
        assert_eq!(all.table().count, 1);
        drop(newcomer);
        let table = all.table();
        assert!(table.addresses.is_empty() && table.strangers.is_empty() && table.count == 0);
    }

    #[test]
    fn one_address_does_not_take_all() {
        let all = connections(10, 2);
        let first = from(&all, "10.0.0.1").unwrap();
        let second = from(&all, "::ffff:10.0.0.1").unwrap();
        second.recognize();
        let third = from(&all, "10.0.0.1").unwrap();
        assert!(first.leave.is_cancelled() && !third.leave.is_cancelled());
        third.recognize();
        assert!(from(&all, "10.0.0.1").is_none());
        assert!(from(&all, "10.0.0.2").is_some());
        drop(third);
        assert!(from(&all, "10.0.0.1").is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let all = connections(10, 1);
        let first = from(&all, "2001:db8::1").unwrap();
        first.recognize();
        assert!(from(&all, "2001:db8::ffff:2").is_none());
        assert!(from(&all, "2001:db8:0:1::1").is_some());
    }
}
