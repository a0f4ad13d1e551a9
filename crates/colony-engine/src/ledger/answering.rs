//! Whether a waiting claim may be left without an answer.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether a claim is being answered right now. The end of its wait does not cut that off: under
/// load the tasks would be taken and put back again and again.
pub(super) struct Answering(AtomicU8);

impl Answering {
    const IDLE: u8 = 0;
    const UNDER_WAY: u8 = 1;
    const OVER: u8 = 2;

    /// A claim that has just come: it gets one look at least, however short its wait is.
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Self::UNDER_WAY))
    }

    /// Somebody answers it. False when the wait is over.
    pub(super) fn begin(&self) -> bool {
        self.step(Self::IDLE, Self::UNDER_WAY) != Self::OVER
    }

    /// It goes on waiting.
    pub(super) fn rest(&self) {
        self.step(Self::UNDER_WAY, Self::IDLE);
    }

    /// The wait is over. False when an answer is under way.
    pub(super) fn end(&self) -> bool {
        self.step(Self::IDLE, Self::OVER) == Self::IDLE
    }

    /// What it was before.
    fn step(&self, from: u8, to: u8) -> u8 {
        let order = Ordering::SeqCst;
        let stepped = self.0.compare_exchange(from, to, order, order);
        stepped.unwrap_or_else(|was| was)
    }
}
