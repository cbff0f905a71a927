//! The mail order bot as a process: the demo, and kill -9 at random.

use std::collections::BTreeSet;
use std::process::Command;

use fastrand::Rng;
use runtime_core::store::TaskCommand;
use runtime_tests::bot::{BotFolder, order_mail};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mail_order_bot_under_test");

#[test]
fn the_demo_accounts_for_every_mail_and_exits_with_0() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(PROGRAM).arg("demo").arg("--dir").arg(folder.path()).output().expect("it runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains(", 0 dead; "), "{shown}");
    let listed = Command::new(PROGRAM)
        .args(["orders", "list", "--set"])
        .arg(format!("runtime.data_dir={:?}", folder.path().join("data")))
        .output()
        .expect("it runs");
    let orders = String::from_utf8_lossy(&listed.stdout).lines().count() - 1;
    assert!(
        shown.contains(&format!("{orders} orders;")),
        "the demo and `orders list` disagree: {orders}\n{shown}"
    );
}

/// Kills the bot again and again while it turns mails into orders. Nothing is lost, nothing is done twice.
#[tokio::test]
async fn killed_at_random_every_mail_is_still_exactly_one_order() {
    let (mails, kills) = if cfg!(feature = "nightly") { (2_000, 100) } else { (300, 12) };
    let seed = std::env::var("RUNTIME_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}: RUNTIME_SEED={seed} runs it again");
    let mut rng = Rng::with_seed(seed);
    let folder = BotFolder::new(PROGRAM, None);
    for number in 0..mails {
        folder.deliver(&order_mail(number));
    }
    for kill in 1..=kills {
        let mut bot = folder.start();
        let client = bot.client().await;
        // A share of what is left, so that every kill meets work; half of the kills come while the tree is still coming up to speed.
        let goal = if rng.bool() { 0 } else { mails as u64 * kill / (kills + 1) };
        bot.until(&client, "orders", "some mails became orders", |depth| depth.done >= goal).await;
        bot.kill();
    }

    let mut bot = folder.start();
    let client = bot.client().await;
    let all = mails as u64;
    let settled = bot
        .until(&client, "orders", "every mail is finished", |depth| depth.all() == all && depth.moving == 0)
        .await;
    // Who was there at three deaths is held for poison, rightly or not: an operator lets it run again.
    if settled.dead > 0 {
        println!("{} tasks were caught in three deaths and are replayed", settled.dead);
        for task in client.tasks("queue = orders AND state = dead", 1_000).await.expect("listed") {
            let id = task.name.trim_start_matches("tasks/").parse().expect("an id");
            client.steer_task(id, TaskCommand::Retry).await.expect("replayed");
        }
        bot.until(&client, "orders", "the replayed are done", |depth| depth.done == all).await;
    }
    let replies = bot
        .until(&client, "replies", "every reply left or is parked", |depth| {
            depth.all() == all && depth.moving == 0
        })
        .await;
    // A mail whose task was dead for a while was marked as such; what was replayed later is not marked again.
    let marked = || folder.mails_in("Processed") + folder.mails_in("Failed");
    runtime_tests::eventually("every mail is marked", || (marked() == mails).then_some(())).await;
    assert!(folder.mails_in("Failed") as u64 <= settled.dead, "only what was dead is marked as failed");
    assert!(bot.terminate().success(), "{}", folder.log());

    assert_eq!(folder.number("SELECT COUNT(*) FROM orders").await, i64::try_from(mails).expect("fits"));
    assert_eq!(
        folder.number("SELECT COUNT(DISTINCT message_id) FROM orders").await,
        i64::try_from(mails).expect("fits")
    );
    assert_eq!(folder.mails_in(""), 0, "no mail is left in the inbox");
    let answered = folder.answered();
    let distinct: BTreeSet<&String> = answered.iter().collect();
    assert_eq!(distinct.len(), answered.len(), "no customer is answered twice");
    // A reply whose sending was cut off between intent and result is parked, whether it left or not.
    assert!(
        answered.len() as u64 + replies.parked + replies.dead >= all,
        "{} answers, {replies:?}",
        answered.len()
    );
    println!("{mails} mails, {kills} kills: {} answered, {} replies parked", answered.len(), replies.parked);
}

#[tokio::test]
async fn the_control_counts_what_is_done_twice() {
    // The same mails under new Message-IDs are new orders: the count above can tell one from two.
    let folder = BotFolder::new(PROGRAM, None);
    for number in [0, 1, 0] {
        folder.deliver(&order_mail(number));
    }
    let changed =
        String::from_utf8(order_mail(0)).expect("text").replace("generated-0@", "generated-again-0@");
    folder.deliver(changed.as_bytes());
    let mut bot = folder.start();
    let client = bot.client().await;
    bot.until(&client, "orders", "every mail is finished", |depth| depth.done == 4).await;
    assert!(bot.terminate().success(), "{}", folder.log());
    assert_eq!(folder.number("SELECT COUNT(*) FROM orders").await, 3);
}
