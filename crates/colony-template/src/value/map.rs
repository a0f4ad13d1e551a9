//! `Map`: a Go `map[string]interface{}`, kept in key order.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use super::{Value, release};
use crate::text::Text;

/// A map from strings to values, in key order. Cloning shares the entries.
///
/// ```
/// use colony_template::{Map, Value};
/// let mut map = Map::default();
/// map.insert("b", 2);
/// map.insert("a", "one");
/// assert_eq!(Value::from(map).to_string(), "map[a:one b:2]");
/// ```
#[derive(Clone, Default)]
pub struct Map(Arc<Entries>);

#[derive(Clone, Default)]
struct Entries(BTreeMap<Text, Value>);

impl Drop for Entries {
    fn drop(&mut self) {
        if self.0.values().any(Value::holds_values) {
            release(std::mem::take(&mut self.0).into_values());
        }
    }
}

impl Map {
    /// Sets the value of a key.
    ///
    /// ```
    /// let mut map = colony_template::Map::default();
    /// map.insert("key", true);
    /// assert!(map.contains_key("key"));
    /// ```
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        Arc::make_mut(&mut self.0)
            .0
            .insert(key.into(), value.into());
    }

    /// The value of a key.
    ///
    /// ```
    /// assert_eq!(colony_template::Map::default().get("key"), None);
    /// ```
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.get_bytes(key.as_bytes())
    }

    pub(crate) fn get_bytes(&self, key: &[u8]) -> Option<&Value> {
        self.0.0.get(key)
    }

    /// Whether there is such a key.
    ///
    /// ```
    /// assert!(!colony_template::Map::default().contains_key("key"));
    /// ```
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The number of entries.
    ///
    /// ```
    /// assert_eq!(colony_template::Map::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.0.0.len()
    }

    /// Whether there are no entries.
    ///
    /// ```
    /// assert!(colony_template::Map::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// The entries in key order.
    ///
    /// ```
    /// use colony_template::{Map, Value};
    /// let map: Map = [("b", Value::Int(1)), ("a", Value::Int(2))].into_iter().collect();
    /// let keys: Vec<String> = map.iter().map(|(key, _)| key.to_string()).collect();
    /// assert_eq!(keys, ["a", "b"]);
    /// ```
    pub fn iter(&self) -> btree_map::Iter<'_, Text, Value> {
        self.0.0.iter()
    }

    /// The first entry whose key comes after `key`; lets a loop walk a map that it does not borrow.
    pub(crate) fn next_after(&self, key: Option<&Text>) -> Option<(&Text, &Value)> {
        use std::ops::Bound;
        match key {
            None => self.0.0.iter().next(),
            Some(key) => self
                .0
                .0
                .range::<[u8], _>((Bound::Excluded(key.as_bytes()), Bound::Unbounded))
                .next(),
        }
    }

    pub(super) fn dismantle(self, pending: &mut Vec<Value>) {
        if let Some(mut entries) = Arc::into_inner(self.0) {
            pending.extend(
                std::mem::take(&mut entries.0)
                    .into_values()
                    .filter(Value::holds_values),
            );
        }
    }

    pub(super) fn pair_up<'a>(
        &'a self,
        other: &'a Self,
        pending: &mut Vec<(&'a Value, &'a Value)>,
    ) -> bool {
        pending.extend(self.0.0.values().zip(other.0.0.values()));
        self.len() == other.len() && self.0.0.keys().eq(other.0.0.keys())
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Self(Arc::new(Entries(entries.collect())))
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Text, &'a Value);
    type IntoIter = btree_map::Iter<'a, Text, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
