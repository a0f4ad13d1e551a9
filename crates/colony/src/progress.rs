//! What is shown while a job runs: events in, notices out, lines on a stream at the end.
//!
//! [`Tracker`] turns events into [`Notice`]s and knows what runs now. [`text`] and [`json`] are two
//! ways to say a notice. [`Display`] is the thin part that writes, with or without a terminal.

mod cri;
mod display;
mod json;
mod live;
mod notice;
mod summary;
mod text;
mod tracker;

pub(crate) use display::{Display, Style};
pub(crate) use notice::{Notice, NoticeKind};
pub(crate) use summary::{Artifact, Summary, TaskSummary};
pub(crate) use text::duration;
pub(crate) use tracker::Tracker;
