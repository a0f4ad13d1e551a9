//! The two streams: data goes to stdout, talk to stderr, and nothing else prints.
//!
//! A reader that goes away (`colony list | head`) is not an error: the rest is dropped.

mod terminal;

use std::io::{IsTerminal as _, Write as _};

pub(crate) use terminal::{plain, task_line};

/// A line or more of data for people, for stdout.
pub(crate) fn data(text: &str) {
    exact(&terminal::lines(text));
}

/// A line of data for programs, such as JSON, for stdout.
pub(crate) fn exact(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: nobody has to be told.
    let _ = write_line(&mut out, text);
}

/// Exact bytes of data, for stdout.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // As above.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// A line or more for people, for stderr.
pub(crate) fn talk(text: &str) {
    let mut out = std::io::stderr().lock();
    // As above.
    let _ = write_line(&mut out, &terminal::lines(text));
}

fn write_line(out: &mut impl std::io::Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.trim_end_matches('\n').as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Whether stdout may be coloured.
pub(crate) fn data_has_color() -> bool {
    std::io::stdout().is_terminal() && color_is_wanted()
}

/// Whether stderr may be coloured.
pub(crate) fn talk_has_color() -> bool {
    std::io::stderr().is_terminal() && color_is_wanted()
}

/// Whether a display that moves the cursor can be shown on stderr.
pub(crate) fn talk_is_live() -> bool {
    std::io::stderr().is_terminal() && terminal_is_capable()
}

/// Whether people look at stdout directly.
pub(crate) fn data_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

fn color_is_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && terminal_is_capable()
}

fn terminal_is_capable() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
