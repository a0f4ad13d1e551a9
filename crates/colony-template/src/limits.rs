//! `Limits`: how much a template may use. Nothing in the engine grows with its input beyond them.

/// Bounds on one template and on each of its renderings. The defaults are safe for untrusted text.
///
/// ```
/// use colony_template::{Functions, Limits, Template, Value};
/// let limits = Limits { steps: 1_000, ..Limits::default() };
/// let template = Template::parse("t", "{{range 9999}}x{{end}}", &Functions::new(), &limits).unwrap();
/// let error = template.render(&Value::Nil).unwrap_err();
/// assert!(error.to_string().contains("more than 1000 steps"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the source text in bytes.
    pub source_bytes: usize,
    /// Open blocks and parentheses around one place of the source.
    pub nesting: usize,
    /// Steps of one rendering; an action takes a few.
    pub steps: u64,
    /// Length of the result in bytes.
    pub output_bytes: usize,
    /// All strings that functions make during one rendering, in bytes.
    pub text_bytes: usize,
    /// Turns of one `range`.
    pub range_items: usize,
    /// `{{template}}` calls inside of each other.
    pub template_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 1 << 20,
            nesting: 10_000,
            steps: 10_000_000,
            output_bytes: 16 << 20,
            text_bytes: 64 << 20,
            range_items: 1_000_000,
            template_depth: 100_000,
        }
    }
}

/// Which limit was reached.
///
/// ```
/// assert_eq!(colony_template::Limit::Steps.to_string(), "steps");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::source_bytes`].
    #[error("source_bytes")]
    SourceBytes,
    /// [`Limits::nesting`].
    #[error("nesting")]
    Nesting,
    /// [`Limits::steps`].
    #[error("steps")]
    Steps,
    /// [`Limits::output_bytes`].
    #[error("output_bytes")]
    OutputBytes,
    /// [`Limits::text_bytes`].
    #[error("text_bytes")]
    TextBytes,
    /// [`Limits::range_items`].
    #[error("range_items")]
    RangeItems,
    /// [`Limits::template_depth`].
    #[error("template_depth")]
    TemplateDepth,
    /// The caller's check asked to stop.
    #[error("stopped")]
    Stopped,
}
