//! The render loop: tasks that have to be rendered before it is known who can do them. Those of method
//! WORKER go where workers claim them, those with templates as tags to the ants that the tags name.

use colony_core::method::Method;
use colony_core::queue_key;
use colony_core::text::with_causes;
use colony_store::queue::{self, QueuedTask};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::order::{Facts, Prepared, TaskInput};
use crate::runs::{Offer, Rendering};

/// Tasks rendered between two looks.
const BATCH: u32 = 64;

pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("render");
    loop {
        match render_waiting(&engine).await {
            Ok(0) => {
                backoff.reset();
                engine.nudges.render.notified().await;
            }
            Ok(_) => backoff.reset(),
            Err(error) => {
                tracing::error!("failed to render tasks: {}", with_causes(&error));
                backoff.pause().await;
            }
        }
    }
}

/// Renders the first tasks that wait for it. Returns how many there were.
async fn render_waiting(engine: &Engine) -> Result<usize, EngineError> {
    let loaded: Vec<(QueuedTask, Result<Facts, EngineError>)> = engine
        .store
        .read(move |tx| {
            let mut loaded = Vec::new();
            for place in queue::to_render(tx, BATCH)? {
                match Facts::load(tx, place.run_id, place.task_id) {
                    // Reading goes on after a row that cannot be read.
                    Err(error) if error.is_about_rows() => loaded.push((place, Err(error))),
                    facts => loaded.push((place, Ok(facts?))),
                }
            }
            Ok::<_, EngineError>(loaded)
        })
        .await?;
    let count = loaded.len();
    let mut offers = Vec::with_capacity(count);
    for (place, facts) in loaded {
        let subject = Subject::Task(place.task_id);
        match rendered(engine, place, facts).await {
            Ok(offer) => offers.push((subject, offer)),
            Err(error) if error.is_about_rows() => engine.give_up(subject, &error).await?,
            Err(error) => return Err(error),
        }
    }
    engine.perform_each(offers).await?;
    Ok(count)
}

async fn rendered(
    engine: &Engine,
    place: QueuedTask,
    facts: Result<Facts, EngineError>,
) -> Result<Offer, EngineError> {
    let facts = facts?;
    let compiled = engine.compiled(facts.definition_id()).await?;
    let input = TaskInput::new(facts, compiled, engine.seed());
    let outcome = match input.prepare(engine) {
        Prepared::Ended(end) => Rendering::Ended(end),
        Prepared::Rendered(rendered) => {
            let (control, changed) = rendered.control();
            let (key, shown) = match control.method {
                Method::Worker => {
                    let (key, shown) = input.offer(&rendered);
                    (key, Some(shown))
                }
                method => (queue_key::ant(method, &control.tags), None),
            };
            Rendering::Queued {
                key,
                shown,
                control: Box::new(control.clone()),
                changed,
            }
        }
    };
    Ok(Offer { place, outcome })
}
