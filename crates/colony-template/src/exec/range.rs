//! Loops.

use super::machine::{Frame, Machine, Stop};
use super::{Binding, Operand};
use crate::code::Index;
use crate::limits::Limit;
use crate::text::Text;
use crate::value::{Element, List, Map, Value};

/// A loop that is running.
pub(super) struct Loop {
    items: Items,
    turns: usize,
    site: Index,
    /// The operation that begins a turn.
    next: usize,
    /// How many variables there are at the beginning of a turn.
    variables: usize,
    /// The dot around the loop.
    dot: Binding,
}

/// What a loop goes over.
enum Items {
    Numbers { end: Value },
    List(List),
    Map { map: Map, last: Option<Text> },
}

impl Items {
    fn new(value: Operand) -> Result<Option<Self>, Stop> {
        Ok(match value {
            None | Some(Value::Nil) => None,
            Some(Value::List(list)) => Some(Self::List(list)).filter(|items| !items.is_empty()),
            Some(Value::Map(map)) => {
                Some(Self::Map { map, last: None }).filter(|items| !items.is_empty())
            }
            Some(end) if end.integer().is_some() => {
                Some(Self::Numbers { end }).filter(|items| !items.is_empty())
            }
            Some(other) => {
                return Err(Stop::Failed(format!(
                    "range can't iterate over a value of type {}",
                    other.type_name()
                )));
            }
        })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Numbers { end } => end.integer().is_none_or(|end| end <= 0),
            Self::List(list) => list.is_empty(),
            Self::Map { map, .. } => map.is_empty(),
        }
    }

    /// Whether the items are `interface{}` values.
    fn boxed(&self) -> bool {
        match self {
            Self::Numbers { .. } => false,
            Self::List(list) => list.element() == Element::Any,
            Self::Map { .. } => true,
        }
    }

    /// The key and the item of a turn.
    fn next(&mut self, turn: usize) -> Option<(Operand, Value)> {
        match self {
            Self::Numbers { end } => {
                let item = turn as i128;
                (item < end.integer()?).then(|| (None, same_kind(end, item)))
            }
            Self::List(list) => list
                .get(turn)
                .map(|item| (Some(Value::Int(turn as i64)), item.clone())),
            Self::Map { map, last } => {
                let (key, item) = map.next_after(last.as_ref())?;
                let (key, item) = (key.clone(), item.clone());
                *last = Some(key.clone());
                Some((Some(Value::String(key)), item))
            }
        }
    }
}

/// A number of the same type as another.
fn same_kind(model: &Value, number: i128) -> Value {
    match model {
        Value::Int64(_) => Value::Int64(number as i64),
        Value::Uint(_) => Value::Uint(number as u64),
        Value::Byte(_) => Value::Byte(number as u8),
        _ => Value::Int(number as i64),
    }
}

impl Machine<'_> {
    pub(super) fn range_start(&mut self, index: Index) -> Result<(), Stop> {
        let site = &self.program.ranges[index as usize];
        let value = self.pop();
        if site.variables.len() > 1
            && value
                .as_ref()
                .is_some_and(|value| value.integer().is_some())
        {
            return Err(Stop::Failed(
                "can't use an integer to iterate over more than one variable".to_owned(),
            ));
        }
        let Some(items) = Items::new(value)? else {
            self.at = site.otherwise as usize;
            return Ok(());
        };
        self.frames.push(Frame::Loop(Loop {
            items,
            turns: 0,
            site: index,
            next: self.at,
            variables: self.variables.len(),
            dot: self.dot.clone(),
        }));
        Ok(())
    }

    pub(super) fn range_next(&mut self) -> Result<(), Stop> {
        let Some(Frame::Loop(running)) = self.frames.last_mut() else {
            return Ok(());
        };
        let Some((key, item)) = running.items.next(running.turns) else {
            self.break_loop();
            return Ok(());
        };
        running.turns += 1;
        if running.turns > self.limits.range_items {
            let message = format!("more than {} turns of one range", self.limits.range_items);
            return Err(Stop::Limit(Limit::RangeItems, message));
        }
        let item = Binding {
            value: Some(item),
            boxed: running.items.boxed(),
        };
        let (variables, site) = (running.variables, running.site);
        self.variables.truncate(variables);
        self.dot = item.clone();
        self.set_loop_variables(site, Binding::new(key), item)
    }

    fn set_loop_variables(&mut self, site: Index, key: Binding, item: Binding) -> Result<(), Stop> {
        let site = &self.program.ranges[site as usize];
        let len = self.variables.len();
        match (&site.variables[..], site.assigns) {
            ([first, second, ..], true) => {
                self.assign(*first, key)?;
                self.assign(*second, item)?;
            }
            ([only], true) => self.assign(*only, item)?,
            ([_, _, ..], false) => {
                self.variables[len - 1].1 = item;
                self.variables[len - 2].1 = key;
            }
            ([_], false) => self.variables[len - 1].1 = item,
            ([], _) => {}
        }
        Ok(())
    }

    /// Ends the innermost loop, and the blocks inside of it.
    pub(super) fn break_loop(&mut self) {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Loop(running) = frame {
                self.dot = running.dot;
                self.at = self.program.ranges[running.site as usize].exit as usize;
                return;
            }
        }
    }

    /// Ends the blocks inside of the innermost loop, and goes to its next turn.
    pub(super) fn continue_loop(&mut self) {
        while let Some(frame) = self.frames.last() {
            if let Frame::Loop(running) = frame {
                self.at = running.next;
                return;
            }
            self.frames.pop();
        }
    }
}
