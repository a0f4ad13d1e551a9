//! `Analysis`: what a template refers to, found without running it.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::error::Span;
use crate::text::Text;

/// What kind of name a [`Reference`] is.
///
/// ```
/// use colony_template::{Functions, Limits, ReferenceKind, Template};
/// let template = Template::parse("t", "{{len .L}}", &Functions::new(), &Limits::default()).unwrap();
/// let kinds: Vec<_> = template.analysis().references().iter().map(|r| r.kind()).collect();
/// assert_eq!(kinds, [ReferenceKind::Function, ReferenceKind::Field]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A field of the dot: `.A.B`, or `index . "a-b"`.
    Field,
    /// A variable, perhaps with fields: `$x.A`.
    Variable,
    /// A function that is called.
    Function,
    /// A template that is run by name.
    Template,
}

/// A name that a template uses, with its place.
///
/// ```
/// use colony_template::{Functions, Limits, Template};
/// let template = Template::parse("t", "a\n{{$.Job.Name}}", &Functions::new(), &Limits::default()).unwrap();
/// let reference = &template.analysis().references()[0];
/// assert_eq!(reference.to_string(), "$.Job.Name");
/// assert_eq!((reference.line(), reference.column()), (2, 3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    kind: ReferenceKind,
    name: String,
    path: Vec<String>,
    span: Span,
    line: usize,
    column: usize,
    from_data: bool,
}

/// A reference as the parser notes it, which costs little; most templates are never analyzed.
#[derive(Clone, Debug)]
pub(crate) struct RawReference {
    pub(crate) kind: ReferenceKind,
    pub(crate) span: Span,
    /// The name with its fields.
    pub(crate) base: Span,
    /// The keys of `index` after it; for a template its name.
    pub(crate) keys: Vec<Text>,
    pub(crate) from_data: bool,
}

impl Reference {
    fn new(raw: &RawReference, source: &str) -> Self {
        let mut parts = source[raw.base.range()].split('.');
        let name = match raw.kind {
            ReferenceKind::Template => raw.keys.first().map(Text::to_string),
            _ => parts.next().map(str::to_owned),
        };
        let mut path = Vec::new();
        if raw.kind != ReferenceKind::Template {
            path.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
            path.extend(raw.keys.iter().map(Text::to_string));
        }
        Self {
            kind: raw.kind,
            name: name.unwrap_or_default(),
            path,
            span: raw.span,
            line: 0,
            column: 0,
            from_data: raw.from_data,
        }
    }

    /// What kind of name it is.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, ReferenceKind, Template};
    /// let template = Template::parse("t", "{{$}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].kind(), ReferenceKind::Variable);
    /// ```
    pub fn kind(&self) -> ReferenceKind {
        self.kind
    }

    /// The name of the variable, function, or template; empty for a field of the dot.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{$.A}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].name(), "$");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fields that are read, outermost first.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{.A.B}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].path(), ["A", "B"]);
    /// ```
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Whether the fields are surely those of the data: read through `$`, or through a dot that no
    /// block has changed.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let source = "{{.A}}{{range .L}}{{.B}}{{end}}";
    /// let template = Template::parse("t", source, &Functions::new(), &Limits::default()).unwrap();
    /// let found: Vec<bool> = template.analysis().references().iter().map(|r| r.is_from_data()).collect();
    /// assert_eq!(found, [true, true, false]);
    /// ```
    pub fn is_from_data(&self) -> bool {
        self.from_data
    }

    /// The line, from 1.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "\n\n{{.}}{{.A}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].line(), 3);
    /// ```
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "é{{.A}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].column(), 4);
    /// ```
    pub fn column(&self) -> usize {
        self.column
    }

    /// The place in the source, in bytes.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{.A}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references()[0].span(), 2..4);
    /// ```
    pub fn span(&self) -> Range<usize> {
        self.span.range()
    }
}

/// As it is written in a template.
impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.path.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

/// All that a template refers to, in the order of the source.
///
/// ```
/// use colony_template::{Functions, Limits, Template};
/// let source = r#"{{if eq .Branch "main"}}{{index . "a-b"}}{{end}}{{$.Retry}}"#;
/// let template = Template::parse("t", source, &Functions::new(), &Limits::default()).unwrap();
/// let names: Vec<&str> = template.analysis().data_names().into_iter().collect();
/// assert_eq!(names, ["Branch", "Retry", "a-b"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    references: Vec<Reference>,
}

impl Analysis {
    pub(crate) fn new(raw: &[RawReference], source: &str) -> Self {
        let mut references: Vec<Reference> =
            raw.iter().map(|raw| Reference::new(raw, source)).collect();
        references.sort_by_key(|reference| (reference.span.start, reference.span.end));
        let (mut at, mut line, mut column) = (0, 1, 1);
        for reference in &mut references {
            let start = reference.span.start as usize;
            for c in source[at..start].chars() {
                (line, column) = if c == '\n' {
                    (line + 1, 1)
                } else {
                    (line, column + 1)
                };
            }
            at = start;
            (reference.line, reference.column) = (line, column);
        }
        Self { references }
    }

    /// Every place where a name is used.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{.A}}{{.A}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().references().len(), 2);
    /// ```
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The names of the data that are surely read.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{.A.B}}{{$.C}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().data_names().into_iter().collect::<Vec<_>>(), ["A", "C"]);
    /// ```
    pub fn data_names(&self) -> BTreeSet<&str> {
        let read = self
            .references
            .iter()
            .filter(|reference| reference.from_data);
        read.filter_map(|reference| reference.path.first())
            .map(String::as_str)
            .collect()
    }

    /// The names of the functions that are called.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{len (print 1 2)}}", &Functions::new(), &Limits::default()).unwrap();
    /// assert_eq!(template.analysis().functions().into_iter().collect::<Vec<_>>(), ["len", "print"]);
    /// ```
    pub fn functions(&self) -> BTreeSet<&str> {
        let called = self
            .references
            .iter()
            .filter(|reference| reference.kind == ReferenceKind::Function);
        called.map(Reference::name).collect()
    }
}
