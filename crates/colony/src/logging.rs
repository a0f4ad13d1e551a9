//! The program's own log: to stderr, one line for each event.
//!
//! Events carry names, paths and messages of others. Whatever is in them, an event stays one line:
//! the one place where that is seen to is the writer.

use std::io::{self, Write};

use colony_core::text;

/// Logs to stderr, as far as the filter lets through.
pub(crate) fn start(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    // It fails only when there is one already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| OneLine(io::stderr()))
        .with_ansi(false)
        .try_init();
}

/// Takes whole events, each in one call, as the subscriber gives them.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let mut line = text::escape(line).into_owned();
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_messages_and_spans_cannot_forge_lines() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || OneLine(writer.clone()))
            .with_ansi(false)
            .finish();
        let hostile = "w1\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{202e}";
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("call", worker = %hostile).entered();
            tracing::warn!(worker = hostile, name = ?hostile, "said {hostile}");
        });
        let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!log.trim_end().contains(text::is_deceptive), "{log:?}");
        assert!(log.contains("said w1\\n2026"), "{log}");
    }
}
