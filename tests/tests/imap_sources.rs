//! IMAP sources against a real mail server: by polling and by IDLE, through restarts, cuts and changes behind their back.

#[path = "imap_sources/inbox.rs"]
mod inbox;
#[path = "imap_sources/lines.rs"]
mod lines;
#[path = "imap_sources/proxy.rs"]
mod proxy;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inbox::{Inbox, KINDS, mail, settings, subjects};
use runtime_core::error::ErrorCode;
use runtime_core::task::TaskState;
use runtime_tests::servers::Dovecot;
use serde_json::Value;

async fn dovecot() -> Dovecot {
    Dovecot::start().await.expect("a mail server")
}

async fn deliver(dovecot: &Dovecot, user: &str, subject: &str) {
    dovecot.deliver_lmtp(user, &mail(subject)).await.expect("deliver");
}

/// How many mails the user's folders hold.
async fn counts<const N: usize>(dovecot: &Dovecot, user: &str, folders: [&str; N]) -> [usize; N] {
    let mut counts = [0; N];
    for (count, folder) in counts.iter_mut().zip(folders) {
        *count = dovecot.count(user, folder).await.expect("a count");
    }
    counts
}

const FOLDERS: [&str; 3] = ["INBOX", "Processed", "Failed"];

#[tokio::test]
async fn mail_is_taken_in_once_and_moves_when_its_task_is_finished() {
    let dovecot = dovecot().await;
    for kind in KINDS {
        deliver(&dovecot, kind, "order-0000").await;
        let mut inbox = Inbox::new(settings(&dovecot, kind, kind)).await;
        inbox.open().await;
        inbox.take_in(1, 10).await;
        assert_eq!(counts(&dovecot, kind, FOLDERS).await, [1, 0, 0], "it stays until it is finished");

        // The source waits already, or is about to, when these come.
        tokio::join!(inbox.take_in(3, 10), async {
            deliver(&dovecot, kind, "order-0001").await;
            deliver(&dovecot, kind, "order-0002").await;
        });
        assert_eq!(inbox.subjects().await, subjects(3));
        inbox.finish(0..1, TaskState::Done).await;
        inbox.finish(1..2, TaskState::Dead).await;
        inbox.finish(2..3, TaskState::Cancelled).await;
        assert_eq!(counts(&dovecot, kind, FOLDERS).await, [0, 1, 2]);
        inbox.finish(0..3, TaskState::Done).await;
        assert_eq!(counts(&dovecot, kind, FOLDERS).await, [0, 1, 2], "marking twice changes nothing");
        let flags = dovecot.doveadm(&["fetch", "-u", kind, "flags", "mailbox", "Processed", "all"]).await;
        assert!(flags.expect("flags").contains("\\Seen"));

        deliver(&dovecot, kind, "order-0003").await;
        inbox.take_in(4, 10).await;
        assert_eq!((inbox.subjects().await, inbox.known, inbox.errors.len()), (subjects(4), 0, 0));
    }
}

#[tokio::test]
async fn what_is_not_marked_comes_again_under_the_same_name_also_to_the_other_kind() {
    let dovecot = dovecot().await;
    deliver(&dovecot, "ann", "order-0000").await;
    let mut inbox = Inbox::new(settings(&dovecot, "imap_polling", "ann")).await;
    inbox.open().await;
    inbox.take_in(1, 10).await;
    inbox.open().await;
    deliver(&dovecot, "ann", "order-0001").await;
    inbox.take_in(2, 10).await;
    assert_eq!(inbox.known, 1, "the store knew it");

    let mut idle = Inbox::new(settings(&dovecot, "imap_idle", "ann")).await;
    idle.open().await;
    idle.take_in(2, 1).await;
    let keys = |inbox: &Inbox| inbox.accepted.iter().map(|(key, _, _)| key.clone()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&idle), keys(&inbox));
    let payloads = |inbox: &Inbox| {
        inbox.accepted.iter().map(|(_, _, mail)| mail.outside.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(payloads(&idle), payloads(&inbox));
    // Each marks what the other may have marked already.
    idle.finish(0..2, TaskState::Done).await;
    inbox.finish(0..2, TaskState::Done).await;
    assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mail_is_taken_in_once_while_the_server_restarts_and_kicks() {
    const MAILS: usize = 60;
    for kind in KINDS {
        let dovecot = dovecot().await;
        let mut inbox = Inbox::new(settings(&dovecot, kind, "ann")).await;
        inbox.open().await;
        let trouble = async {
            let mut kicks = 0;
            for (n, subject) in subjects(MAILS).into_iter().enumerate() {
                deliver(&dovecot, "ann", &subject).await;
                match n % 15 {
                    7 => dovecot.restart().await.expect("restart"),
                    3 | 11 => kicks += usize::from(dovecot.kick("ann").await.expect("kick")),
                    _ => {}
                }
            }
            kicks
        };
        let work = async {
            for taken in (5..=MAILS).step_by(5) {
                inbox.take_in(taken, 4).await;
                inbox.finish(taken - 5..taken, TaskState::Done).await;
            }
        };
        let (kicks, ()) = tokio::join!(trouble, work);
        assert_eq!(inbox.subjects().await, subjects(MAILS));
        assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, MAILS, 0]);
        assert!(kicks > 0 && !inbox.errors.is_empty(), "{kicks} kicks, errors: {:?}", inbox.errors);
        assert!(inbox.errors.iter().all(|error| error.code == ErrorCode::SourceUnavailable));
    }
}

#[tokio::test]
async fn a_kicked_session_says_why_and_an_idle_one_is_issued_anew() {
    let dovecot = dovecot().await;
    let mut inbox = Inbox::new(settings(&dovecot, "imap_idle", "ann")).await;
    inbox.open().await;
    // With `poll_secs` at 1, IDLE is issued several times over before the mail comes.
    let quiet = tokio::time::timeout(Duration::from_millis(2_500), inbox.source.next(1)).await;
    assert!(quiet.is_err(), "there is no mail: {quiet:?}");
    deliver(&dovecot, "ann", "order-0000").await;
    inbox.take_in(1, 1).await;

    assert!(dovecot.kick("ann").await.expect("kick"));
    let error = inbox.source.next(1).await.expect_err("kicked");
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("good-bye") || error.message.contains("closed"), "{error}");
    let error = inbox.source.next(1).await.expect_err("not open any more");
    assert!(error.message.contains("not open"), "{error}");
    inbox.open().await;
    inbox.finish(0..1, TaskState::Done).await;
    assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, 1, 0]);
}

#[tokio::test]
async fn another_uidvalidity_gives_mails_other_names_and_voids_the_old_ones() {
    for kind in KINDS {
        let dovecot = dovecot().await;
        for subject in subjects(2) {
            deliver(&dovecot, "ann", &subject).await;
        }
        let mut inbox = Inbox::new(settings(&dovecot, kind, "ann")).await;
        inbox.open().await;
        inbox.take_in(2, 10).await;

        dovecot.set_uid_validity("ann", "INBOX", 4711).await.expect("another UIDVALIDITY");
        // Whether the server ends the session by itself is its affair; a new session sees the change.
        inbox.open().await;
        inbox.finish(0..2, TaskState::Done).await;
        assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [2, 0, 0], "old names mark nothing");
        inbox.take_in(4, 10).await;
        let contents = |range: std::ops::Range<usize>| -> BTreeSet<_> {
            inbox.accepted[range].iter().map(|(_, _, mail)| mail.content.clone()).collect()
        };
        assert_eq!(contents(0..2), contents(2..4), "the content tells that they are the same");
        assert_eq!(inbox.raw().await.len(), 2, "and is kept once");
        assert!(inbox.accepted[2].0.as_str().starts_with("orders/INBOX/4711/"), "{:?}", inbox.accepted[2].0);
        inbox.finish(2..4, TaskState::Done).await;
        assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, 2, 0]);
    }
}

#[tokio::test]
async fn another_uidvalidity_during_a_session_neither_loses_nor_misplaces_a_mail() {
    for kind in KINDS {
        let dovecot = dovecot().await;
        deliver(&dovecot, "ann", "order-0000").await;
        let mut inbox = Inbox::new(settings(&dovecot, kind, "ann")).await;
        inbox.open().await;
        inbox.take_in(1, 10).await;
        dovecot.set_uid_validity("ann", "INBOX", 4711).await.expect("another UIDVALIDITY");
        deliver(&dovecot, "ann", "order-0001").await;
        inbox.take_in(3, 10).await;
        assert!(!inbox.errors.is_empty(), "the session noticed");
        inbox.finish(0..3, TaskState::Done).await;
        assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, 2, 0]);
        let subjects = inbox.subjects().await;
        assert_eq!(subjects, ["order-0000", "order-0000", "order-0001"]);
    }
}

#[tokio::test]
async fn a_refused_login_says_so_and_not_the_password() {
    let dovecot = dovecot().await;
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2 \"and more\\\"\n").expect("write");
    let with = |password: String| {
        let mut settings = settings(&dovecot, "imap_idle", "ann");
        settings["password"] = password.into();
        settings
    };
    let mut inbox = Inbox::new(with(format!("file:{}", secret.display()))).await;
    let error = inbox.source.open().await.expect_err("a wrong password");
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("login of ann failed"), "{error}");
    assert!(error.message.contains("AUTHENTICATIONFAILED"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");

    let mut inbox = Inbox::new(with(format!("file:{}", folder.path().join("none").display()))).await;
    let error = inbox.source.open().await.expect_err("no password");
    assert!(error.message.contains("the password is missing"), "{error}");
}

#[tokio::test]
async fn tls_is_trusted_by_the_authority_that_is_configured_and_by_no_other() {
    let (dovecot, other) = tokio::join!(dovecot(), dovecot());
    deliver(&dovecot, "ann", "order-0000").await;
    let with = |tls: &str, ca_file: Option<&Path>, host: &str| -> Value {
        let mut settings = settings(&dovecot, "imap_idle", "ann");
        let addr = if tls == "implicit" { dovecot.imaps_addr() } else { dovecot.imap_addr() };
        settings["tls"] = tls.into();
        settings["port"] = addr.port().into();
        settings["host"] = host.into();
        settings["ca_file"] = ca_file.map(|path| path.display().to_string()).into();
        settings
    };
    for tls in ["implicit", "starttls"] {
        for host in ["localhost", "127.0.0.1"] {
            let mut inbox = Inbox::new(with(tls, Some(&dovecot.ca_file()), host)).await;
            inbox.source.open().await.expect("trusted");
            inbox.take_in(1, 1).await;
        }
        for wrong in [Some(other.ca_file()), None] {
            let mut inbox = Inbox::new(with(tls, wrong.as_deref(), "localhost")).await;
            let error = inbox.source.open().await.expect_err("another authority");
            assert_eq!(error.code, ErrorCode::SourceUnavailable);
            let no_roots = error.message.contains("no authority to trust");
            assert!(
                no_roots || error.message.contains("no trusted TLS: invalid peer certificate"),
                "{error}"
            );
        }
        let mut inbox = Inbox::new(with(tls, Some(Path::new("/nowhere/ca.pem")), "localhost")).await;
        let error = inbox.source.open().await.expect_err("no such file");
        assert!(error.message.contains("CA file /nowhere/ca.pem"), "{error}");
    }
}

#[tokio::test]
async fn a_big_mail_comes_whole_and_a_bigger_one_without_content() {
    let dovecot = dovecot().await;
    let lines =
        |count: usize| (0..count).map(|n| format!("line {n} of a long list of parts\n")).collect::<String>();
    // 14 MB, so that it is a batch of its own, and two small ones beside it.
    let big = [mail("order-0001"), lines(400_000).into_bytes()].concat();
    deliver(&dovecot, "ann", "order-0000").await;
    dovecot.deliver_lmtp("ann", &big).await.expect("deliver");
    deliver(&dovecot, "ann", "order-0002").await;
    let mut inbox = Inbox::new(settings(&dovecot, "imap_polling", "ann")).await;
    inbox.open().await;
    inbox.take_in(3, 10).await;
    let raw = inbox.raw().await;
    let (hash, kept) = raw.iter().max_by_key(|(_, raw)| raw.len()).expect("mails");
    assert_eq!(blake3::hash(kept).to_hex().as_str(), hash);
    let sent = String::from_utf8(big).expect("text").replace('\n', "\r\n");
    assert!(kept.ends_with(sent.as_bytes()), "only the server's own headers come before it");

    let mut settings = settings(&dovecot, "imap_polling", "ann");
    settings["max_mail_bytes"] = 1_000_000.into();
    let mut inbox = Inbox::new(settings).await;
    inbox.open().await;
    inbox.take_in(3, 10).await;
    let oversize: Vec<_> = inbox.accepted.iter().filter(|(_, _, mail)| mail.oversize).collect();
    assert_eq!(oversize.len(), 1);
    assert_eq!((oversize[0].2.content.as_ref(), oversize[0].2.size), (None, kept.len() as u64));
    assert_eq!(inbox.raw().await.len(), 2);
    inbox.finish(0..3, TaskState::Done).await;
    assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, 3, 0], "it is moved away like any other");
}

#[tokio::test]
async fn a_mail_that_the_server_cannot_give_keeps_no_other_waiting() {
    let dovecot = dovecot().await;
    for subject in subjects(3) {
        deliver(&dovecot, "ann", &subject).await;
    }
    let path = dovecot.doveadm(&["mailbox", "path", "-u", "ann", "INBOX"]).await.expect("a path");
    let files = || {
        let list = |folder| std::fs::read_dir(Path::new(path.trim()).join(folder)).expect("a folder");
        ["new", "cur"].map(list).into_iter().flatten().map(|file| file.expect("a mail").path())
    };
    let of_mail =
        |file: &PathBuf| std::fs::read_to_string(file).is_ok_and(|raw| raw.contains("Subject: order-0001"));
    let access =
        |file: &Path, mode| std::fs::set_permissions(file, Permissions::from_mode(mode)).expect("set");
    access(&files().find(of_mail).expect("the mail"), 0o000);

    let mut inbox = Inbox::new(settings(&dovecot, "imap_idle", "ann")).await;
    inbox.open().await;
    inbox.take_in(2, 10).await;
    assert_eq!(inbox.subjects().await, ["order-0000", "order-0002"]);
    inbox.finish(0..2, TaskState::Done).await;
    deliver(&dovecot, "ann", "order-0003").await;
    inbox.take_in(3, 10).await;
    inbox.finish(2..3, TaskState::Done).await;
    assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [1, 3, 0], "it stays where it was");
    assert!(inbox.errors.len() <= 4, "it is not tried again and again: {:?}", inbox.errors);

    access(&files().next().expect("the mail"), 0o600);
    let mut inbox = Inbox::new(settings(&dovecot, "imap_idle", "ann")).await;
    inbox.open().await;
    inbox.take_in(1, 10).await;
    assert_eq!(inbox.subjects().await, ["order-0001"]);
}

#[tokio::test]
async fn two_thousand_mails_come_once_each_in_the_portions_asked_for() {
    const MAILS: usize = 2_000;
    let dovecot = dovecot().await;
    fill(&dovecot, "ann", MAILS).await;
    let mut inbox = Inbox::new(settings(&dovecot, "imap_idle", "ann")).await;
    inbox.open().await;
    inbox.take_in(MAILS, 50).await;
    assert_eq!(inbox.subjects().await, subjects(MAILS));
    inbox.finish(0..MAILS, TaskState::Done).await;
    assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, MAILS, 0]);
    assert_eq!(inbox.errors, []);
}

/// Fills an inbox by putting files where the server keeps its mails, as another program on its machine may.
async fn fill(dovecot: &Dovecot, user: &str, mails: usize) {
    // The first delivery makes the folder.
    deliver(dovecot, user, &subjects(mails)[0]).await;
    let path = dovecot.doveadm(&["mailbox", "path", "-u", user, "INBOX"]).await.expect("a path");
    let new = Path::new(path.trim()).join("new");
    let owner = std::fs::metadata(&new).expect("a folder");
    for (n, subject) in subjects(mails).iter().enumerate().skip(1) {
        let file = new.join(format!("{n}.host"));
        std::fs::write(&file, mail(subject)).expect("write");
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("the server's own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_at_any_moment_loses_nothing() {
    const MAILS: usize = 120;
    for kind in KINDS {
        let dovecot = dovecot().await;
        let mut inbox = Inbox::new(settings(&dovecot, kind, "ann")).await;
        inbox.open().await;
        let deliveries = async {
            for subject in subjects(MAILS) {
                deliver(&dovecot, "ann", &subject).await;
            }
        };
        let mut dropped = 0_u64;
        let drops = async {
            let mut marked = 0;
            while inbox.accepted.len() < MAILS {
                // From not polled at all to longer than a dialogue with the server takes.
                let moment = Duration::from_micros(dropped * 7_919 % 20_000);
                match tokio::time::timeout(moment, inbox.source.next(3)).await {
                    Ok(found) => inbox.enqueue(found.expect("mails")).await,
                    Err(_) => dropped += 1,
                }
                if inbox.accepted.len() >= marked + 10 {
                    inbox.finish(marked..marked + 10, TaskState::Done).await;
                    marked += 10;
                }
            }
            inbox.finish(marked..MAILS, TaskState::Done).await;
        };
        let bounded =
            tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(deliveries, drops) });
        bounded.await.expect("all mails in time");
        assert_eq!((inbox.subjects().await, inbox.known), (subjects(MAILS), 0));
        assert_eq!(inbox.errors, [], "no dialogue fell out of step");
        assert_eq!(counts(&dovecot, "ann", FOLDERS).await, [0, MAILS, 0]);
        assert!(dropped > 10, "{dropped} calls were dropped");
    }
}

#[tokio::test]
async fn folders_that_are_missing_are_made_with_the_first_mail_for_them() {
    let dovecot = dovecot().await;
    for subject in subjects(2) {
        deliver(&dovecot, "ann", &subject).await;
    }
    let mut settings = settings(&dovecot, "imap_polling", "ann");
    settings["processed"] = "Orders \"done\"".into();
    settings["failed"] = "Orders.failed".into();
    let mut inbox = Inbox::new(settings.clone()).await;
    inbox.open().await;
    inbox.take_in(2, 10).await;
    inbox.finish(0..1, TaskState::Done).await;
    inbox.finish(1..2, TaskState::Dead).await;
    assert_eq!(counts(&dovecot, "ann", ["INBOX", "Orders \"done\"", "Orders.failed"]).await, [0, 1, 1]);

    settings["folder"] = "Missing".into();
    let error = Inbox::new(settings).await.source.open().await.expect_err("no such folder");
    assert!(error.message.contains("folder Missing cannot be opened"), "{error}");
}
