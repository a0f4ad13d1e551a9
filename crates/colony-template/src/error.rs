//! `Error`: what went wrong, in which template, and where in its source.

use std::fmt;
use std::ops::Range;

use crate::limits::Limit;

mod excerpt;

/// What kind of failure it was.
///
/// ```
/// use colony_template::{ErrorKind, Functions, Limits, Template};
/// let error = Template::parse("t", "{{nope}}", &Functions::new(), &Limits::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Parse);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not a template.
    Parse,
    /// The template failed on this data.
    Exec,
    /// A limit was reached.
    Limit(Limit),
}

/// A failure of parsing or of rendering, worded as Go words it.
///
/// ```
/// use colony_template::{Functions, Limits, Template, Value};
/// let template = Template::parse("job", "a\n {{len 3}}", &Functions::new(), &Limits::default()).unwrap();
/// let error = template.render(&Value::Nil).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"template: job:2:4: executing "job" at <len 3>: error calling len: len of type int"#,
/// );
/// assert_eq!((error.line(), error.column(), error.span()), (2, 4, 5..10));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    kind: ErrorKind,
    template: String,
    /// For failures of rendering: the template that was running, and the source at the place.
    running: Option<(String, String)>,
    line: usize,
    column: usize,
    span: Range<usize>,
    message: String,
}

impl Error {
    /// What kind of failure it was.
    ///
    /// ```
    /// use colony_template::{ErrorKind, Functions, Limit, Limits, Template};
    /// let limits = Limits { source_bytes: 3, ..Limits::default() };
    /// let error = Template::parse("t", "long text", &Functions::new(), &limits).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Limit(Limit::SourceBytes));
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the text did not become a template; otherwise its rendering failed.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "{{end}}", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert!(error.is_parse());
    /// ```
    pub fn is_parse(&self) -> bool {
        self.0.running.is_none()
    }

    /// The name that the source was parsed under.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("job", "{{", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.template(), "job");
    /// ```
    pub fn template(&self) -> &str {
        &self.0.template
    }

    /// The line, from 1.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "\n{{nope}}", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.line(), 2);
    /// ```
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "é{{nope}}", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.column(), 4);
    /// ```
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The place in the source, in bytes.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "{{nope}}", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.span(), 2..6);
    /// ```
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// The cause alone, without the place.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "{{nope}}", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.message(), r#"function "nope" not defined"#);
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The error with the source line that it is about and a mark under the place.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let source = "image: {{.Image}}\nname: {{nope}}\n";
    /// let error = Template::parse("job", source, &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.excerpt(source), "\
    /// template: job:2:9: function \"nope\" not defined
    ///   |
    /// 2 | name: {{nope}}
    ///   |         ^^^^
    /// ");
    /// ```
    pub fn excerpt(&self, source: &str) -> String {
        excerpt::excerpt(self, source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            template,
            line,
            column,
            message,
            running,
            ..
        } = &*self.0;
        write!(f, "template: {template}:{line}:{column}: ")?;
        if let Some((name, context)) = running {
            write!(f, "executing {name:?} at <{context}>: ")?;
        }
        f.write_str(message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// A place in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// From the start of this to the end of the other.
    pub(crate) fn to(self, other: Self) -> Self {
        Self {
            start: self.start,
            end: other.end.max(self.end),
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A failure before the name and the source are known to it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) span: Span,
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// How much of the source a message quotes.
const CONTEXT_CHARS_MAX: usize = 80;

impl Fault {
    pub(crate) fn parse(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            kind: ErrorKind::Parse,
            message: message.into(),
        }
    }

    pub(crate) fn exec(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            kind: ErrorKind::Exec,
            message: message.into(),
        }
    }

    pub(crate) fn limit(span: Span, limit: Limit, message: impl Into<String>) -> Self {
        Self {
            span,
            kind: ErrorKind::Limit(limit),
            message: message.into(),
        }
    }

    /// The full error; `running` names the template that was being executed.
    pub(crate) fn locate(self, template: &str, source: &str, running: Option<&str>) -> Error {
        let span = self.span.range();
        let before = source.get(..span.start).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let context = || shortened(source.get(span.clone()).unwrap_or(""));
        Error(Box::new(Details {
            kind: self.kind,
            template: template.to_owned(),
            running: running.map(|name| (name.to_owned(), context())),
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
            span,
            message: self.message,
        }))
    }
}

/// A piece of source on one line and of bounded length.
fn shortened(source: &str) -> String {
    let mut words = source.split_whitespace();
    let mut text = words.next().unwrap_or("").to_owned();
    for word in words {
        if text.len() > CONTEXT_CHARS_MAX {
            break;
        }
        text.push(' ');
        text.push_str(word);
    }
    if text.chars().count() > CONTEXT_CHARS_MAX {
        text = text.chars().take(CONTEXT_CHARS_MAX).collect();
        text.push('…');
    }
    text
}
