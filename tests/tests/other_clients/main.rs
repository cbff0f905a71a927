//! Clients written by others drive the admin API with nothing of ours but the `.proto` files: Python's gRPC with stubs of its own
//! compiler, and `buf curl`.

mod clients;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, Ground, GroundFolder, Job};
use serde_json::{Value, json};

use crate::clients::{Call, Client, Python};

const WORKER: &str = "nodes/engine/apps/ground/workers/job";

#[tokio::test(flavor = "multi_thread")]
async fn python_operates_a_running_app() {
    operate(|address| Client::Python(Box::new(Python::start(address)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_operates_a_running_app() {
    operate(|address| Client::Buf { address: address.to_owned() }).await;
}

/// What an operator does on a bad day, by a client that only knows the protocol.
async fn operate(client: impl FnOnce(&str) -> Client) {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start();
    process.client().await;
    let endpoint = process.endpoint().expect("it listens");
    let mut operator = Operator(client(endpoint.strip_prefix("http://").expect("a plain address")));

    // Status.
    let info = operator.one("System", "GetInfo", json!({})).await;
    assert_eq!(info["info"]["apps"], json!(["apps/ground"]), "{info}");
    assert_eq!(operator.state().await, "NODE_STATE_RUNNING");
    assert_eq!(operator.refused("Tree", "GetNode", json!({ "name": "nodes/nowhere" })).await, "not_found");
    let wrong = json!({ "name": "tasks/1" });
    assert_eq!(operator.refused("Tree", "PauseNode", wrong).await, "invalid_argument");

    // Watched: how it is, and what happens to it from a look on.
    let filter = format!("resource={WORKER}");
    let state = json!({ "filter": filter, "initialState": true });
    let told = operator.first(2, "Event", "WatchEvents", state).await;
    assert_eq!(told[0]["events"][0]["resource"], WORKER, "{told:?}");
    assert_eq!(change(&told[0], "state"), Some((Value::Null, json!("running"))), "{told:?}");
    assert_eq!(told[1]["initialStateEnd"], true, "{told:?}");
    let cursor = operator.one("Tree", "GetNode", json!({ "name": WORKER })).await["eventCursor"].take();

    // While the worker is paused, one scope of it is run.
    operator.one("Tree", "PauseNode", json!({ "name": WORKER })).await;
    assert_eq!(operator.state().await, "NODE_STATE_PAUSED");
    let since = json!({ "filter": filter, "cursor": cursor });
    let told = operator.first(1, "Event", "WatchEvents", since).await;
    assert_eq!(change(&told[0], "state"), Some((json!("running"), json!("paused"))), "{told:?}");
    let events = operator.one("Event", "ListEvents", json!({ "filter": filter })).await;
    assert!(events["events"].as_array().is_some_and(|events| !events.is_empty()), "{events}");
    let (here, there) = (operator.enqueue(1, "store=1").await, operator.enqueue(2, "store=2").await);
    let progress =
        operator.stream("Worker", "RunWorker", json!({ "name": "workers/job", "scope": "store=1" })).await;
    let last = progress.last().expect("progress");
    assert_eq!((&last["finished"], &last["selected"]), (&json!(true), &json!("1")), "{progress:?}");
    assert_eq!(operator.task(&here).await["state"], "TASK_STATE_DONE");
    assert_eq!(operator.task(&there).await["state"], "TASK_STATE_READY");

    // Stopped, started again, resumed.
    operator.one("Tree", "StopNode", json!({ "name": WORKER, "reason": "a test" })).await;
    assert_eq!(operator.state().await, "NODE_STATE_STOPPED");
    operator.one("Tree", "StartNode", json!({ "name": WORKER })).await;
    operator.until(&there, "TASK_STATE_DONE").await;

    // What died is replayed once its cause is mended.
    let dead = operator.enqueue_job(&Job { n: 3, rejects: true, ..Job::default() }, "store=3").await;
    operator.until(&dead, "TASK_STATE_DEAD").await;
    let groups = operator.one("DeadLetter", "CountDeadLetters", json!({ "filter": "scope=store=3" })).await;
    assert_eq!((&groups["total"], &groups["groups"][0]["code"]), (&json!("1"), &json!("RT0002")), "{groups}");
    ground.folder().raise(GroundFolder::REPAIRED).expect("a flag");
    operator.replay("scope=store=3").await;
    operator.until(&dead, "TASK_STATE_DONE").await;
    assert_eq!(process.stop().await, 0, "{}", ground.log());
}

/// What a field was before and is after, in the events of a message.
fn change(message: &Value, field: &str) -> Option<(Value, Value)> {
    let events = message["events"].as_array()?;
    let mut changes = events.iter().flat_map(|event| event["changes"].as_array()).flatten();
    let found = changes.rfind(|change| change["field"] == field)?;
    Some((found["before"].clone(), found["after"].clone()))
}

struct Operator(Client);

impl Operator {
    async fn stream(&mut self, service: &'static str, method: &'static str, fields: Value) -> Vec<Value> {
        self.0.tell(Call { service, method, fields, take: None }).await.expect("it is done")
    }

    /// The first answers of a stream that has no end.
    async fn first(
        &mut self,
        take: usize,
        service: &'static str,
        method: &'static str,
        fields: Value,
    ) -> Vec<Value> {
        self.0.tell(Call { service, method, fields, take: Some(take) }).await.expect("it is told")
    }

    async fn one(&mut self, service: &'static str, method: &'static str, fields: Value) -> Value {
        let mut answers = self.stream(service, method, fields).await;
        assert_eq!(answers.len(), 1, "{method} answers once");
        answers.remove(0)
    }

    async fn refused(&mut self, service: &'static str, method: &'static str, fields: Value) -> String {
        self.0.tell(Call { service, method, fields, take: None }).await.expect_err("it is refused")
    }

    async fn state(&mut self) -> Value {
        self.one("Tree", "GetNode", json!({ "name": WORKER })).await["node"]["state"].take()
    }

    async fn enqueue(&mut self, n: u64, scope: &str) -> String {
        self.enqueue_job(&Job::plain(n), scope).await
    }

    async fn enqueue_job(&mut self, job: &Job, scope: &str) -> String {
        let payload = BASE64_STANDARD.encode(serde_json::to_vec(job).expect("a JSON document"));
        let request = json!({
            "app": format!("apps/{APP}"), "queue": "queues/job", "handler": "job", "payload": payload, "scope": scope,
        });
        let answer = self.one("Task", "EnqueueTask", request).await;
        answer["name"].as_str().expect("a name").to_owned()
    }

    async fn task(&mut self, name: &str) -> Value {
        self.one("Task", "GetTask", json!({ "name": name })).await["task"].take()
    }

    async fn until(&mut self, name: &str, state: &str) {
        eventually_async(&format!("{name} is {state}"), async || {
            (self.task(name).await["state"] == state).then_some(())
        })
        .await;
    }

    async fn replay(&mut self, filter: &str) {
        let told = self.stream("DeadLetter", "ReplayDeadLetters", json!({ "filter": filter })).await;
        assert_eq!(told.last().expect("progress")["replayed"], "1", "{told:?}");
    }
}
