//! Taking turns: organizations one after another, and the job types of each one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Levels whose turns are remembered; priorities are any number.
const LEVELS_MAX: usize = 256;

/// What shares fairly: a job type of an organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The organization.
    pub org: String,
    /// The job type.
    pub job_type: String,
}

/// Whose turn was last, at each priority: passed in, and given back for the next time. A new one is
/// as good after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    levels: BTreeMap<i64, Last>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Last {
    org: Option<String>,
    job_types: BTreeMap<String, String>,
}

impl Cursor {
    /// The cursor without organizations for which nothing waits: it does not grow for ever.
    #[must_use]
    pub fn kept_for<'a>(mut self, flows: impl Iterator<Item = &'a Flow>) -> Self {
        let orgs: BTreeSet<&str> = flows.map(|flow| flow.org.as_str()).collect();
        for last in self.levels.values_mut() {
            let job_types = &mut last.job_types;
            job_types.retain(|org, _| orgs.contains(org.as_str()));
        }
        while self.levels.len() > LEVELS_MAX {
            self.levels.pop_first();
        }
        self
    }
}

/// Flows that wait at one priority, each with something of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns<T> {
    orgs: BTreeMap<String, BTreeMap<String, T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        let orgs = BTreeMap::new();
        Self { orgs }
    }
}

impl<T> Turns<T> {
    /// A flow waits.
    pub fn insert(&mut self, flow: Flow, value: T) {
        let job_types = self.orgs.entry(flow.org).or_default();
        job_types.insert(flow.job_type, value);
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.orgs.is_empty()
    }

    /// Takes out the flow whose turn it is at that priority.
    pub fn take(&mut self, cursor: &mut Cursor, priority: i64) -> Option<(Flow, T)> {
        let last = cursor.levels.entry(priority).or_default();
        let org = after(&self.orgs, last.org.as_deref())?.to_owned();
        let job_types = self.orgs.get_mut(&org)?;
        let last_type = last.job_types.get(&org).map(String::as_str);
        let job_type = after(job_types, last_type)?.to_owned();
        let value = job_types.remove(&job_type)?;
        if job_types.is_empty() {
            self.orgs.remove(&org);
        }
        last.org = Some(org.clone());
        last.job_types.insert(org.clone(), job_type.clone());
        Some((Flow { org, job_type }, value))
    }
}

/// The key that comes after `last`, round and round.
fn after<'a, T>(map: &'a BTreeMap<String, T>, last: Option<&str>) -> Option<&'a str> {
    let later = last.and_then(|last| {
        let range = (Bound::Excluded(last), Bound::Unbounded);
        map.range::<str, _>(range).next()
    });
    let (key, _) = later.or_else(|| map.first_key_value())?;
    Some(key)
}
