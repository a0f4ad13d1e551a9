//! `Template`: a parsed text, ready to be rendered any number of times and from any thread.

use std::sync::{Arc, OnceLock};

use crate::analysis::{Analysis, RawReference};
use crate::code::Program;
use crate::error::Error;
use crate::exec::Machine;
use crate::functions::Functions;
use crate::limits::Limits;
use crate::text::to_utf8;
use crate::value::Value;

/// A parsed template. Cloning is cheap, and rendering changes nothing.
///
/// ```
/// use colony_template::{Functions, Limits, Template, Value};
/// let template = Template::parse("hello", "Hello {{.name}}!", &Functions::new(), &Limits::default())?;
/// let data = Value::from(serde_json::json!({"name": "ant"}));
/// assert_eq!(template.render(&data)?, "Hello ant!");
/// # Ok::<(), colony_template::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Template(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    references: Vec<RawReference>,
    analysis: OnceLock<Analysis>,
    limits: Limits,
}

impl Template {
    /// Parses a text. All that is wrong with it without data is found here: undefined functions and
    /// variables, stray or missing `{{end}}`, malformed literals.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let error = Template::parse("t", "{{if .A}}x", &Functions::new(), &Limits::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "template: t:1:3: unexpected EOF: no {{end}} for this block");
    /// ```
    pub fn parse(
        name: &str,
        text: &str,
        functions: &Functions,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let (program, references) = crate::parse::parse(name, text, functions, limits)?;
        Ok(Self(Arc::new(Inner {
            program,
            references,
            analysis: OnceLock::new(),
            limits: limits.clone(),
        })))
    }

    /// Renders with some data.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template, Value};
    /// let template = Template::parse("t", "{{.}}", &Functions::new(), &Limits::default())?;
    /// assert_eq!(template.render(&Value::Float(1e6))?, "1e+06");
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn render(&self, data: &Value) -> Result<String, Error> {
        self.render_until(data, &|| false)
    }

    /// Renders, but stops with a limit error once `stop` says so; it is asked often.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use colony_template::{Functions, Limits, Template, Value};
    /// let source = "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}";
    /// let limits = Limits { steps: u64::MAX, ..Limits::default() };
    /// let template = Template::parse("t", source, &Functions::new(), &limits)?;
    /// let deadline = Instant::now() + Duration::from_millis(20);
    /// let error = template.render_until(&Value::Nil, &|| Instant::now() > deadline).unwrap_err();
    /// assert_eq!(error.message(), "stopped by the caller");
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn render_until(&self, data: &Value, stop: &dyn Fn() -> bool) -> Result<String, Error> {
        let Partial { output, error } = self.render_partial(data, stop);
        match error {
            Some(error) => Err(error),
            None => Ok(String::from_utf8(output)
                .unwrap_or_else(|bad| to_utf8(bad.as_bytes()).into_owned())),
        }
    }

    /// Renders, and gives what was written up to an error.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template, Value};
    /// let template = Template::parse("t", "ab{{len 1}}", &Functions::new(), &Limits::default())?;
    /// let partial = template.render_partial(&Value::Nil, &|| false);
    /// assert_eq!(partial.output, b"ab");
    /// assert!(partial.error.is_some());
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn render_partial(&self, data: &Value, stop: &dyn Fn() -> bool) -> Partial {
        let (output, error) = Machine::new(&self.0.program, &self.0.limits, data, stop).run();
        Partial { output, error }
    }

    /// What the template refers to.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// let template = Template::parse("t", "{{.Branch}}", &Functions::new(), &Limits::default())?;
    /// assert!(template.analysis().data_names().contains("Branch"));
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn analysis(&self) -> &Analysis {
        self.0
            .analysis
            .get_or_init(|| Analysis::new(&self.0.references, self.source()))
    }

    /// The name that the text was parsed under.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// assert_eq!(Template::parse("t", "", &Functions::new(), &Limits::default())?.name(), "t");
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.0.program.name
    }

    /// The text that was parsed.
    ///
    /// ```
    /// use colony_template::{Functions, Limits, Template};
    /// assert_eq!(Template::parse("t", "ab", &Functions::new(), &Limits::default())?.source(), "ab");
    /// # Ok::<(), colony_template::Error>(())
    /// ```
    pub fn source(&self) -> &str {
        &self.0.program.source
    }
}

/// What a rendering wrote, and why it ended early, if it did.
///
/// ```
/// use colony_template::{Functions, Limits, Template, Value};
/// let template = Template::parse("t", "x", &Functions::new(), &Limits::default())?;
/// assert_eq!(template.render_partial(&Value::Nil, &|| false).output, b"x");
/// # Ok::<(), colony_template::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Partial {
    /// The bytes written; not always UTF-8, since a template can cut a character in two.
    pub output: Vec<u8>,
    /// The error that ended the rendering.
    pub error: Option<Error>,
}
