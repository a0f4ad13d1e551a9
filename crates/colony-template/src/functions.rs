//! `Functions`: the names that templates may call, beyond the built-ins.

use std::collections::HashMap;

use crate::function::{Function, IntoFunction};

/// A registry of host functions. A name that is also a built-in hides the built-in.
///
/// ```
/// use colony_template::{Functions, Limits, Template, Value};
/// let mut functions = Functions::new();
/// functions.add("upper", |text: String| text.to_uppercase());
/// let template = Template::parse("t", "{{.name | upper}}", &functions, &Limits::default()).unwrap();
/// let data = Value::from(serde_json::json!({"name": "bob"}));
/// assert_eq!(template.render(&data).unwrap(), "BOB");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Functions(HashMap<String, Function>);

impl Functions {
    /// A registry without host functions; the built-ins are always there.
    ///
    /// ```
    /// assert!(colony_template::Functions::new().get("len").is_none());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function. A name that is no identifier can never be called.
    ///
    /// ```
    /// let mut functions = colony_template::Functions::new();
    /// functions.add("zero", || 0i64).add("half", |n: f64| n / 2.0);
    /// assert!(functions.get("half").is_some());
    /// ```
    pub fn add<Shape>(
        &mut self,
        name: impl Into<String>,
        function: impl IntoFunction<Shape>,
    ) -> &mut Self {
        self.0.insert(name.into(), function.into_function());
        self
    }

    /// A function by its name.
    ///
    /// ```
    /// assert!(colony_template::Functions::new().get("nope").is_none());
    /// ```
    pub fn get(&self, name: &str) -> Option<&Function> {
        self.0.get(name)
    }
}
