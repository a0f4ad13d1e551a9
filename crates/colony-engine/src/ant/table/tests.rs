//! Orders and stops that overtake each other.

use super::*;
use colony_core::id::{Epoch, TaskId};

fn ants() -> (Ants, mpsc::Receiver<QueenMessage>) {
    let (to_ant, from_queen) = mpsc::channel(8);
    let hello = Hello {
        version: colony_wire::VERSION,
        ant_id: "ant".to_owned(),
        host: String::new(),
        methods: Vec::new(),
        tags: Vec::new(),
        capacity: 1,
        running: Vec::new(),
    };
    let ants = Ants::default();
    ants.arrive(hello, to_ant, true);
    (ants, from_queen)
}

fn order() -> Box<Order> {
    Box::new(Order {
        attempt: AttemptRef {
            task_id: TaskId::new(uuid::Uuid::from_u128(1)),
            epoch: Epoch(1),
        },
        request_id: request(),
        job_type: String::new(),
        task_type: String::new(),
        method: Method::Shell,
        phases: colony_wire::Phases::default(),
        environment: colony_wire::Environment::default(),
        working_dir: None,
        timeout_ms: 1,
        artifacts: colony_wire::ArtifactRules::default(),
        dependencies: Vec::new(),
        report_stdout: false,
        secrets: Vec::new(),
        warnings: Vec::new(),
    })
}

fn run() -> RunId {
    RunId::new(uuid::Uuid::from_u128(3))
}

fn request() -> RequestId {
    RequestId::new(uuid::Uuid::from_u128(2))
}

#[test]
fn a_stop_that_overtakes_the_order_is_kept() {
    for stop_first in [true, false] {
        let (ants, _from_queen) = ants();
        let attempt = order().attempt;
        let stop = || ants.stop("ant", attempt, "cancelled".to_owned());
        if stop_first {
            stop();
        }
        assert!(ants.assign("ant", attempt, (request(), run())));
        if !stop_first {
            stop();
        }
        let told = std::cell::Cell::new(false);
        assert_eq!(ants.start("ant", order(), || told.set(true)), Sent::Stopped);
        assert!(!told.get());
    }
}

#[test]
fn a_stop_after_the_order_follows_it() {
    let (ants, mut from_queen) = ants();
    let attempt = order().attempt;
    assert!(ants.assign("ant", attempt, (request(), run())));
    assert_eq!(ants.start("ant", order(), || {}), Sent::Started);
    ants.stop("ant", attempt, "cancelled".to_owned());
    assert!(matches!(from_queen.try_recv(), Ok(QueenMessage::Start(_))));
    assert!(matches!(
        from_queen.try_recv(),
        Ok(QueenMessage::Cancel { .. })
    ));
}
