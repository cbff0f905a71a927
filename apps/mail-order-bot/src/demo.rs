//! The demo: the bundled mails become orders before your eyes, on the real tree, over the real admin API.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::admin::AdminClient;
use runtime::admin::cli;
use runtime::core::control::{Command, NodeCommand, ask};
use runtime::core::name::QueueName;
use runtime::core::node::NodePath;
use runtime::core::store::{StateCounts, TaskFilter, TaskReader};
use runtime::core::task::{Task, TaskState};
use runtime::signals::Exit;
use runtime::stores::SystemClock;
use runtime::{App, ConfigArgs, Running};

use crate::config::BotConfig;
use crate::corpus::bundled_mails;
use crate::handlers::orders::MailOutcome;
use crate::module::{APP, ORDERS};
use crate::orders::{orders, orders_table, table};
use crate::sources::{IncomingMail, Maildir};

type DemoError = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo in this folder; what it leaves there can be looked at afterwards.
pub fn demo(app: &App<BotConfig>, args: &ConfigArgs, folder: &Path) -> Exit {
    let args = in_folder(args, folder);
    if let Err(error) = Maildir::create(inbox_of(folder)) {
        return Exit::StartUp.because(&error);
    }
    let loaded = match app.load(&args) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(control) = runtime::control_runtime() else { return Exit::StartUp };
    control.block_on(async {
        let telemetry = match app.telemetry(&loaded.value) {
            Ok(telemetry) => telemetry,
            Err(error) => return Exit::StartUp.because(&error),
        };
        let exit = match app.start(&loaded.value, &telemetry).await {
            Err(error) => Exit::StartUp.because(&error),
            Ok(running) => match show(&running, folder).await {
                Ok(true) => running.stop().await,
                Ok(false) => {
                    running.stop().await;
                    Exit::Failed
                }
                Err(error) => {
                    running.stop().await;
                    Exit::StartUp.because(&*error)
                }
            },
        };
        if let Err(error) = telemetry.shutdown(Duration::from_secs(5)).await {
            eprintln!("the last traces were not sent: {error}");
        }
        exit
    })
}

/// The demo's own settings lie over everything else: it touches nothing outside its folder.
fn in_folder(args: &ConfigArgs, folder: &Path) -> ConfigArgs {
    let mut args = args.clone();
    let path = |name: &str| format!("{:?}", folder.join(name));
    let inbox = inbox_of(folder);
    args.set.extend([
        format!("runtime.data_dir={}", path("data")),
        "admin.listen=\"127.0.0.1:0\"".to_owned(),
        format!(
            "app.mailboxes={{ inbox = {{ kind = \"maildir\", account = \"inbox\", path = {inbox:?} }} }}"
        ),
        format!("app.replies.transport={{ kind = \"spool\", path = {} }}", path("outgoing")),
    ]);
    if !args.set.iter().any(|set| set.starts_with("telemetry.log_filter")) {
        args.set.push("telemetry.log_filter=error".to_owned());
    }
    args
}

fn inbox_of(folder: &Path) -> PathBuf {
    folder.join("mail")
}

/// `false` when a mail is not accounted for.
async fn show(running: &Running, folder: &Path) -> Result<bool, DemoError> {
    let mails = bundled_mails();
    let admin = running.admin_address().ok_or("the admin API does not listen")?;
    let client = AdminClient::connect(&admin.to_string()).await?;
    let worker: NodePath = format!("/engine/apps/{APP}/workers/{ORDERS}").parse()?;
    let queue = QueueName::new(ORDERS)?;
    println!("The tree is up; its admin API listens on {admin}.\n");

    let paused = client.steer_node(&worker, NodeCommand::Pause).await?;
    println!("Paused {worker}: it is {:?} now, and mails wait.", paused.state());
    let inbox = Maildir::open(inbox_of(folder))?;
    for (_, raw) in mails {
        inbox.deliver(raw)?;
    }
    while ready(&client, &queue).await? < mails.len() as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{} mails lie in the Maildir; each is a durable task.\n", mails.len());

    let began = Instant::now();
    let resumed = client.steer_node(&worker, NodeCommand::Resume).await?;
    println!("Resumed {worker}: it is {:?} now.", resumed.state());
    ask(&*running.control(), |reply| Command::AwaitIdle { reply }).await?;
    let took = began.elapsed();

    let tasks = all_tasks(&**running.store(), queue).await?;
    let found = orders(async |sql, params| running.store().query_app(sql, params).await, None).await?;
    println!("\nOrders\n\n{}", orders_table(&found));
    println!("What became of every mail\n\n{}", outcomes_table(&tasks));
    println!("The tree\n");
    print_tree(admin).await?;
    println!();

    let counts = count(&tasks);
    let (done, parked, dead) =
        (counts.of(TaskState::Done), counts.of(TaskState::Parked), counts.of(TaskState::Dead));
    println!(
        "{} mails: {done} done, {parked} wait for a person, {dead} dead; {} orders; {} ms from resume to idle.",
        mails.len(),
        found.len(),
        took.as_millis(),
    );
    println!(
        "Everything lies in {}: the store, the mails (Processed), the replies (outgoing).",
        folder.display()
    );
    let accounted = done + parked == mails.len() as u64 && tasks.len() == mails.len();
    if !accounted {
        eprintln!("error: not every mail came to an end it should have");
    }
    Ok(accounted)
}

async fn ready(client: &AdminClient, queue: &QueueName) -> Result<u64, DemoError> {
    Ok(client.queue_stats(queue).await?.counts.map_or(0, |counts| counts.ready))
}

async fn all_tasks(store: &(impl TaskReader + ?Sized), queue: QueueName) -> Result<Vec<Task>, DemoError> {
    let filter = TaskFilter { queue: Some(queue), ..TaskFilter::default() };
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(filter.clone(), after, 500).await?;
        tasks.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            tasks.reverse();
            return Ok(tasks);
        }
    }
}

fn count(tasks: &[Task]) -> StateCounts {
    let mut counts = StateCounts::default();
    for task in tasks {
        *counts.of_mut(task.state) += 1;
    }
    counts
}

fn outcomes_table(tasks: &[Task]) -> String {
    // Two of the mails are the same bytes: their names are handed out in order.
    let mut names: HashMap<String, Vec<&str>> = HashMap::new();
    for (name, raw) in bundled_mails().iter().rev() {
        names.entry(blake3::hash(raw).to_hex().to_string()).or_default().push(name);
    }
    let mut rows: Vec<Vec<String>> = tasks
        .iter()
        .map(|task| {
            let hash =
                serde_json::from_slice::<IncomingMail>(&task.payload).ok().and_then(|mail| mail.content);
            let name = hash.and_then(|hash| names.get_mut(&hash)?.pop()).unwrap_or("?");
            vec![name.to_owned(), task.state.to_string(), outcome(task)]
        })
        .collect();
    rows.sort();
    table(&["MAIL", "STATE", "OUTCOME"], rows.into_iter())
}

fn outcome(task: &Task) -> String {
    if let Some(error) = task.last_error.as_ref().filter(|_| task.output.is_none()) {
        return format!("{}: {}", error.code, error.message.chars().take(100).collect::<String>());
    }
    let Some(outcome) =
        task.output.as_deref().and_then(|output| serde_json::from_slice::<MailOutcome>(output).ok())
    else {
        return String::new();
    };
    let mut text = outcome.verdict;
    if outcome.answered {
        text.push_str(", answered");
    }
    if let Some(of) = outcome.duplicate_of {
        text.push_str(&format!(" of {of}"));
    }
    text
}

/// The tree as `runtimectl tree` shows it.
async fn print_tree(admin: SocketAddr) -> Result<(), DemoError> {
    let arguments = ["runtimectl", "--endpoint", &admin.to_string(), "tree"].map(OsString::from);
    match cli::run_here(arguments, &SystemClock, None).await {
        cli::Exit::Ok => Ok(()),
        _ => Err("the tree cannot be shown".into()),
    }
}

/// A folder for a demo that was given none; it stays, so that one can look.
///
/// # Errors
/// When none can be made.
pub fn fresh_folder() -> std::io::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("mail-order-bot-").tempdir()?;
    Ok(folder.keep())
}
