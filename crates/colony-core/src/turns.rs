//! Fair shares: who is next when many wait for the same.
//!
//! Flows (an organization and a job, as `organization/job`) take turns: organizations first, and
//! within an organization its jobs, so that neither one with many tasks nor one with many jobs gets
//! more than its share. Within a flow the order stays as it is.

use std::collections::{BTreeMap, VecDeque};

/// All items of some flows in the order of their turns. `last` is the flow that had the last turn.
pub fn take_turns<T>(flows: BTreeMap<String, VecDeque<T>>, last: &str) -> Vec<T> {
    let mut owners: BTreeMap<String, BTreeMap<String, VecDeque<T>>> = BTreeMap::new();
    for (flow, items) in flows {
        let jobs = owners.entry(owner(&flow).to_owned()).or_default();
        jobs.insert(flow, items);
    }
    let shares = owners.into_iter().map(|(owner, jobs)| {
        let items = round(jobs, last);
        (owner, VecDeque::from(items))
    });
    round(shares.collect(), owner(last))
}

fn owner(flow: &str) -> &str {
    flow.split_once('/').map_or(flow, |(owner, _)| owner)
}

/// One of each in turn, those after `last` first.
fn round<T>(flows: BTreeMap<String, VecDeque<T>>, last: &str) -> Vec<T> {
    let total = flows.values().map(VecDeque::len).sum();
    let (mut queue, mut before): (VecDeque<_>, VecDeque<_>) = (VecDeque::new(), VecDeque::new());
    for (flow, items) in flows {
        match flow.as_str() > last {
            true => queue.push_back(items),
            false => before.push_back(items),
        }
    }
    queue.append(&mut before);
    let mut taken = Vec::with_capacity(total);
    while let Some(mut items) = queue.pop_front() {
        if let Some(item) = items.pop_front() {
            taken.push(item);
            queue.push_back(items);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(of: &[(&str, usize)]) -> BTreeMap<String, VecDeque<String>> {
        let items = |flow: &str, count: usize| (0..count).map(|n| format!("{flow}{n}")).collect();
        of.iter()
            .map(|(flow, count)| ((*flow).to_owned(), items(flow, *count)))
            .collect()
    }

    #[test]
    fn organizations_share_whatever_number_of_jobs_they_have() {
        let waiting = flows(&[("a/x", 3), ("a/y", 3), ("b/z", 2)]);
        let order = take_turns(waiting, "");
        let expected = [
            "a/x0", "b/z0", "a/y0", "b/z1", "a/x1", "a/y1", "a/x2", "a/y2",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn the_turn_goes_on_after_the_last_one() {
        let order = take_turns(flows(&[("a/x", 1), ("a/y", 1), ("b/z", 1)]), "a/x");
        assert_eq!(order, ["b/z0", "a/y0", "a/x0"]);
        let order = take_turns(flows(&[("a/x", 2)]), "a/x");
        assert_eq!(order, ["a/x0", "a/x1"]);
    }

    #[test]
    fn one_who_waits_gets_a_turn_in_each_round() {
        let waiting = flows(&[("a/x", 50_000), ("b/y", 1)]);
        let order = take_turns(waiting, "a/w");
        assert_eq!(order.iter().position(|item| item == "b/y0"), Some(0));
        assert_eq!(order.len(), 50_001);
    }
}
