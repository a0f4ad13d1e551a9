//! An engine for tests.

use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{IdSource, MonotonicIds};
use colony_core::state::JobState;
use colony_core::time::{Clock, SystemClock};
use colony_engine::{
    Caller, Engine, EngineParts, EngineSettings, ExecutionView, SaveDefinition, Submit,
};
use colony_store::request::RequestRow;
use colony_testkit::{TestStore, wait_for_async};
use object_store::memory::InMemory;
use tokio::task::JoinSet;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Kit {
    pub(crate) engine: Engine,
    pub(crate) caller: Caller,
    pub(crate) objects: Arc<InMemory>,
    pub(crate) ids: Arc<dyn IdSource>,
    _loops: JoinSet<()>,
}

impl Kit {
    pub(crate) fn new(store: &TestStore) -> Self {
        Self::with(store, EngineSettings::default())
    }

    pub(crate) fn with(store: &TestStore, settings: EngineSettings) -> Self {
        Self::with_clock(store, settings, Arc::new(SystemClock))
    }

    pub(crate) fn with_clock(
        store: &TestStore,
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let objects = Arc::new(InMemory::new());
        let ids: Arc<dyn IdSource> = Arc::new(MonotonicIds::new(SystemClock));
        let engine = Engine::new(EngineParts {
            store: (**store).clone(),
            objects: Arc::clone(&objects) as _,
            clock,
            ids: Arc::clone(&ids),
            seed: 1,
            settings,
        });
        let loops = engine.start();
        Self {
            engine,
            caller: Caller::anonymous(),
            objects,
            ids,
            _loops: loops,
        }
    }

    pub(crate) async fn save(&self, text: &str) {
        let save = SaveDefinition {
            text: text.to_owned(),
            format: colony_spec::Format::Yaml,
        };
        self.engine
            .save_definition(&self.caller, save)
            .await
            .unwrap();
    }

    pub(crate) async fn submit(&self, job_type: &str) -> String {
        self.submit_with(Submit {
            job_type: job_type.to_owned(),
            ..Submit::default()
        })
        .await
    }

    pub(crate) async fn submit_with(&self, submit: Submit) -> String {
        self.engine
            .submit(&self.caller, submit)
            .await
            .unwrap()
            .id
            .to_string()
    }

    pub(crate) async fn request(&self, id: &str) -> RequestRow {
        self.engine.find_request(&self.caller, id).await.unwrap().0
    }

    pub(crate) async fn execution(&self, id: &str) -> ExecutionView {
        self.engine
            .find_request(&self.caller, id)
            .await
            .unwrap()
            .1
            .unwrap()
    }

    /// Waits until the request is in that state.
    pub(crate) async fn wait(&self, id: &str, state: JobState) -> RequestRow {
        wait_for_async(DEADLINE, async || {
            let request = self.request(id).await;
            if request.job_state == state {
                return Ok(request);
            }
            Err(format!(
                "{} {} {}",
                request.job_state, request.error_code, request.error_message
            ))
        })
        .await
    }

    /// The states of the execution's tasks, in the order in which they started.
    pub(crate) async fn tasks(&self, id: &str) -> String {
        let tasks = self.execution(id).await.tasks;
        let words: Vec<String> = tasks
            .iter()
            .map(|task| format!("{} {}", task.row.task_type, task.row.state))
            .collect();
        words.join(", ")
    }
}
