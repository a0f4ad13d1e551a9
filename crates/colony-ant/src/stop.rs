//! How the loop tells a running attempt that it should not go on.

use tokio::sync::watch;

/// What the ant wants of an attempt. Later ones are stronger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Go on.
    Run,
    /// Stop the work, clean up, report that it was cancelled.
    Cancel {
        /// Why, for the log.
        reason: String,
    },
    /// Stop everything; nobody wants the report.
    Abandon {
        /// Why, for the log.
        reason: String,
    },
}

impl Wish {
    fn level(&self) -> Level {
        match self {
            Self::Run => Level::Run,
            Self::Cancel { .. } => Level::Cancel,
            Self::Abandon { .. } => Level::Abandon,
        }
    }
}

/// The strength of a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Run,
    Cancel,
    Abandon,
}

/// The loop's end: makes wishes.
#[derive(Debug)]
pub(crate) struct Wishes(watch::Sender<Wish>);

impl Wishes {
    /// Makes a wish, unless one as strong was made before.
    pub(crate) fn make(&self, wish: Wish) {
        self.0.send_if_modified(|current| {
            let stronger = wish.level() > current.level();
            if stronger {
                *current = wish;
            }
            stronger
        });
    }
}

/// The attempt's end: listens.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal(watch::Receiver<Wish>);

/// Both ends for one attempt.
pub(crate) fn channel() -> (Wishes, StopSignal) {
    let (sender, receiver) = watch::channel(Wish::Run);
    (Wishes(sender), StopSignal(receiver))
}

impl StopSignal {
    /// The strongest wish so far.
    pub(crate) fn level(&self) -> Level {
        self.0.borrow().level()
    }

    /// Waits for a wish above `level`. An ant that is gone wishes the attempt to be abandoned.
    pub(crate) async fn above(&mut self, level: Level) -> Wish {
        match self.0.wait_for(|wish| wish.level() > level).await {
            Ok(wish) => wish.clone(),
            Err(_) => Wish::Abandon {
                reason: "the ant is gone".to_owned(),
            },
        }
    }
}
