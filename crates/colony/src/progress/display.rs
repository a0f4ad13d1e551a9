//! The thin part that writes: notices go to the streams in the style that was chosen at the start.

use colony_core::state::JobTaskState;

use super::json;
use super::live::Live;
use super::notice::{Notice, NoticeKind};
use super::summary::Summary;
use super::text::{self, Said};
use super::tracker::Tracker;
use crate::output;

/// How notices are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines for people; on a terminal with moving ones.
    Text,
    /// One JSON object a line.
    Json,
}

/// Shows a run.
pub(crate) struct Display {
    style: Style,
    live: Option<Live>,
    /// Whether the output of tasks goes to stdout as it comes. On a terminal the moving lines show
    /// the last of it, and all of it is in the logs.
    shows_output: bool,
    color: bool,
}

impl Display {
    pub(crate) fn new(style: Style) -> Self {
        let live = style == Style::Text && output::talk_is_live();
        Self {
            style,
            live: live.then(Live::new),
            shows_output: !live || !output::data_is_terminal(),
            color: output::talk_has_color(),
        }
    }

    /// Shows what happened.
    pub(crate) fn show(&mut self, notices: &[Notice], tracker: &Tracker) {
        for notice in notices {
            match self.style {
                Style::Json => output::exact(&json::notice(notice).to_string()),
                Style::Text => self.say(notice),
            }
        }
        if let Some(live) = &mut self.live {
            live.show(tracker);
        }
    }

    fn say(&self, notice: &Notice) {
        match text::say(notice, self.color) {
            Some(Said::Output(line)) if self.shows_output => output::data(&line),
            Some(Said::Talk(line)) if !self.is_in_moving_line(notice) => self.talk(&line),
            Some(Said::Output(_) | Said::Talk(_)) | None => {}
        }
        if let NoticeKind::TaskEnded(end) = &notice.kind
            && end.state == JobTaskState::Failed
            && !self.shows_output
        {
            for line in &end.tail {
                self.talk(&format!("  | {}", output::plain(line)));
            }
        }
    }

    fn is_in_moving_line(&self, notice: &Notice) -> bool {
        self.live.is_some() && matches!(notice.kind, NoticeKind::TaskStarted { .. })
    }

    fn talk(&self, line: &str) {
        match &self.live {
            Some(live) => live.print(line),
            None => output::talk(line),
        }
    }

    /// Shows how it all ended. Nothing moves any more.
    pub(crate) fn finish(self, summary: &Summary) {
        drop(self.live);
        match self.style {
            Style::Json => output::exact(&json::summary(summary).to_string()),
            Style::Text => output::data(&summary.to_text(output::data_has_color())),
        }
    }
}
