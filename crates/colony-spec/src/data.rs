//! What templates and commands see: values of many sources, the later ones winning
//! (`job-definitions` 5.4), and the environment made of them (10.3).

mod layers;
mod reserved;
mod template;

pub use layers::{Attempt, BuiltIns, Config, Layers, value_text};
pub use reserved::is_reserved;
pub use template::TemplateData;

/// Values shorter than this are not hidden: they would blank out ordinary text (10.8).
const SECRET_CHARS_MIN: usize = 3;
