//! Lines that move: one spinner for each task that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::tracker::{Active, Tracker};
use crate::output::plain;

const FRAME: Duration = Duration::from_millis(100);

/// The moving part of a terminal.
pub(super) struct Live {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            bars: BTreeMap::new(),
        }
    }

    /// Writes a line that stays, above those that move.
    pub(super) fn print(&self, line: &str) {
        // A terminal that is gone has nobody to be told.
        let _ = self.all.println(line);
    }

    /// Shows what runs now.
    pub(super) fn show(&mut self, tracker: &Tracker) {
        let active = tracker.active();
        self.bars.retain(|task, bar| {
            let stays = active.contains_key(task);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for (task, state) in active {
            if !self.bars.contains_key(task) {
                self.bars.insert(task.clone(), self.add(task));
            }
            if let Some(bar) = self.bars.get(task) {
                bar.set_message(message(state));
            }
        }
    }

    fn add(&self, task: &str) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new_spinner());
        // The template is ours and valid; the default one is good enough, too.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(plain(task));
        bar.enable_steady_tick(FRAME);
        bar
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}

fn message(active: &Active) -> String {
    let attempt = match active.attempt {
        1 => String::new(),
        attempt => format!("attempt {attempt}  "),
    };
    if active.delayed {
        return format!("{attempt}waits for its next attempt");
    }
    let last = active
        .tail
        .back()
        .map(|line| plain(line))
        .unwrap_or_default();
    format!("{attempt}{last}")
}
