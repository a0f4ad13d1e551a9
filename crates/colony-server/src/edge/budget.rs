//! How much memory the bodies of running calls may take.
//!
//! A call's share grows with what has arrived, so that one who announces much and sends little holds
//! nothing. There is no waiting: who finds no room is told to come again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Shares up to this may use all of the budget; larger ones leave a quarter of it to them, so that
/// large bodies do not keep small calls out.
const SMALL: usize = 64 << 10;

/// Memory for the bodies of all running calls.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    taken: AtomicUsize,
}

/// There is no room at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// What one call has taken. It goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    taken: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            taken: AtomicUsize::new(0),
        }
    }

    /// Up to where all shares may fill the budget when one of this size grows, and what that one
    /// counts for: whatever its size, a call that is alone has room.
    fn bounds(&self, size: usize) -> (usize, usize) {
        if size <= SMALL {
            return (self.bytes_max, size);
        }
        (self.bytes_max / 4 * 3, size.min(self.bytes_max / 2))
    }
}

impl Share {
    pub(crate) fn of(budget: Arc<Budget>) -> Self {
        Self { budget, taken: 0 }
    }

    /// Whether it could grow to that size now.
    pub(crate) fn has_room_for(&self, size: usize) -> bool {
        let (bound, size) = self.budget.bounds(size);
        let others = self.budget.taken.load(Ordering::Relaxed) - self.taken;
        others.saturating_add(size) <= bound
    }

    /// Makes it at least that large.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub(crate) fn grow_to(&mut self, size: usize) -> Result<(), Exhausted> {
        let (bound, size) = self.budget.bounds(size);
        let more = size.saturating_sub(self.taken);
        if more == 0 {
            return Ok(());
        }
        let add = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= bound);
        let grown = (self.budget.taken).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        grown.map_err(|_| Exhausted)?;
        self.taken += more;
        Ok(())
    }

    /// Goes back but for what that answer needs, and the rest once the answer has gone out.
    pub(crate) fn held_by(mut self, answer: Body) -> Body {
        let length = answer.size_hint().exact().unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length <= SMALL || self.taken <= SMALL {
            return answer;
        }
        self.shrink_to(length);
        Body::new(Held {
            answer,
            _share: self,
        })
    }

    fn shrink_to(&mut self, size: usize) {
        let less = self.taken.saturating_sub(size);
        self.taken -= less;
        self.budget.taken.fetch_sub(less, Ordering::Relaxed);
    }
}

/// An answer and its share.
struct Held {
    answer: Body,
    _share: Share,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.answer).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn share(budget: &Arc<Budget>) -> Share {
        Share::of(Arc::clone(budget))
    }

    #[test]
    fn shares_are_bounded_together_and_go_back() {
        let budget = Arc::new(Budget::new(16 * MIB));
        let mut first = share(&budget);
        first.grow_to(2 * MIB).unwrap();
        first.grow_to(8 * MIB).unwrap();
        let mut second = share(&budget);
        assert!(second.has_room_for(4 * MIB) && !second.has_room_for(5 * MIB));
        second.grow_to(4 * MIB).unwrap();
        assert_eq!(second.grow_to(4 * MIB + 1), Err(Exhausted));
        drop(first);
        second.grow_to(5 * MIB).unwrap();
        drop(second);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let budget = Arc::new(Budget::new(16 * MIB));
        let mut large: Vec<Share> = (0..3).map(|_| share(&budget)).collect();
        for share in &mut large {
            share.grow_to(4 * MIB).unwrap();
        }
        assert!(!share(&budget).has_room_for(SMALL + 1));
        share(&budget).grow_to(SMALL).unwrap();
    }

    #[test]
    fn a_call_that_is_alone_has_room_whatever_its_size() {
        let budget = Arc::new(Budget::new(16 * MIB));
        let mut waiting = share(&budget);
        waiting.grow_to(SMALL).unwrap();
        let mut huge = share(&budget);
        assert!(huge.has_room_for(100 * MIB));
        huge.grow_to(100 * MIB).unwrap();
        huge.grow_to(200 * MIB).unwrap();
        assert!(!share(&budget).has_room_for(100 * MIB));
    }

    #[test]
    fn a_share_lasts_as_long_as_a_large_answer() {
        let budget = Arc::new(Budget::new(16 * MIB));
        let taken = || budget.taken.load(Ordering::Relaxed);
        let mut large = share(&budget);
        large.grow_to(8 * MIB).unwrap();
        let answer = large.held_by(Body::from(vec![b' '; 2 * MIB]));
        assert_eq!(answer.size_hint().exact(), Some(2 << 20));
        assert_eq!(taken(), 2 * MIB);
        drop(answer);
        assert_eq!(taken(), 0);
        let mut large = share(&budget);
        large.grow_to(8 * MIB).unwrap();
        let _answer = large.held_by(Body::from("{}"));
        assert_eq!(taken(), 0);
    }
}
