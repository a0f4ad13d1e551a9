//! What a plan launches and in which order, and that nobody waits for more than the turns of others.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn flow(name: &str) -> Flow {
    let (org, job_type) = name.split_once('/').unwrap();
    Flow {
        org: org.to_owned(),
        job_type: job_type.to_owned(),
    }
}

fn need(tag: &str) -> Need {
    Need {
        task: "build".to_owned(),
        method: Method::Shell,
        tags: vec![tag.to_owned()],
    }
}

/// Flow, slots, and priority and set of needs of each request.
type Row<'a> = (&'a str, u32, &'a [(i64, usize)]);

/// Requests are numbered; set 0 of needs is served, set 1 is not.
fn snapshot(queues: &[Row<'_>]) -> Snapshot {
    let mut next = 0;
    let queues = queues.iter().map(|(name, slots, waiting)| Queue {
        flow: flow(name),
        closed: None,
        taken: 0,
        max_concurrency: *slots,
        is_default: false,
        waiting: waiting
            .iter()
            .map(|(priority, needs)| {
                next += 1;
                Waiting {
                    id: RequestId::new(Uuid::from_u128(next)),
                    priority: *priority,
                    needs: *needs,
                }
            })
            .collect(),
    });
    Snapshot {
        queues: queues.collect(),
        needs: vec![vec![need("linux")], vec![need("gpu")]],
        ants: vec![Ant {
            methods: [Method::Shell].into(),
            tags: ["linux".to_owned()].into(),
        }],
    }
}

fn numbers(plan: &SchedulePlan) -> Vec<u128> {
    let ids = plan.launch.iter();
    ids.map(|id| id.uuid().as_u128()).collect()
}

#[test]
fn the_order_of_launches() {
    let rows: &[(&str, &[Row<'_>], &[u128])] = &[
        (
            "priority over all keys, age inside a type",
            &[("a/x", 9, &[(5, 0), (0, 0)]), ("a/y", 9, &[(7, 0), (5, 0)])],
            &[3, 1, 4, 2],
        ),
        (
            "organizations take turns, whatever the number of their types",
            &[
                ("a/x", 9, &[(0, 0), (0, 0)]),
                ("a/y", 9, &[(0, 0), (0, 0)]),
                ("b/x", 9, &[(0, 0), (0, 0)]),
            ],
            &[1, 5, 3, 6, 2, 4],
        ),
        (
            "what no ant serves holds up nothing, not even of its type",
            &[("a/x", 9, &[(9, 1), (0, 0)]), ("b/x", 9, &[(0, 0)])],
            &[2, 3],
        ),
        (
            "a type without slots holds up no other",
            &[("a/x", 1, &[(9, 0), (9, 0)]), ("a/y", 9, &[(0, 0)])],
            &[1, 3],
        ),
    ];
    for (what, queues, expected) in rows {
        let plan = plan(&snapshot(queues), Cursor::default(), 100);
        assert_eq!(numbers(&plan), *expected, "{what}");
    }
}

#[test]
fn reasons() {
    let mut given = snapshot(&[("a/x", 1, &[(9, 1), (0, 0), (0, 0)])]);
    let made = plan(&given, Cursor::default(), 100);
    let why = |given: &Snapshot, made: &SchedulePlan, place: usize| {
        let queue = &given.queues[0];
        made.why(queue, &queue.waiting[place]).to_string()
    };
    let no_ant = "no ant offers SHELL with tags gpu, which task build needs";
    assert_eq!(why(&given, &made, 0), no_ant);
    let no_slot = "waits for a free slot: 1 of 1 in use (max_concurrency)";
    assert_eq!(why(&given, &made, 2), no_slot);
    given.queues[0].is_default = true;
    given.queues[0].max_concurrency = 3;
    let made = plan(&given, Cursor::default(), 1);
    assert_eq!(why(&given, &made, 2), "waits for its turn");
    given.queues[0].taken = 3;
    let made = plan(&given, Cursor::default(), 1);
    let no_slot = "waits for a free slot: 3 of 3 in use (max_concurrency, 3 unless set)";
    assert_eq!(why(&given, &made, 2), no_slot);
    given.queues[0].closed = Some("disabled");
    let made = plan(&given, Cursor::default(), 1);
    assert_eq!(made.launch, []);
    assert_eq!(why(&given, &made, 2), "definition x is disabled");
}

#[test]
fn turns_at_one_priority_do_not_depend_on_another() {
    // Each round launches one urgent request of `a`, and has room for one more.
    let mut cursor = Cursor::default();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let given = snapshot(&[
            ("a/x", 9, &[(9, 0)]),
            ("b/x", 9, &[(0, 0)]),
            ("c/x", 9, &[(0, 0)]),
        ]);
        let made = plan(&given, cursor, 2);
        seen.push(numbers(&made)[1]);
        cursor = made.cursor;
    }
    assert_eq!(seen, [2, 3, 2, 3]);
}

#[test]
fn fifty_thousand_of_one_type_leave_the_next_launch_to_another() {
    let many = vec![(0, 0); 50_000];
    let given = snapshot(&[("a/x", 50_000, &many), ("b/x", 1, &[(0, 0)])]);
    let made = plan(&given, Cursor::default(), 64);
    assert_eq!(numbers(&made)[..3], [1, 50_001, 2]);
    assert_eq!(made.launch.len(), 64);
}

/// For each of at most `limit` takes the place in `fronts` of the flow that gives its next task.
fn in_turn(
    fronts: &[(Flow, usize)],
    cursor: &mut Cursor,
    priority: i64,
    limit: usize,
) -> Vec<usize> {
    let mut turns = Turns::default();
    for (place, (flow, ready)) in fronts.iter().enumerate() {
        if *ready > 0 {
            turns.insert(flow.clone(), (place, *ready));
        }
    }
    let mut order = Vec::new();
    while order.len() < limit
        && let Some((flow, (place, ready))) = turns.take(cursor, priority)
    {
        order.push(place);
        if ready > 1 {
            turns.insert(flow, (place, ready - 1));
        }
    }
    order
}

#[test]
fn ready_tasks_are_taken_in_turn() {
    let fronts = ["a/x", "a/y", "b/x", "c/x"].map(flow);
    let fronts: Vec<_> = fronts.into_iter().zip([50_000, 2, 2, 0]).collect();
    let mut cursor = Cursor::default();
    assert_eq!(in_turn(&fronts, &mut cursor, 0, 5), [0, 2, 1, 2, 0]);
    assert_eq!(in_turn(&fronts, &mut cursor, 0, 3), [2, 1, 2]);
}

const FLOWS: [&str; 6] = ["a/x", "a/y", "a/z", "b/x", "b/y", "c/x"];

prop_compose! {
    fn a_snapshot()(
        queues in prop::collection::vec(
            (0..6_u32, prop::collection::vec((0..3_i64, 0..2_usize), 0..12)),
            FLOWS.len(),
        ),
    ) -> Snapshot {
        let mut queues: Vec<_> = queues;
        for (_, waiting) in &mut queues {
            waiting.sort_by_key(|(priority, _)| Reverse(*priority));
        }
        let rows: Vec<Row<'_>> = FLOWS.iter().zip(&queues)
            .map(|(name, (slots, waiting))| (*name, *slots, waiting.as_slice()))
            .collect();
        snapshot(&rows)
    }
}

/// Flow and request of each launch.
fn owners(given: &Snapshot) -> BTreeMap<RequestId, (&Queue, &Waiting)> {
    let pairs = given.queues.iter().flat_map(|queue| {
        let waiting = queue.waiting.iter();
        waiting.map(move |waiting| (waiting.id, (queue, waiting)))
    });
    pairs.collect()
}

proptest! {
    #[test]
    fn a_plan_respects_limits_and_leaves_out_nothing_that_could_run(
        given in a_snapshot(),
        limit in 0..40_usize,
    ) {
        let made = plan(&given, Cursor::default(), limit);
        let owners = owners(&given);
        let mut launched = BTreeMap::new();
        let mut last = i64::MAX;
        for id in &made.launch {
            let (queue, waiting) = owners[id];
            prop_assert!(waiting.priority <= last, "priority first");
            last = waiting.priority;
            prop_assert_eq!(waiting.needs, 0, "only what is served");
            launched.entry(&queue.flow).or_insert_with(Vec::new).push(*id);
        }
        for queue in &given.queues {
            let served = queue.waiting.iter().filter(|waiting| waiting.needs == 0);
            let served: Vec<_> = served.map(|waiting| waiting.id).collect();
            let mine = launched.remove(&queue.flow).unwrap_or_default();
            prop_assert_eq!(&served[..mine.len()], &mine[..], "best first inside a type");
            prop_assert!(mine.len() <= queue.max_concurrency as usize);
            let could = served.len().min(queue.max_concurrency as usize);
            prop_assert!(mine.len() == could || made.launch.len() == limit);
        }
    }

    /// However the work is cut into plans, an organization that waits is served after one turn of
    /// each other one, and a type after one turn of each other type of its organization.
    #[test]
    fn nobody_waits_longer_than_the_turns_of_the_others(
        ready in prop::collection::vec(1..40_usize, FLOWS.len()),
        cuts in prop::collection::vec(1..7_usize, 60),
    ) {
        let mut fronts: Vec<_> = FLOWS.map(flow).into_iter().zip(ready).collect();
        let mut cursor = Cursor::default();
        let mut waited = [0; FLOWS.len()];
        for limit in cuts {
            for place in in_turn(&fronts.clone(), &mut cursor, 0, limit) {
                fronts[place].1 -= 1;
                for (other, waited) in waited.iter_mut().enumerate() {
                    *waited = if other == place { 0 } else { *waited + 1 };
                    // Three organizations, of which one has three types.
                    prop_assert!(fronts[other].1 == 0 || *waited <= 9, "{}", FLOWS[other]);
                }
            }
        }
    }
}
