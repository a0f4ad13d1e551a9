//! `List`: a Go slice, with its element type, its window and its capacity.

use std::sync::Arc;

use super::{Value, release};

/// What a list is declared to hold; it shows in `%T` and in `%#v`.
///
/// ```
/// use colony_template::{Element, List, Value};
/// let list = List::typed(Element::Uint, vec![Value::Uint(0), Value::Uint(1)]);
/// assert_eq!(Value::from(list).type_name(), "[]uint");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// `interface{}`: values of any kind.
    #[default]
    Any,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `float64`.
    Float,
    /// `string`.
    String,
}

impl Element {
    pub(crate) fn list_type(self) -> &'static str {
        match self {
            Self::Any => "[]interface {}",
            Self::Bool => "[]bool",
            Self::Int => "[]int",
            Self::Uint => "[]uint",
            Self::Float => "[]float64",
            Self::String => "[]string",
        }
    }
}

/// A Go slice. Cloning and slicing share the items.
///
/// ```
/// use colony_template::{List, Value};
/// let list: List = [1, 2, 3].into_iter().map(Value::Int).collect();
/// assert_eq!(list.len(), 3);
/// assert_eq!(list.get(1), Some(&Value::Int(2)));
/// ```
#[derive(Clone)]
pub struct List {
    items: Arc<Items>,
    start: u32,
    len: u32,
    capacity: u32,
}

struct Items {
    values: Vec<Value>,
    element: Element,
}

impl Drop for Items {
    fn drop(&mut self) {
        if self.values.iter().any(Value::holds_values) {
            release(std::mem::take(&mut self.values).into_iter());
        }
    }
}

impl List {
    /// A list of values of any kind.
    ///
    /// ```
    /// use colony_template::{List, Value};
    /// assert_eq!(List::new(vec![Value::Nil]).len(), 1);
    /// ```
    pub fn new(values: Vec<Value>) -> Self {
        Self::typed(Element::Any, values)
    }

    /// A list that is declared to hold one kind; the caller sees to it that it does.
    ///
    /// ```
    /// use colony_template::{Element, List, Value};
    /// let words = List::typed(Element::String, vec![Value::from("a")]);
    /// assert_eq!(words.element(), Element::String);
    /// ```
    pub fn typed(element: Element, mut values: Vec<Value>) -> Self {
        values.truncate(u32::MAX as usize);
        let len = values.len() as u32;
        Self {
            items: Arc::new(Items { values, element }),
            start: 0,
            len,
            capacity: len,
        }
    }

    /// What the list is declared to hold.
    ///
    /// ```
    /// use colony_template::{Element, List};
    /// assert_eq!(List::new(Vec::new()).element(), Element::Any);
    /// ```
    pub fn element(&self) -> Element {
        self.items.element
    }

    /// The number of items.
    ///
    /// ```
    /// assert_eq!(colony_template::List::new(Vec::new()).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no items.
    ///
    /// ```
    /// assert!(colony_template::List::new(Vec::new()).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items.
    ///
    /// ```
    /// use colony_template::{List, Value};
    /// assert_eq!(List::new(vec![Value::Int(4)]).as_slice(), [Value::Int(4)]);
    /// ```
    #[inline]
    pub fn as_slice(&self) -> &[Value] {
        let start = self.start as usize;
        &self.items.values[start..start + self.len as usize]
    }

    /// One item.
    ///
    /// ```
    /// use colony_template::List;
    /// assert_eq!(List::new(Vec::new()).get(0), None);
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.as_slice().get(index)
    }

    /// The items in order.
    ///
    /// ```
    /// use colony_template::{List, Value};
    /// let list = List::new(vec![Value::Int(1), Value::Int(2)]);
    /// assert_eq!(list.iter().count(), 2);
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.as_slice().iter()
    }

    /// How far `slice` may reach: a slice of a list still sees what follows it.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The part `[low:high:max]`; the caller has checked `low <= high <= max <= capacity`.
    pub(crate) fn window(&self, low: usize, high: usize, max: usize) -> Self {
        Self {
            items: Arc::clone(&self.items),
            start: self.start + low as u32,
            len: (high - low) as u32,
            capacity: (max - low) as u32,
        }
    }

    pub(super) fn dismantle(self, pending: &mut Vec<Value>) {
        if let Some(mut items) = Arc::into_inner(self.items) {
            pending.extend(
                std::mem::take(&mut items.values)
                    .into_iter()
                    .filter(Value::holds_values),
            );
        }
    }

    pub(super) fn pair_up<'a>(
        &'a self,
        other: &'a Self,
        pending: &mut Vec<(&'a Value, &'a Value)>,
    ) -> bool {
        pending.extend(self.iter().zip(other.iter()));
        self.len == other.len
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Self::new(values.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
