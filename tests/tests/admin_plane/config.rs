//! The configuration of a running process: shown with its origins, validated, reloaded by call and by signal, and what operators say in
//! place of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use runtime_admin::{AdminClient, ClientError};
use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_proto::v1;
use runtime_tests::eventually_async;
use runtime_tests::ground::{Ground, GroundProcess, Job};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{enqueue, path};

const JOB: &str = "/engine/apps/ground/workers/job";

/// In a payload, and nowhere else.
const CANARY: &str = "canary-that-nobody-may-show";

struct Process {
    ground: Ground,
    process: GroundProcess,
    client: AdminClient,
}

impl Process {
    async fn start(config: &str) -> Self {
        let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
        Self::start_on(ground, config).await
    }

    async fn start_on(ground: Ground, config: &str) -> Self {
        fs::write(file(&ground), config).expect("a configuration");
        let file = file(&ground).display().to_string();
        let mut process = ground.start_with(&["--config", &file], &[]);
        let client = process.client().await;
        Self { ground, process, client }
    }

    fn configure(&self, config: &str) {
        fs::write(file(&self.ground), config).expect("a configuration");
    }

    async fn setting(&self, key: &str) -> v1::Setting {
        let config = self.client.config().await.expect("the configuration");
        config.settings.into_iter().find(|setting| setting.key == key).expect("the key")
    }

    async fn slots(&self) -> u64 {
        self.client.node(&path(JOB)).await.expect("the node").slots.expect("slots").total
    }
}

fn file(ground: &Ground) -> PathBuf {
    ground.path().join("ground.toml")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_is_live_and_says_what_takes_a_restart() {
    let mut it = Process::start("workers.job.slots = 3\n").await;
    let slots = it.setting("workers.job.slots").await;
    assert_eq!((slots.value.as_deref(), slots.live, slots.pending), (Some("3"), true, None));
    assert!(slots.origin.ends_with("ground.toml:1"), "{}", slots.origin);
    assert_eq!(it.slots().await, 3);

    it.configure("workers.job.slots = 5\nworkers.job.timeout_secs = 7\nstore.queue_capacity = 77\n");
    let preview = it.client.reload_config(true).await.expect("a preview").changes;
    let told: Vec<_> = preview.iter().map(|change| (change.key.as_str(), change.needs_restart)).collect();
    let expected =
        [("store.queue_capacity", true), ("workers.job.slots", false), ("workers.job.timeout_secs", false)];
    assert_eq!(told, expected);
    assert_eq!(it.slots().await, 3, "a preview changes nothing");

    let reloaded = it.client.reload_config(false).await.expect("reloaded").changes;
    assert_eq!(reloaded, preview);
    eventually_async("the worker has its slots", async || (it.slots().await == 5).then_some(())).await;
    let worker = it.client.worker(&"job".parse().expect("a name")).await.expect("the worker");
    assert_eq!(worker.timeout.expect("a timeout").seconds, 7);
    let capacity = it.setting("store.queue_capacity").await;
    assert_ne!(capacity.value.as_deref(), Some("77"), "in force is what the process started with");
    assert_eq!(capacity.pending.expect("it waits").value.as_deref(), Some("77"));
    assert_eq!(it.setting("workers.job.slots").await.value.as_deref(), Some("5"));

    // The same by signal.
    it.configure("workers.job.slots = 6\n");
    it.process.signal(Signal::HUP);
    eventually_async("the signal reloads", async || (it.slots().await == 6).then_some(())).await;
    eventually_async("nothing waits any more", async || {
        it.setting("store.queue_capacity").await.pending.is_none().then_some(())
    })
    .await;
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_problem_changes_nothing() {
    let mut it = Process::start("workers.job.slots = 3\n").await;
    it.configure("workers.job.slots = 9\ntelemetry.log_filter = 7\nworkers.jbo.slots = 1\n");
    let problems = it.client.validate_config(None).await.expect("an answer").problems;
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["telemetry.log_filter"], "names are looked at when the rest is sound: {problems:#?}");
    assert!(problems[0].origin.ends_with("ground.toml:2"), "{problems:#?}");
    match it.client.reload_config(false).await {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, Some(ErrorCode::InvalidConfig)),
        other => panic!("expected a refusal: {other:?}"),
    }
    assert_eq!(it.slots().await, 3);
    assert_eq!(it.setting("workers.job.slots").await.value.as_deref(), Some("3"));

    // A document that was handed in is looked at in place of the file.
    let document = |text: &str| it.client.validate_config(Some(text.to_owned()));
    assert_eq!(document("workers.job.slots = 9\n").await.expect("an answer").problems, []);
    let [unknown] = &document("workers.jbo.slots = 1\n").await.expect("an answer").problems[..] else {
        panic!("one problem")
    };
    assert_eq!(unknown.key, "workers.jbo");
    let schema = it.client.config_schema().await.expect("the schema");
    assert!(serde_json::from_str::<Value>(&schema).expect("JSON")["properties"]["workers"].is_object());
    assert_eq!(it.process.stop().await, 0);
}

/// The same with the address in the file, where a reload finds another one.
fn start_with_the_address_in_the_file(ground: &Ground) -> GroundProcess {
    let settings = ground.settings();
    let others = settings.chunks(2).filter(|setting| !setting[1].starts_with("admin.listen=")).flatten();
    let mut command = Command::new(env!("CARGO_BIN_EXE_proving_ground"));
    command.args(others).arg("--config").arg(file(ground)).current_dir(ground.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    GroundProcess::spawn(&mut command, runtime::admin_file(&ground.data_dir()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_next_start_would_refuse_is_refused_by_a_reload() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let at = |address: &str, slots: u32| format!("workers.job.slots = {slots}\nadmin.listen = {address:?}\n");
    fs::write(file(&ground), at("127.0.0.1:0", 3)).expect("a configuration");
    let mut process = start_with_the_address_in_the_file(&ground);
    let client = process.client().await;
    let mut it = Process { ground, process, client };
    for address in ["0.0.0.0:7070", "[::]:7070", "[::ffff:192.0.2.1]:7070"] {
        for who in ["", "admin.authentication = 'required'\n"] {
            it.configure(&(at(address, 9) + who));
            match it.client.reload_config(false).await {
                Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, Some(ErrorCode::AdminExposed)),
                other => panic!("{address}: {other:?}"),
            }
            let problems = it.client.validate_config(None).await.expect("an answer").problems;
            let [exposed] = &problems[..] else { panic!("{address}: {problems:?}") };
            assert_eq!(exposed.key, "admin.listen");
            assert!(exposed.origin.ends_with("ground.toml:2"), "{exposed:?}");
        }
    }
    assert_eq!(it.slots().await, 3);
    it.configure(&at("127.0.0.2:0", 4));
    it.client.reload_config(false).await.expect("others cannot reach it");
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_come_holds_up_neither_its_caller_nor_the_end_of_the_process() {
    let mut it = Process::start("").await;
    fs::remove_file(file(&it.ground)).expect("removed");
    assert!(Command::new("mkfifo").arg(file(&it.ground)).status().expect("mkfifo runs").success());
    match it.client.reload_config(false).await {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, Some(ErrorCode::NoAnswer)),
        other => panic!("nobody writes into the pipe: {other:?}"),
    }
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_keeps_is_for_its_user_alone() {
    let mut it = Process::start("").await;
    let mode = fs::metadata(it.ground.data_dir()).expect("the data folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_say_survives_the_process_is_shown_apart_and_is_taken_back() {
    let mut it = Process::start("workers.job.slots = 3\n").await;
    let resize = NodeCommand::Resize { slots: 9.try_into().expect("not zero") };
    it.client.steer_node(&path(JOB), resize).await.expect("resized");
    it.client.steer_node(&path(JOB), NodeCommand::Pause).await.expect("paused");
    assert_eq!(it.process.stop().await, 0);

    let Process { ground, .. } = it;
    let mut it = Process::start_on(ground, "workers.job.slots = 4\n").await;
    assert_eq!(it.slots().await, 9, "an override goes before the configuration");
    let config = it.client.config().await.expect("the configuration");
    let said: Vec<_> =
        config.overrides.iter().map(|known| (known.name.as_str(), known.says.as_str())).collect();
    let name = format!("nodes{JOB}");
    assert_eq!(said, [(name.as_str(), "paused"), (name.as_str(), "slots = 9")]);
    assert!(config.overrides[1].since.is_some());
    // It is no configuration: that says what it said.
    assert_eq!(it.setting("workers.job.slots").await.value.as_deref(), Some("4"));
    // A reload leaves it alone.
    it.configure("workers.job.slots = 5\n");
    it.client.reload_config(false).await.expect("reloaded");
    assert_eq!(it.slots().await, 9);

    let cleared = it.client.clear_override(&name).await.expect("cleared").cleared;
    assert_eq!(cleared.len(), 2);
    let node = it.client.node(&path(JOB)).await.expect("the node");
    assert_eq!((node.state(), node.slots.expect("slots").total), (v1::NodeState::Running, 5));
    assert_eq!(it.client.config().await.expect("the configuration").overrides, []);
    assert!(it.client.clear_override(&name).await.is_err(), "nothing is said any more");
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_filter_is_set_for_a_while_and_a_dump_shows_everything_but_payloads() {
    let mut it = Process::start("telemetry.log_filter = \"off\"\n").await;
    let job = Job { n: 1, rejects: true, ballast: CANARY.into(), ..Job::default() };
    let task = enqueue(&it.client, &job).await;
    eventually_async("the task is dead", async || {
        let task = it.client.task(task).await.expect("a task").task.expect("a task");
        (task.state() == v1::TaskState::Dead).then_some(())
    })
    .await;
    assert!(!it.ground.log().contains("attempt ended"), "nothing is logged");

    let set = it.client.set_log_filter("warn", Some(Duration::from_secs(3600))).await.expect("set");
    assert_eq!((set.in_force.as_str(), set.configured.as_str()), ("warn", "off"));
    assert!(set.comes_back_in.expect("a time").seconds > 3000);
    enqueue(&it.client, &Job { n: 2, ..job.clone() }).await;
    eventually_async("it is logged", async || it.ground.log().contains("attempt ended").then_some(())).await;
    // What is set shortly comes back by itself.
    it.client.set_log_filter("info", Some(Duration::from_secs(1))).await.expect("set");
    eventually_async("the configured one is back", async || {
        let filter = it.client.log_filter().await.expect("the filter");
        (filter.in_force == "off" && filter.comes_back_in.is_none()).then_some(())
    })
    .await;
    assert!(it.client.set_log_filter("no=such=level", None).await.is_err());
    assert!(
        it.client.set_log_filter("info", Some(Duration::from_secs(90_000))).await.is_err(),
        "a day at most"
    );

    let document = it.client.dump_state().await.expect("a dump");
    let dump: Value = serde_json::from_str(&document).expect("JSON");
    let nodes = dump["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["path"] == JOB).expect("the worker");
    assert_eq!((&node["state"], node["mailbox"].is_u64()), (&Value::from("running"), true));
    assert_eq!(
        dump["queues"][0]["tasks"]["dead"].as_u64().or(dump["queues"][1]["tasks"]["dead"].as_u64()),
        Some(2)
    );
    assert_eq!(dump["config"]["telemetry.log_filter"]["value"], "\"off\"");
    assert_eq!((&dump["leases"]["count"], &dump["log_filter"]["in_force"]), (&0.into(), &"off".into()));
    assert!(!document.contains(CANARY), "a payload got out");
    assert_eq!(it.process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_admin_plane_are_in_force_after_a_reload_and_out_of_bounds_refused() {
    let mut it = Process::start("").await;
    let most = it.setting("admin.limits.connections").await;
    assert_eq!((most.value.as_deref(), most.origin.as_str(), most.live), (Some("512"), "default", true));
    let endpoint = it.process.endpoint().expect("it listens");
    // Nine who have introduced themselves and ask nothing, while there is room for them.
    let mut idle = Vec::new();
    for _ in 0..9 {
        let address = endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("taken");
        stream.read_u8().await.expect("it answers");
        idle.push(stream);
    }
    it.configure("admin.limits.connections = 8\nadmin.limits.calls = 2000\n");
    let reloaded = it.client.reload_config(false).await.expect("reloaded");
    let told: Vec<_> = reloaded.changes.iter().map(|change| (&*change.key, change.needs_restart)).collect();
    assert_eq!(told, [("admin.limits.calls", false), ("admin.limits.connections", false)]);
    assert_eq!(reloaded.certificates, None, "it speaks without TLS");
    assert!(it.setting("admin.limits.connections").await.origin.ends_with("ground.toml:1"));
    // Whoever comes now makes those beyond leave, who have been idle longest.
    let newcomer = AdminClient::connect(&endpoint).await.expect("a connection");
    newcomer.info().await.expect("served");
    for stream in &mut idle[..3] {
        drop(stream.read_to_end(&mut Vec::new()).await);
    }

    it.configure(
        "admin.limits.connections = 1\nadmin.limits.handshake_sec = 3\nadmin.limits.request_bytes = 5\n",
    );
    let problems = it.client.validate_config(None).await.expect("an answer").problems;
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["admin.limits.connections", "admin.limits.handshake_sec", "admin.limits.request_bytes"],
        "{problems:#?}"
    );
    assert!(problems[0].text.contains("from 8 to 65536"), "{}", problems[0].text);
    assert!(problems[1].text.contains("admin.limits.handshake_secs"), "{}", problems[1].text);
    assert!(it.client.reload_config(false).await.is_err());
    assert_eq!(it.setting("admin.limits.connections").await.value.as_deref(), Some("8"));
    assert_eq!(it.process.stop().await, 0);
}
