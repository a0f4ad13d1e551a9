//! The budget for strings that functions make.

use super::Stop;
use crate::fmt::Sink;
use crate::limits::Limit;
use crate::text::Text;
use crate::value::Value;

/// How many bytes of text functions may still make.
pub(crate) struct Texts {
    left: usize,
    limit: usize,
}

impl Texts {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    /// Lets `write` fill a string, as long as the budget lasts.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Sink)) -> Result<Value, Stop> {
        self.write_text(write).map(Value::String)
    }

    pub(crate) fn write_text(&mut self, write: impl FnOnce(&mut Sink)) -> Result<Text, Stop> {
        let mut out = Sink::new(self.left);
        write(&mut out);
        if out.is_full() {
            return Err(self.spent());
        }
        self.left -= out.len();
        Ok(Text::from(out.into_bytes()))
    }

    /// Counts a string that a host function made.
    pub(crate) fn charge(&mut self, value: &Value) -> Result<(), Stop> {
        if let Value::String(text) = value {
            self.left = self
                .left
                .checked_sub(text.len())
                .ok_or_else(|| self.spent())?;
        }
        Ok(())
    }

    fn spent(&self) -> Stop {
        Stop::Limit(
            Limit::TextBytes,
            format!("the strings made are longer than {} bytes", self.limit),
        )
    }
}
