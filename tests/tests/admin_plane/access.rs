//! Who is let in, by a process that asks: the first token, what a token may do, and that its secret is nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use runtime_admin::{AdminClient, EventAsk, Watched};
use runtime_proto::v1;
use runtime_tests::ground::Ground;
use serde_json::Value;

use crate::canaries::Doors;

const REQUIRED: [&str; 2] = ["--set", "admin.authentication=required"];

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }
}

async fn ran(mut command: Command) -> Ran {
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let Output { status, stdout, stderr } = ended.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: status.code().expect("an exit code"), stdout: text(stdout), stderr: text(stderr) }
}

/// A sub-command of the app.
async fn app(ground: &Ground, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proving_ground"));
    command.args(args).args(REQUIRED).args(ground.settings()).current_dir(ground.path());
    command.envs(variables.iter().copied());
    ran(command).await
}

/// An operator, whose token is in a file.
async fn operator(endpoint: &str, token: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl_under_test"));
    command.args(args).env("RUNTIMECTL_ENDPOINT", endpoint).env("RUNTIMECTL_TOKEN_FILE", token);
    ran(command).await
}

fn written(ground: &Ground, name: &str, token: &str) -> std::path::PathBuf {
    let file = ground.path().join(name);
    fs::write(&file, token).expect("a file");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed to others");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_is_made_beside_the_store_and_no_secret_is_written_down() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let made = app(&ground, &["admin", "token", "create", "root", "--name", "first"], &[]).await;
    assert!(made.stderr.contains("shown this once"), "{}", made.stderr);
    let root_token = made.ok().trim().to_owned();
    assert!(root_token.starts_with("rt_") && root_token.len() == 84, "one token and nothing else");
    let root = written(&ground, "root.token", &root_token);

    let verbose = ["telemetry.log_filter=trace,h2=off"];
    let args = [&["--set", verbose[0]], &REQUIRED[..]].concat();
    let mut process = ground.start_with(&args, &[]);
    drop(process.client().await);
    let endpoint = process.endpoint().expect("it listens");

    let nobody = written(&ground, "nobody.token", "");
    let refused = operator(&endpoint, &nobody, &["info"]).await;
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("RT0038"), "{}", refused.stderr);
    operator(&endpoint, &root, &["info"]).await.ok();
    let second = app(&ground, &["admin", "token", "create", "root", "--name", "second"], &[]).await;
    assert_eq!(second.code, 4, "while it runs, it is asked and not its store: {}", second.stderr);

    let grants = ["--grant", "viewer", "--grant", "operator:queues/follow"];
    let create = [&["principal", "create", "alice"], &grants[..]].concat();
    operator(&endpoint, &root, &create).await.ok();
    let token = operator(&endpoint, &root, &["token", "create", "alice", "--name", "laptop"]).await.ok();
    let alice_token = token.trim().to_owned();
    let alice = written(&ground, "alice.token", &alice_token);
    operator(&endpoint, &alice, &["queue", "pause", "follow", "--reason", "canaries"]).await.ok();
    let denied = operator(&endpoint, &alice, &["queue", "pause", "job"]).await;
    assert_eq!(denied.code, 5, "{}", denied.stderr);
    assert!(denied.stderr.contains("RT0039"), "{}", denied.stderr);
    let careless = operator(&endpoint, &alice, &["token", "revoke", &alice_token, "--reason", "x"]).await;
    assert_eq!(careless.code, 2);
    let typed =
        [app(&ground, &[&alice_token], &[]).await, operator(&endpoint, &alice, &[&alice_token]).await];
    for careless in &typed {
        assert_eq!(careless.code, 2);
        assert!(careless.stderr.contains("unrecognized subcommand 'rt_"), "{}", careless.stderr);
    }

    let audit = operator(&endpoint, &root, &["audit", "list", "-o", "json"]).await.ok();
    let entries: Value = serde_json::from_str(&audit).expect("JSON");
    let shown: Vec<_> = entries["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| {
            ["principal", "method", "outcome"].map(|field| entry[field].as_str().unwrap_or_default())
        })
        .collect();
    let (pause, create) = ("QueueService/PauseQueue", "PrincipalService/CreateToken");
    assert_eq!(
        shown,
        [
            ["principals/alice", pause, "PERMISSION_DENIED"],
            ["principals/alice", pause, "OK"],
            ["principals/root", create, "OK"],
            ["principals/root", "PrincipalService/CreatePrincipal", "OK"],
            ["", "SystemService/GetInfo", "UNAUTHENTICATED"],
            ["principals/local", create, "OK"],
        ]
    );
    let mut doors = Doors::default();
    for look in ["token list", "principal list", "audit list", "config show --origins", "events", "dump"] {
        let args = [&["-o", "json"][..], &look.split(' ').collect::<Vec<_>>()].concat();
        doors.add(look, operator(&endpoint, &root, &args).await.ok());
    }
    assert_eq!(process.stop().await, 0);

    // The tree that a sub-command brings up for itself lets its own command in, and nobody else.
    let list = app(&ground, &["worker", "list"], &[]).await.ok();
    assert!(list.contains("job"), "{list}");

    doors.add("log", ground.log());
    doors.add("careless", format!("{}{}", careless.stdout, careless.stderr));
    doors.add("config", app(&ground, &["config", "show", "--origins"], &[]).await.ok());
    let mut kept = String::new();
    for file in
        fs::read_dir(ground.data_dir()).expect("the data folder").map(|file| file.expect("a file").path())
    {
        // Sockets and the like hold nothing.
        if let Ok(bytes) = fs::read(&file) {
            let content = String::from_utf8_lossy(&bytes).into_owned();
            kept.push_str(&content);
            doors.add(file.display().to_string(), content);
        }
    }
    for (number, typed) in typed.into_iter().enumerate() {
        doors.add(format!("usage error {number}"), typed.stderr);
    }
    let secrets = [("root", &root_token[20..]), ("alice", &alice_token[20..])];
    assert_eq!(doors.leaks(&secrets), []);
    for token in [&root_token, &alice_token] {
        assert!(kept.contains(&token[3..19]), "ids are kept");
    }
    // The one door that shows a token, once, is found by the same look.
    doors.add("token create", token);
    assert_eq!(doors.leaks(&secrets), [("token create", "alice")]);
    assert!(ground.log().contains("admin API listens"), "the log was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_configuration_names_lets_in_and_a_short_one_does_not_start() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let short = written(&ground, "short", "hunter2");
    let refused =
        app(&ground, &["run", "--set", &format!("admin.bootstrap_token=file:{}", short.display())], &[])
            .await;
    assert_eq!(refused.code, 4);
    assert!(
        refused.stderr.contains("too short") && !refused.stderr.contains("hunter2"),
        "{}",
        refused.stderr
    );

    let secret = "a secret of thirty-two bytes or more";
    let long = written(&ground, "long", secret);
    let named = format!("admin.bootstrap_token=file:{}", long.display());
    let mut process = ground.start_with(&[&["--set", &named], &REQUIRED[..]].concat(), &[]);
    drop(process.client().await);
    let endpoint = process.endpoint().expect("it listens");
    operator(&endpoint, &long, &["principal", "list"]).await.ok();
    assert_eq!(process.stop().await, 0);
    assert!(!ground.log().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_and_what_each_does_is_told_to_those_who_may_know() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let root_token = written(&ground, "root.token", "a secret of thirty-two bytes or more");
    let named = format!("admin.bootstrap_token=file:{}", root_token.display());
    let mut process = ground.start_with(&[&["--set", &named], &REQUIRED[..]].concat(), &[]);
    drop(process.client().await);
    let endpoint = process.endpoint().expect("it listens");
    let connected = async |token: &str| {
        let client = AdminClient::connect(&endpoint).await.expect("a connection");
        client.with_token(token).expect("a token").with_reason("a test")
    };
    let root = connected("a secret of thirty-two bytes or more").await;
    let filter = "resource:principals/ OR resource:tokens/ OR resource=queues/job";
    let ask = EventAsk { filter: filter.into(), ..EventAsk::default() };
    let mut watch = root.watch_events(ask).await.expect("a watch");

    let run = async |args: &[&str]| operator(&endpoint, &root_token, args).await.ok();
    run(&["principal", "create", "alice", "--grant", "viewer", "--grant", "operator:queues/job"]).await;
    let token = run(&["token", "create", "alice", "--name", "laptop"]).await.trim().to_owned();
    let alice_token = written(&ground, "alice.token", &token);
    operator(&endpoint, &alice_token, &["queue", "pause", "job", "--reason", "stocktaking"]).await.ok();
    let alice = connected(&token).await;
    let request = v1::ListEventsRequest { filter: filter.into(), ..Default::default() };
    let hers = alice.list_events(request.clone()).await.expect("a list").events;
    let all = root.list_events(request).await.expect("a list").events;
    let id = &token[3..19];
    run(&["token", "revoke", id, "--reason", "a test", "--yes"]).await;
    run(&["principal", "delete", "alice", "--reason", "a test", "--confirm", "alice"]).await;

    let mut told: Vec<v1::Event> = Vec::new();
    while told.last().is_none_or(|event| event.r#type() != v1::EventType::PrincipalDeleted) {
        if let Watched::Events(events) = watch.next().await.expect("it goes on") {
            told.extend(events);
        }
    }
    let (root_name, token_name) = (told[0].principal.clone(), format!("tokens/{id}"));
    use v1::EventType::{PrincipalCreated, PrincipalDeleted, QueuePaused, TokenCreated, TokenRevoked};
    let shown: Vec<_> = told
        .iter()
        .map(|event| (event.r#type(), event.resource.as_str(), event.principal.as_str()))
        .collect();
    let by_root = |kind, resource| (kind, resource, root_name.as_str());
    assert_eq!(
        shown,
        [
            by_root(PrincipalCreated, "principals/alice"),
            by_root(TokenCreated, token_name.as_str()),
            (QueuePaused, "queues/job", "principals/alice"),
            by_root(TokenRevoked, token_name.as_str()),
            by_root(PrincipalDeleted, "principals/alice"),
        ]
    );
    assert_eq!((told[2].reason.as_str(), told[2].cause()), ("stocktaking", v1::EventCause::Command));
    assert_eq!(told[0].changes[0].after, "viewer, operator:queues/job");
    assert!(!format!("{told:?}").contains(&token[20..]), "a secret got out");
    // A viewer of everything does not list principals, and does not hear of them.
    let kinds = |events: &[v1::Event]| events.iter().map(v1::Event::r#type).collect::<Vec<_>>();
    assert_eq!(kinds(&hers), [QueuePaused]);
    assert_eq!(kinds(&all), [PrincipalCreated, TokenCreated, QueuePaused]);
    drop(watch);
    assert_eq!(process.stop().await, 0);
}
