//! A walk through the documents: what they state is held against a running queen, on both
//! databases. Each test is a section of a document, in its order, and its checks quote it.
//!
//! What has tests of its own elsewhere is not repeated: the table "Not carried out yet"
//! (`colony-spec`), every setting (`settings.rs`), budgets and floods (`colony-server`).

mod bounds;
mod command_line;
mod jobs_api;
mod jobs_lists;
mod queue;
mod runs_api;
mod security;
mod who_may_call;
mod workers;

use colony_testkit::wait_for;
use serde_json::{Value, json};

use crate::http::{Answer, call};
use crate::kit::{Home, PATIENCE, Queen};

/// Checks what a document states.
macro_rules! says {
    ($statement:literal, $holds:expr, $seen:expr) => {
        assert!($holds, "not true: {}\n{:#?}", $statement, $seen);
    };
}
use says;

const JSON: (&str, &str) = ("content-type", "application/json");
const YAML: (&str, &str) = ("content-type", "application/yaml");

/// The definition with which both documents begin.
const REPORT: &str = "\
job_type: report
tasks:
- task_type: fetch
  method: SHELL
  script:
    - echo \"fetching {{.Region}}\"
    - echo 42 > numbers.txt
  artifacts:
    paths: [numbers.txt]
  on_completed: publish
- task_type: publish
  method: SHELL
  dependencies: [fetch]
  script:
    - cat numbers.txt
";

/// A queen, with a token for the Jobs API and a key for the Runs API.
struct Site {
    home: Home,
    queen: Queen,
    token: String,
    key: String,
}

impl Site {
    fn start(args: &[&str]) -> Self {
        Self::with_settings(args, "")
    }

    /// One whose `colony.toml` holds that.
    fn with_settings(args: &[&str], settings: &str) -> Self {
        let home = Home::new();
        home.write("colony.toml", settings);
        let queen = Queen::start(&home, args);
        let token = std::fs::read_to_string(home.data_dir().join("admin.token")).unwrap();
        let token = format!("Bearer {}", token.trim());
        let mut site = Self {
            home,
            queen,
            token,
            key: String::new(),
        };
        site.key = site.new_key("acme");
        site
    }

    /// What a caller of that organization shows.
    fn new_key(&self, org: &str) -> String {
        let create = ["key", "create", "--org", org, "--env", "dev"];
        let key = self.home.colony(&create).with_code(0).out;
        format!("Bearer {}", key.trim())
    }

    /// A call with exactly these headers.
    fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        call(self.queen.address(), method, path, headers, body)
    }

    fn with(&self, shown: &str, method: &str, path: &str, body: &Value) -> Answer {
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let headers = [JSON, ("authorization", shown)];
        self.bare(method, path, &headers, text.as_bytes())
    }

    /// A call of the Jobs API.
    fn jobs(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with(&self.token, method, &format!("/api/{path}"), body)
    }

    /// A call of the Runs API.
    fn runs(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with(&self.key, method, &format!("/api/v1{path}"), body)
    }

    fn get_jobs(&self, path: &str) -> Answer {
        self.jobs("GET", path, &Value::Null)
    }

    fn get_runs(&self, path: &str) -> Answer {
        self.runs("GET", path, &Value::Null)
    }

    fn save(&self, yaml: &str) -> Answer {
        let headers = [YAML, ("authorization", self.token.as_str())];
        self.bare("POST", "/api/jobs/definitions", &headers, yaml.as_bytes())
    }

    fn submit(&self, job_type: &str, params: &Value) -> String {
        let body = json!({ "job_type": job_type, "params": params });
        text(&self.jobs("POST", "jobs/requests", &body).expect(201)["id"])
    }

    fn request(&self, id: &str) -> Value {
        self.get_jobs(&format!("jobs/requests/{id}")).expect(200)
    }

    /// Waits until the request is finished.
    fn ended(&self, id: &str) -> Value {
        wait_for(PATIENCE, || {
            let path = format!("jobs/requests/{id}?wait_ms=30000");
            let request = self.get_jobs(&path).expect(200);
            let is_over = request["execution"]["ended_at"].is_string()
                || ["COMPLETED", "FAILED", "CANCELLED"]
                    .iter()
                    .any(|s| request["job_state"] == *s);
            if is_over { Ok(request) } else { Err(request) }
        })
    }

    /// Waits until the request is in that state.
    fn in_state(&self, id: &str, state: &str) -> Value {
        wait_for(PATIENCE, || {
            let request = self.request(id);
            if request["job_state"] == state {
                Ok(request)
            } else {
                Err(request)
            }
        })
    }

    fn new_run(&self) -> String {
        text(
            &self
                .runs("POST", "/runs", &json!({ "inputData": { "order": 4711 } }))
                .expect(201)["id"],
        )
    }

    /// A task with these members beside its run.
    fn new_task(&self, run: &str, more: &Value) -> Value {
        let mut task = json!({ "runId": run, "type": "resize", "inputData": { "image": "a.png" } });
        for (name, value) in more.as_object().into_iter().flatten() {
            task[name] = value.clone();
        }
        let answer = self.runs("POST", "/tasks", &task);
        assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
        answer.json()
    }

    fn claim(&self, more: &Value) -> Value {
        let mut claim = json!({ "types": ["resize"], "workerId": "w1" });
        for (name, value) in more.as_object().into_iter().flatten() {
            claim[name] = value.clone();
        }
        self.runs("POST", "/tasks/claim", &claim).expect(200)
    }
}

/// A definition with one task that does nothing.
fn one_task(job_type: &str, more: &str) -> String {
    format!(
        "job_type: {job_type}\n{more}tasks:\n- task_type: a\n  method: SHELL\n  script: ['true']\n"
    )
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// What some member of each item says.
fn each<'v>(list: &'v Value, member: &str) -> Vec<&'v Value> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    items.iter().map(|item| &item[member]).collect()
}

/// A document of the repository.
fn document(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}
