//! Secrets and payloads are planted where they are looked for: in files, variables, tokens, tasks. They come out of no door of a running
//! process: no log line, no answer, no error, no dump, no table, no configuration that is shown.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runtime_admin::AdminClient;
use runtime_tests::authority::Authority;
use runtime_tests::eventually_async;
use runtime_tests::ground::{Ground, Job};

use crate::world::enqueue;

/// In payloads, and where payloads are asked for.
const PAYLOAD: &str = "canary-of-a-payload-7d1f";
/// In a file that the configuration names.
const TOKEN: &str = "canary-of-a-token-in-a-file-0123456789abcdef";

const FORMATS: [&str; 6] = ["table", "wide", "json", "jsonl", "yaml", "name"];

/// Commands that look, and commands that are refused.
const LOOKS: [&str; 30] = [
    "info",
    "overview",
    "tree",
    "dump",
    "node list",
    "node get ground/workers/job",
    "queue list",
    "queue get job",
    "queue get no-such-queue",
    "schedule list",
    "task list",
    "task list --filter state=dead",
    "task list --filter nonsense",
    "task count",
    "dead-letter list",
    "dead-letter groups",
    "dead-letter replay --all --dry-run",
    "operation list",
    "worker list",
    "worker get job",
    "worker run job --scope store=1 --dry-run",
    "principal list",
    "token list",
    "audit list",
    "config show --origins",
    "config validate",
    "config reload --dry-run",
    "config overrides",
    "config schema",
    "log-filter get",
];

/// What came out of a door, by the door's name.
#[derive(Default)]
pub(crate) struct Doors(BTreeMap<String, String>);

impl Doors {
    pub(crate) fn add(&mut self, door: impl Into<String>, text: impl Into<String>) {
        self.0.insert(door.into(), text.into());
    }

    /// Doors through which one of these came, each with which.
    pub(crate) fn leaks<'d>(&'d self, secrets: &[(&'static str, &str)]) -> Vec<(&'d str, &'static str)> {
        let leaks = |(door, text): (&'d String, &String)| {
            let found = secrets.iter().filter(|(_, secret)| text.contains(secret));
            found.map(|(name, _)| (door.as_str(), *name)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(leaks).collect()
    }
}

async fn ran(mut command: Command) -> String {
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let Output { stdout, stderr, .. } = ended.expect("the program starts");
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

fn runtimectl(endpoint: &str, token: &Path, ca: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl_under_test"));
    command.args(args).env("RUNTIMECTL_ENDPOINT", endpoint);
    command.env("RUNTIMECTL_TOKEN_FILE", token).env("RUNTIMECTL_CA", ca);
    command
}

fn secret_file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, content).expect("written");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed to others");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_in_a_running_process_comes_out_of_no_door() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let authority = Authority::new(ground.path());
    let (certificate, key) = authority.sign("server");
    let key = fs::read_to_string(key).expect("a key");
    let key_line = key.lines().nth(1).expect("more than its frame").to_owned();
    let token = secret_file(ground.path(), "bootstrap.token", TOKEN);
    let settings = [
        format!("admin.tls={{ certificate = {certificate:?}, key = \"env:GROUND_TLS_KEY\" }}"),
        format!("admin.bootstrap_token=file:{}", token.display()),
        "admin.authentication=required".to_owned(),
        "telemetry.log_filter=trace".to_owned(),
    ];
    let args: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting.as_str()]).collect();
    let mut process = ground.start_with(&args, &[("GROUND_TLS_KEY", key.clone())]);
    drop(process.client().await);
    let local = process.endpoint().expect("a socket in the data folder");
    let client =
        AdminClient::connect(&local).await.expect("a connection").with_token(TOKEN).expect("a token");

    // One that is done, one that is rejected, one that fails and waits, one that does not fit its schema.
    let planted = |n| Job { n, ballast: PAYLOAD.into(), ..Job::default() };
    enqueue(&client, &planted(1)).await;
    enqueue(&client, &Job { rejects: true, ..planted(2) }).await;
    enqueue(&client, &Job { fails: 1, ..planted(3) }).await;
    enqueue(&client, &Job { asks: true, ..planted(4) }).await;
    let misfit = format!(r#"{{"n": "{PAYLOAD}"}}"#);
    let mut doors = Doors::default();
    let request = runtime_proto::v1::EnqueueTaskRequest {
        payload: misfit.into_bytes(),
        idempotency_key: "misfit".into(),
        ..crate::world::request(&planted(5))
    };
    match client.enqueue(request).await {
        Ok(_) => {}
        Err(error) => doors.add("the refusal of a payload that does not fit", format!("{error} {error:?}")),
    }
    eventually_async("the rejected one is dead", async || {
        let dead = client.dead_letters("", 9).await.expect("dead letters");
        (!dead.is_empty()).then_some(())
    })
    .await;

    let log = ground.log();
    let (_, rest) = log.split_once("https://").expect("the log says where it listens");
    let endpoint = format!("https://{}", rest.split('"').next().expect("an address"));
    for line in LOOKS {
        for format in FORMATS {
            let args = [&["-o", format][..], &line.split(' ').collect::<Vec<_>>()].concat();
            let told = ran(runtimectl(&endpoint, &token, &authority.file, &args)).await;
            assert!(!told.contains("Usage: "), "{args:?}: {told}");
            doors.add(args.join(" "), told);
        }
    }
    // Whoever may not, is told so.
    let nobody = secret_file(ground.path(), "nobody.token", "rt_nonsense");
    for line in ["info", "overview", "dump"] {
        let told = ran(runtimectl(&endpoint, &nobody, &authority.file, &[line])).await;
        assert!(told.contains("RT0038"), "{told}");
        doors.add(format!("{line} by nobody"), told);
    }
    doors.add("dump", client.dump_state().await.expect("a dump"));
    doors.add("config", format!("{:?}", client.config().await.expect("the configuration")));
    for verb in [&["config", "show", "--origins"][..], &["config", "check"], &["config", "example"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proving_ground"));
        command.args(verb).args(ground.settings()).args(&args).current_dir(ground.path());
        doors.add(format!("proving_ground {}", verb.join(" ")), ran(command).await);
    }
    assert_eq!(process.stop().await, 0);
    doors.add("log", ground.log());

    let shown = &doors.0["proving_ground config show --origins"];
    assert!(shown.contains("env:GROUND_TLS_KEY") && shown.contains("bootstrap.token"), "{shown}");
    let log = doors.0["log"].to_lowercase();
    assert!(log.contains("\"trace\"") && log.contains("attempt"), "every line is written");
    let tasks = &doors.0["-o json task list"];
    assert!(tasks.contains("tasks/"), "the list was looked at: {tasks}");
    let secrets = [("payload", PAYLOAD), ("token", TOKEN), ("key", key_line.as_str())];
    assert_eq!(doors.leaks(&secrets), []);
    assert!(doors.0.len() > 150, "{}", doors.0.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_door_for_payloads_is_found_out_by_the_same_look() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start();
    let client = process.client().await;
    let task = enqueue(&client, &Job { n: 1, ballast: PAYLOAD.into(), ..Job::default() }).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl_under_test"));
    let endpoint = process.endpoint().expect("it listens");
    command.args(["task", "payload", &task.to_string()]).env("RUNTIMECTL_ENDPOINT", endpoint);
    let mut doors = Doors::default();
    doors.add("task payload", ran(command).await);
    assert_eq!(doors.leaks(&[("payload", PAYLOAD)]), [("task payload", "payload")]);
    assert_eq!(process.stop().await, 0);
}

/// Passwords of the mail order bot: one in a variable, one in a file.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_mail_servers_come_out_of_nothing_that_the_bot_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (imap, smtp) = ("canary-of-imap-51c2", "canary-of-smtp-9e0b");
    let password = secret_file(folder.path(), "smtp.password", smtp);
    // Nobody listens there: connections are refused, and said to be.
    let config = format!(
        "runtime.data_dir = {:?}\nadmin.enabled = false\ntelemetry.log_filter = \"trace\"\n\
         [app.mailboxes.orders]\nkind = \"imap_polling\"\naccount = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\n\
         tls = \"none_loopback_only\"\nuser = \"orders\"\npassword = \"env:ORDERS_PASSWORD\"\n\
         [app.replies.transport]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none_loopback_only\"\n\
         user = \"orders\"\npassword = \"file:{}\"\n",
        folder.path().join("data"),
        password.display(),
    );
    let file = folder.path().join("bot.toml");
    fs::write(&file, config).expect("written");
    let bot = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mail_order_bot_under_test"));
        command.arg("--config").arg(&file).args(args).env("ORDERS_PASSWORD", imap).current_dir(folder.path());
        command
    };
    let mut doors = Doors::default();
    for verb in [&["config", "check"][..], &["config", "show", "--origins"], &["worker", "docs"]] {
        doors.add(verb.join(" "), ran(bot(verb)).await);
    }
    assert!(doors.0["config check"].starts_with("ok"), "{}", doors.0["config check"]);
    assert!(doors.0["config show --origins"].contains("env:ORDERS_PASSWORD"));

    let log = folder.path().join("log");
    let mut running = bot(&["run"]);
    let to = fs::File::create(&log).expect("a log");
    let mut running = running.stderr(to).spawn().expect("the bot starts");
    eventually_async("the mailbox is tried", async || {
        fs::read_to_string(&log).unwrap_or_default().contains("orders").then_some(())
    })
    .await;
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    doors.add("log", fs::read_to_string(&log).expect("the log"));
    // A password that cannot be had is named by where it should be.
    fs::remove_file(&password).expect("removed");
    doors.add("run without a password", ran(bot(&["config", "check"])).await);

    let loaded = runtime::config::ConfigSources { file: Some(file.clone()), ..Default::default() };
    let config =
        loaded.load::<runtime::config::RuntimeConfig<mail_order_bot::config::BotConfig>>().expect("sound");
    doors.add("Debug of the configuration", format!("{config:?}"));
    assert_eq!(doors.leaks(&[("imap", imap), ("smtp", smtp)]), []);
}
