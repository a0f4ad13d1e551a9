//! What is kept of a command's stdout besides the log: `::set-output` lines (`job-definitions`
//! 10.6), the text for the report, and the file for the archive (10.5).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use crate::artifacts::{Content, Extra};
use crate::log::StdoutListener;

/// Text kept in memory; longer stdout goes to a file, and only this much of it into the report.
const HEAD_MAX: usize = 64 << 10;

/// Text of all names and values that one attempt may set.
const OUTPUTS_MAX: usize = 1 << 20;

/// Listens to one command.
pub(super) struct Capture {
    file: PathBuf,
    name: String,
    outputs: BTreeMap<String, String>,
    head: String,
    rest: Rest,
}

/// Whether there is more than the head.
enum Rest {
    Nothing,
    File(BufWriter<File>),
    Broken(io::Error),
}

/// What a command's stdout came to.
pub(super) struct Captured {
    pub(super) outputs: BTreeMap<String, String>,
    /// As much as a report carries.
    pub(super) text: String,
    /// None when the command wrote nothing.
    pub(super) file: Option<Extra>,
    pub(super) warning: Option<String>,
}

impl Capture {
    /// `name` is that in the archive, `file` where long stdout is kept.
    pub(super) fn new(name: String, file: PathBuf) -> Self {
        Self {
            file,
            name,
            outputs: BTreeMap::new(),
            head: String::new(),
            rest: Rest::Nothing,
        }
    }

    fn write_rest(&mut self, text: &str) {
        let written = match &mut self.rest {
            Rest::Broken(_) => return,
            Rest::File(file) => file.write_all(text.as_bytes()),
            Rest::Nothing => File::create(&self.file).and_then(|file| {
                let mut file = BufWriter::new(file);
                file.write_all(self.head.as_bytes())?;
                file.write_all(text.as_bytes())?;
                self.rest = Rest::File(file);
                Ok(())
            }),
        };
        if let Err(error) = written {
            self.rest = Rest::Broken(error);
        }
    }

    pub(super) fn finish(self) -> Captured {
        let content = match self.rest {
            Rest::Nothing => Ok(Content::Memory(self.head.clone())),
            Rest::File(mut file) => file.flush().map(|()| Content::File(self.file)),
            Rest::Broken(error) => Err(error),
        };
        let (content, warning) = match content {
            Ok(content) => (Some(content), None),
            Err(error) => {
                let warning = format!("{} could not be kept: {error}", self.name);
                (None, Some(warning))
            }
        };
        let name = self.name;
        Captured {
            outputs: self.outputs,
            file: content
                .filter(|_| !self.head.is_empty())
                .map(|content| Extra { name, content }),
            text: self.head,
            warning,
        }
    }
}

impl StdoutListener for Capture {
    fn raw_line(&mut self, line: &[u8]) {
        if let Some((name, value)) = set_output(line) {
            self.outputs.insert(name, value);
        }
    }

    fn masked_text(&mut self, text: &str) {
        if matches!(self.rest, Rest::Nothing) {
            let left = HEAD_MAX - self.head.len();
            if text.len() <= left {
                self.head.push_str(text);
                return;
            }
        }
        self.write_rest(text);
    }
}

/// Takes the values that a command set into those of the attempt. False when they are too many.
pub(super) fn merge(into: &mut BTreeMap<String, String>, new: BTreeMap<String, String>) -> bool {
    let size = |map: &BTreeMap<String, String>| -> usize {
        map.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    };
    let fits = new.is_empty() || size(into) + size(&new) <= OUTPUTS_MAX;
    if fits {
        into.extend(new);
    }
    fits
}

/// Reads `::set-output name=<K>::<V>`.
fn set_output(line: &[u8]) -> Option<(String, String)> {
    let rest = line.strip_prefix(b"::set-output name=")?;
    let rest = String::from_utf8_lossy(rest);
    let (name, value) = rest.split_once("::")?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_output_lines() {
        for (line, expected) in [
            ("::set-output name=a::b", Some(("a", "b"))),
            ("::set-output name= a ::  b c \r", Some(("a", "b c"))),
            ("::set-output name=a::", Some(("a", ""))),
            ("::set-output name=a::b::c", Some(("a", "b::c"))),
            ("::set-output name=::b", None),
            ("::set-output name=a:b", None),
            ("x ::set-output name=a::b", None),
            ("", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(set_output(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn long_stdout_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = Capture::new("n".to_owned(), dir.path().join("f"));
        let line = "x".repeat(1000);
        for _ in 0..100 {
            capture.masked_text(&line);
        }
        let captured = capture.finish();
        assert!(captured.text.len() <= HEAD_MAX && captured.text.len() > HEAD_MAX - 1000);
        let Some(Extra {
            content: Content::File(path),
            ..
        }) = captured.file
        else {
            panic!("not in a file");
        };
        assert_eq!(std::fs::read_to_string(path).unwrap(), line.repeat(100));
    }

    #[test]
    fn no_stdout_is_no_file() {
        let captured = Capture::new("n".to_owned(), PathBuf::new()).finish();
        assert!(captured.file.is_none() && captured.warning.is_none());
    }
}
