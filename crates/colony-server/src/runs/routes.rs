//! Every route of the Runs API, in one table: for serving and for the OpenAPI document.

use colony_api::runs::{
    BatchCreated, BatchRequest, ChangeRun, ChangeTags, ChangeTask, ClaimRequest, Claimed,
    ClaimedTask, DataPage, Deleted, HeartbeatRequest, Leases, List, NewData, NewRun, NewTask,
    ReportRequest, Reported, Run, RunData, Task,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// What answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    CreateRun,
    GetRun,
    ChangeRun,
    ListRuns,
    RunEvents,
    CreateTask,
    CreateBatch,
    Claim,
    Heartbeat,
    Report,
    GetTask,
    ChangeTask,
    ListTasks,
    WriteData,
    QueryData,
    ChangeTags,
    DeleteData,
    Config,
    ConfigRedis,
    ConfigQueues,
}

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route.
pub(super) struct Route {
    /// GET, POST, PATCH or DELETE.
    pub(super) method: &'static str,
    /// Below `/api/v1`; a part in braces stands for anything.
    pub(super) path: &'static str,
    /// What answers it.
    pub(super) endpoint: Endpoint,
    /// What it does.
    pub(super) summary: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [Parameter],
    /// The body.
    pub(super) request: Option<SchemaOf>,
    /// The answer of success; none = other JSON.
    pub(super) response: Option<SchemaOf>,
    /// Statuses of success.
    pub(super) success: &'static [u16],
    /// Statuses of refusal, beside those of every route.
    pub(super) refusals: &'static [u16],
}

/// A parameter of a query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `integer`, `string`, `uuid`, or words separated by `|`.
    pub(super) kind: &'static str,
    pub(super) bounds: Option<(i64, i64)>,
}

const fn text(name: &'static str) -> Parameter {
    words(name, "string")
}

const fn words(name: &'static str, kind: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        bounds: None,
    }
}

const fn number(name: &'static str, minimum: i64, maximum: i64) -> Parameter {
    Parameter {
        name,
        kind: "integer",
        bounds: Some((minimum, maximum)),
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const OFFSET: Parameter = number("offset", 0, (1 << 53) - 1);
const ORDER: Parameter = words("sortOrder", "asc|desc");
const SORT: Parameter = words("sortBy", "created_at|started_at|completed_at");

const LIST_RUNS: &[Parameter] = &[number("limit", 1, 100), OFFSET, text("status"), SORT, ORDER];
const LIST_TASKS: &[Parameter] = &[
    number("limit", 1, 100),
    OFFSET,
    text("status"),
    SORT,
    ORDER,
    words("runId", "uuid"),
];
const QUERY_DATA: &[Parameter] = &[
    text("key"),
    text("keys"),
    text("keyStartsWith"),
    text("keyPattern"),
    text("tags"),
    text("tagStartsWith"),
    words("tagMode", "any|all"),
    text("includeAll"),
    number("limit", 1, 1000),
    OFFSET,
    words("sortBy", "created_at|updated_at|key"),
    ORDER,
];

/// A table row with the usual answers, to be completed.
const fn route(
    method: &'static str,
    path: &'static str,
    endpoint: Endpoint,
    summary: &'static str,
) -> Route {
    Route {
        method,
        path,
        endpoint,
        summary,
        query: &[],
        request: None,
        response: None,
        success: &[200],
        refusals: &[],
    }
}

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        request: Some(schema::<NewRun>),
        response: Some(schema::<Run>),
        success: &[201],
        refusals: &[400, 408, 409, 413],
        ..route("POST", "/runs", Endpoint::CreateRun, "Create a run")
    },
    Route {
        query: LIST_RUNS,
        response: Some(schema::<List<Run>>),
        refusals: &[400],
        ..route("GET", "/runs", Endpoint::ListRuns, "List runs")
    },
    Route {
        response: Some(schema::<Run>),
        refusals: &[400, 404],
        ..route("GET", "/runs/{id}", Endpoint::GetRun, "Get a run")
    },
    Route {
        request: Some(schema::<ChangeRun>),
        response: Some(schema::<Run>),
        refusals: &[400, 404, 408, 409, 413],
        ..route("PATCH", "/runs/{id}", Endpoint::ChangeRun, "Change a run")
    },
    Route {
        refusals: &[400, 404],
        ..route(
            "GET",
            "/runs/{id}/events",
            Endpoint::RunEvents,
            "Follow a run as server-sent events",
        )
    },
    Route {
        request: Some(schema::<NewData>),
        response: Some(schema::<RunData>),
        success: &[201],
        refusals: &[400, 404, 408, 409, 413],
        ..route(
            "POST",
            "/runs/{runId}/data",
            Endpoint::WriteData,
            "Write run data",
        )
    },
    Route {
        query: QUERY_DATA,
        response: Some(schema::<DataPage<RunData>>),
        refusals: &[400, 404],
        ..route(
            "GET",
            "/runs/{runId}/data",
            Endpoint::QueryData,
            "Find run data",
        )
    },
    Route {
        query: &[text("key"), words("id", "uuid")],
        response: Some(schema::<Deleted>),
        refusals: &[400, 404],
        ..route(
            "DELETE",
            "/runs/{runId}/data",
            Endpoint::DeleteData,
            "Delete run data",
        )
    },
    Route {
        request: Some(schema::<ChangeTags>),
        response: Some(schema::<RunData>),
        refusals: &[400, 404, 408, 413],
        ..route(
            "PATCH",
            "/runs/{runId}/data/{dataId}/tags",
            Endpoint::ChangeTags,
            "Change the tags of an entry of run data",
        )
    },
    Route {
        request: Some(schema::<NewTask>),
        response: Some(schema::<Task>),
        success: &[201, 200],
        refusals: &[400, 404, 408, 409, 413],
        ..route("POST", "/tasks", Endpoint::CreateTask, "Create a task")
    },
    Route {
        query: LIST_TASKS,
        response: Some(schema::<List<Task>>),
        refusals: &[400],
        ..route("GET", "/tasks", Endpoint::ListTasks, "List tasks")
    },
    Route {
        request: Some(schema::<BatchRequest>),
        response: Some(schema::<BatchCreated<Task>>),
        success: &[201],
        refusals: &[400, 404, 408, 409, 413],
        ..route(
            "POST",
            "/tasks/batch",
            Endpoint::CreateBatch,
            "Create tasks, all or none",
        )
    },
    Route {
        request: Some(schema::<ClaimRequest>),
        response: Some(schema::<Claimed<ClaimedTask>>),
        refusals: &[400, 408, 409, 413],
        ..route(
            "POST",
            "/tasks/claim",
            Endpoint::Claim,
            "Claim tasks, waiting for them",
        )
    },
    Route {
        request: Some(schema::<HeartbeatRequest>),
        response: Some(schema::<Leases>),
        refusals: &[400, 408, 409, 413],
        ..route(
            "POST",
            "/tasks/heartbeat",
            Endpoint::Heartbeat,
            "Renew leases",
        )
    },
    Route {
        request: Some(schema::<ReportRequest>),
        response: Some(schema::<Reported>),
        refusals: &[400, 408, 409, 413],
        ..route(
            "POST",
            "/tasks/report",
            Endpoint::Report,
            "Report on tasks, each with an outcome of its own",
        )
    },
    Route {
        query: &[number("waitMs", 0, (1 << 53) - 1)],
        response: Some(schema::<Task>),
        refusals: &[400, 404],
        ..route(
            "GET",
            "/tasks/{id}",
            Endpoint::GetTask,
            "Get a task, waiting for its end",
        )
    },
    Route {
        request: Some(schema::<ChangeTask>),
        response: Some(schema::<Task>),
        refusals: &[400, 404, 408, 409, 413],
        ..route(
            "PATCH",
            "/tasks/{id}",
            Endpoint::ChangeTask,
            "Change a task",
        )
    },
    route(
        "GET",
        "/config",
        Endpoint::Config,
        "What clients need to know of this server",
    ),
    route(
        "GET",
        "/config/redis",
        Endpoint::ConfigRedis,
        "Where clients find their external queue",
    ),
    route(
        "GET",
        "/config/queues",
        Endpoint::ConfigQueues,
        "What the external queues are called",
    ),
];

/// The route of a request and the parts of its path that stand in braces. A part that is written
/// out wins: it comes first in the table.
pub(super) fn find(method: &str, path: &[String]) -> Option<(&'static Route, Vec<String>)> {
    ROUTES.iter().find_map(|route| {
        (route.method == method)
            .then(|| parts(route.path, path))
            .flatten()
            .map(|parts| (route, parts))
    })
}

fn parts(pattern: &str, path: &[String]) -> Option<Vec<String>> {
    let pattern: Vec<&str> = pattern.split('/').skip(1).collect();
    if pattern.len() != path.len() {
        return None;
    }
    let mut parts = Vec::new();
    for (pattern, part) in pattern.into_iter().zip(path) {
        if pattern.starts_with('{') {
            parts.push(part.clone());
        } else if pattern != part {
            return None;
        }
    }
    Some(parts)
}
