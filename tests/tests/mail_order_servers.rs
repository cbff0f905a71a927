//! The mail order bot with a real mail server, and with thousands of real mails that order nothing.

use std::collections::BTreeSet;

use runtime_tests::bot::{BotFolder, order_mail};
use runtime_tests::servers::{Dovecot, MailCorpus};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mail_order_bot_under_test");
const USER: &str = "orders";

fn imap(server: &Dovecot, folder: &BotFolder, kind: &str) -> String {
    std::fs::write(folder.path("password"), Dovecot::PASSWORD).expect("a secret file");
    let port = server.imaps_addr().port();
    format!(
        "kind = \"{kind}\"\naccount = \"shop\"\nhost = \"localhost\"\nport = {port}\ntls = \"implicit\"\nca_file = {:?}\n\
         user = \"{USER}\"\npassword = \"file:{}\"\n{}",
        server.ca_file(),
        folder.path("password").display(),
        if kind == "imap_polling" { "poll_secs = 1\n" } else { "" },
    )
}

/// Mails come in while the server is restarted and sessions are kicked; half way the source changes from polling to IDLE, by
/// configuration alone, after it was a Maildir.
#[tokio::test]
async fn five_hundred_mails_through_restarts_and_kicks_are_five_hundred_orders() {
    let mails = 500;
    let server = Dovecot::start().await.expect("Dovecot");
    let folder = BotFolder::new(PROGRAM, None);
    let mut delivered = 0;

    // First as a Maildir: a few.
    while delivered < 20 {
        folder.deliver(&order_mail(delivered));
        delivered += 1;
    }
    let mut bot = folder.start();
    let client = bot.client().await;
    bot.until(&client, "orders", "the Maildir's mails are orders", |depth| depth.done == 20).await;
    assert!(bot.terminate().success(), "{}", folder.log());

    for (kind, until) in [("imap_polling", 260), ("imap_idle", mails)] {
        folder.configure(Some(&imap(&server, &folder, kind)));
        let mut bot = folder.start();
        let client = bot.client().await;
        while delivered < until {
            server.deliver_lmtp(USER, &order_mail(delivered)).await.expect("delivered");
            delivered += 1;
            match delivered % 60 {
                20 => drop(server.kick(USER).await.expect("kicked, or nobody there")),
                40 => server.restart().await.expect("restarted"),
                _ => {}
            }
        }
        bot.until(&client, "orders", "every mail is an order", |depth| depth.done == until as u64).await;
        let marked = until - 20;
        runtime_tests::eventually_async("every mail is moved", async || {
            (server.count(USER, "Processed").await.expect("counted") == marked).then_some(())
        })
        .await;
        assert!(bot.terminate().success(), "{}", folder.log());
    }
    assert_eq!(server.count(USER, "INBOX").await.expect("counted"), 0);
    assert_eq!(folder.number("SELECT COUNT(*) FROM orders").await, i64::try_from(mails).expect("fits"));
    assert_eq!(
        folder.number("SELECT COUNT(DISTINCT message_id) FROM orders").await,
        i64::try_from(mails).expect("fits")
    );
    let answered = folder.answered();
    let distinct: BTreeSet<&String> = answered.iter().collect();
    assert_eq!(distinct.len(), answered.len(), "no customer is answered twice");
}

#[tokio::test]
async fn thousands_of_real_mails_order_nothing_and_all_are_accounted_for() {
    let corpus = MailCorpus::open().expect("the corpus");
    assert!(corpus.len() >= 3_000, "{} mails", corpus.len());
    let folder = BotFolder::new(PROGRAM, None);
    for mail in corpus.mails() {
        folder.deliver(&mail.expect("a mail").bytes);
    }
    let mut bot = folder.start();
    let client = bot.client().await;
    let all = corpus.len() as u64;
    let depth = bot
        .until(&client, "orders", "every mail came to an end", |depth| {
            depth.all() == all && depth.moving == 0
        })
        .await;
    assert!(bot.terminate().success(), "{}", folder.log());
    assert_eq!(depth.dead, 0, "no mail breaks the handler");
    assert_eq!(folder.number("SELECT COUNT(*) FROM orders").await, 0, "nobody ordered anything");
    assert!(!folder.log().contains("panicked"), "{}", folder.log());
    println!("{all} mails: {} done, {} wait for a person", depth.done, depth.parked);
}
