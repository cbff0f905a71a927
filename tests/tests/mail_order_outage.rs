//! The mail order bot while the mail server that its replies leave through is down: they wait, none is lost, and none leaves twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime_admin::AdminClient;
use runtime_proto::v1;
use runtime_tests::bot::{BotFolder, order_mail};
use runtime_tests::eventually_async;
use runtime_tests::servers::SmtpServer;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mail_order_bot_under_test");

/// Orders that come in before the server goes down, and while it is down.
const BEFORE: usize = 3;
const MEANWHILE: usize = 20;
const ALL: usize = BEFORE + MEANWHILE;

const PATIENCE: Duration = Duration::from_mins(2);

/// Opens after two failures in a row, for a moment.
const BREAKER: &str = "[dependencies.smtp]\nfailures = 2\nopen_for_ms = 200\nfactor = 2\ncap_ms = 800\n";

/// A breaker that never opens is none.
const NO_BREAKER: &str = "[dependencies.smtp]\nfailures = 4294967295\n";

/// The one thing that the bot depends on, and how well its app is.
async fn smtp(client: &AdminClient) -> (v1::Dependency, v1::HealthLevel) {
    let overview = client.overview().await.expect("an overview");
    let [smtp] = &overview.dependencies[..] else { panic!("one dependency") };
    assert_eq!((smtp.name.as_str(), smtp.workers.as_slice()), ("smtp", &["workers/replies".to_owned()][..]));
    let health = overview.apps[0].health.as_ref().expect("the app says how it is").level();
    (smtp.clone(), health)
}

/// Replies that have been tried in vain, or are being tried, and how often in all.
async fn tried(client: &AdminClient) -> (usize, u64) {
    let replies = client.tasks("queue = replies", 1_000).await.expect("listed");
    let tried = replies.iter().filter(|task| task.attempt > 0 && task.state() != v1::TaskState::Done);
    tried.fold((0, 0), |(tasks, attempts), task| (tasks + 1, attempts + u64::from(task.attempt)))
}

/// How many replies the server took, by the mail that they answer.
fn taken(server: &SmtpServer) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for mail in server.mails().expect("the mails") {
        let text = String::from_utf8(mail).expect("our mails are ASCII");
        let answers = text.lines().find_map(|line| line.strip_prefix("In-Reply-To: "));
        *taken.entry(answers.expect("it answers a mail").trim().to_owned()).or_default() += 1;
    }
    taken
}

fn answered_once(server: &SmtpServer) {
    let taken = taken(server);
    let asked: BTreeSet<String> =
        (0..ALL).map(|number| format!("<generated-{number}@mail.example>")).collect();
    assert_eq!(taken.keys().cloned().collect::<BTreeSet<_>>(), asked, "every customer is answered");
    assert!(taken.values().all(|count| *count == 1), "and once: {taken:?}");
}

#[tokio::test]
async fn replies_wait_while_the_mail_server_is_down_and_all_leave_once_when_it_is_back() {
    let server = SmtpServer::start().await.expect("a mail server");
    let folder = BotFolder::new(PROGRAM, None);
    folder.configure_smtp(server.addr(), BREAKER);
    (0..BEFORE).for_each(|number| folder.deliver(&order_mail(number)));
    let mut bot = folder.start();
    let client = bot.client().await;
    bot.until(&client, "replies", "the first replies leave", |depth| depth.done == BEFORE as u64).await;
    assert_eq!(smtp(&client).await.0.state(), v1::BreakerState::Closed);

    server.stop().await.expect("the outage");
    (BEFORE..ALL).for_each(|number| folder.deliver(&order_mail(number)));
    // Orders go on, and each is settled with its reply whatever the breaker says.
    bot.until(&client, "orders", "every mail is an order", |depth| depth.done == ALL as u64).await;
    let open = eventually_async("the breaker opens, and opens again after a probe", async || {
        let (smtp, health) = smtp(&client).await;
        let opened = smtp.state() == v1::BreakerState::Open && smtp.failures >= 3;
        opened.then_some((smtp, health))
    })
    .await;
    assert!(open.0.next_probe_at.is_some(), "{:?}", open.0);
    eventually_async("the app says that it waits", async || {
        (smtp(&client).await.1 == v1::HealthLevel::Degraded).then_some(())
    })
    .await;
    let waiting =
        bot.until(&client, "replies", "every reply is there", |depth| depth.all() == ALL as u64).await;
    assert_eq!(
        (waiting.done, waiting.parked, waiting.dead),
        (BEFORE as u64, 0, 0),
        "they wait, none is lost"
    );
    // The breaker counted every attempt in vain, but for one that had begun when it opened, and one that is the probe now.
    let (_, attempts) = tried(&client).await;
    let failures = u64::from(smtp(&client).await.0.failures);
    assert!(attempts <= failures + 2, "{attempts} attempts, {failures} failures");

    server.start_again().await.expect("the server is back, on the same port");
    server.wait_for_mails(ALL, PATIENCE).await.expect("all replies");
    let end = bot.until(&client, "replies", "all replies left", |depth| depth.done == ALL as u64).await;
    assert_eq!(end.all(), ALL as u64);
    eventually_async("the breaker is closed and all is well", async || {
        let (smtp, health) = smtp(&client).await;
        (smtp.state() == v1::BreakerState::Closed && health == v1::HealthLevel::Healthy).then_some(())
    })
    .await;
    assert!(bot.terminate().success(), "{}", folder.log());
    answered_once(&server);
    for told in ["breaker opened", "breaker half-open", "breaker closed"] {
        assert!(folder.log().contains(told), "{told}: {}", folder.log());
    }
}

#[tokio::test]
async fn the_control_without_a_breaker_tries_every_reply_and_sees_what_is_sent_twice() {
    let server = SmtpServer::start().await.expect("a mail server");
    let folder = BotFolder::new(PROGRAM, None);
    folder.configure_smtp(server.addr(), NO_BREAKER);
    server.stop().await.expect("the outage");
    (0..MEANWHILE).for_each(|number| folder.deliver(&order_mail(number)));
    let mut bot = folder.start();
    let client = bot.client().await;
    eventually_async("every reply spends an attempt on a server that is down", async || {
        (tried(&client).await.0 == MEANWHILE).then_some(())
    })
    .await;
    let (smtp, _) = smtp(&client).await;
    assert_eq!(smtp.state(), v1::BreakerState::Closed, "{smtp:?}");
    bot.kill();

    // A second bot that knows nothing of the first answers a mail of its own: to the server that is the same customer twice.
    server.start_again().await.expect("the server is back");
    for _ in 0..2 {
        let other = BotFolder::new(PROGRAM, None);
        other.configure_smtp(server.addr(), BREAKER);
        other.deliver(&order_mail(0));
        let mut bot = other.start();
        let client = bot.client().await;
        bot.until(&client, "replies", "the reply leaves", |depth| depth.done == 1).await;
        assert!(bot.terminate().success(), "{}", other.log());
    }
    assert_eq!(taken(&server), BTreeMap::from([("<generated-0@mail.example>".to_owned(), 2)]));
}
