//! The line to the server: cut, silent, or to a server that can do less.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::task::TaskState;

use crate::inbox::{Inbox, settings, subjects};
use crate::proxy::{Line, Proxy};
use crate::{FOLDERS, counts, deliver, dovecot};

#[tokio::test]
async fn a_server_without_move_or_uidplus_is_served_by_copying() {
    let dovecot = dovecot().await;
    for (user, hidden, left) in [
        ("ann", &["MOVE"][..], 0),
        // Without UIDPLUS nothing may be expunged, since that could take the deletions of others along.
        ("ben", &["MOVE", "UIDPLUS"][..], 2),
    ] {
        for subject in subjects(2) {
            deliver(&dovecot, user, &subject).await;
        }
        let proxy = Proxy::hiding(dovecot.imap_addr(), hidden).await;
        let mut settings = settings(&dovecot, "imap_polling", user);
        settings["port"] = proxy.addr.port().into();
        let mut inbox = Inbox::new(settings).await;
        inbox.open().await;
        inbox.take_in(2, 10).await;
        inbox.finish(0..2, TaskState::Done).await;
        assert_eq!(counts(&dovecot, user, FOLDERS).await, [left, 2, 0]);
        // What is marked as deleted is not taken in again.
        inbox.open().await;
        deliver(&dovecot, user, "order-0002").await;
        inbox.take_in(3, 10).await;
        assert_eq!((inbox.subjects().await, inbox.known), (subjects(3), 0));
    }
    let proxy = Proxy::hiding(dovecot.imap_addr(), &["IDLE"]).await;
    let mut settings = settings(&dovecot, "imap_idle", "ann");
    settings["port"] = proxy.addr.port().into();
    let error = Inbox::new(settings).await.source.open().await.expect_err("no IDLE");
    assert!(error.message.contains("configure imap_polling"), "{error}");
}

#[tokio::test]
async fn a_line_that_is_cut_anywhere_never_passes_a_part_off_as_the_whole() {
    let dovecot = dovecot().await;
    for subject in subjects(3) {
        deliver(&dovecot, "ann", &subject).await;
    }
    let proxy = Proxy::start(dovecot.imap_addr(), Line::IsCut, usize::MAX).await;
    let mut settings = settings(&dovecot, "imap_idle", "ann");
    settings["port"] = proxy.addr.port().into();
    let mut inbox = Inbox::new(settings).await;
    inbox.open().await;
    inbox.take_in(3, 10).await;
    inbox.source.finished(&[]).await.expect("still in step");
    let whole = inbox.raw().await;

    // At every end of a line, where a part looks like a whole, and within lines.
    let ends = proxy.line_ends();
    for cut in ends.iter().flat_map(|end| [*end, end - 2]) {
        proxy.limit_to(cut);
        inbox.renew();
        let known = inbox.known;
        let error = async {
            inbox.source.open().await?;
            while inbox.known < known + 3 {
                let found = inbox.source.next(10).await?;
                inbox.enqueue(found).await;
            }
            inbox.source.finished(&[]).await?;
            inbox.source.next(1).await.map(drop)
        };
        let error = error.await.expect_err("a cut line");
        assert_eq!(error.code, ErrorCode::SourceUnavailable, "cut after {cut} bytes");
    }
    assert!(ends.len() > 30, "{} cuts", ends.len());
    assert_eq!((inbox.accepted.len(), inbox.raw().await), (3, whole));
}

#[tokio::test]
async fn a_line_that_is_cut_while_marking_leaves_every_mail_in_one_folder() {
    let dovecot = dovecot().await;
    let (mut cut, mut cuts) = (1, 0);
    loop {
        let user = format!("user{cut}");
        for subject in subjects(2) {
            deliver(&dovecot, &user, &subject).await;
        }
        let proxy = Proxy::start(dovecot.imap_addr(), Line::IsCut, usize::MAX).await;
        let mut settings = settings(&dovecot, "imap_polling", &user);
        settings["port"] = proxy.addr.port().into();
        settings["poll_secs"] = 300.into();
        let mut inbox = Inbox::new(settings).await;
        inbox.open().await;
        inbox.take_in(2, 10).await;
        proxy.limit_to(proxy.said() + cut);
        let marked = inbox.source.finished(&inbox.ended(0..2, TaskState::Done)).await;
        if marked.is_err() {
            // The pump tells again what it could not get rid of.
            proxy.limit_to(usize::MAX);
            inbox.finish(0..2, TaskState::Done).await;
        }
        assert_eq!(counts(&dovecot, &user, FOLDERS).await, [0, 2, 0], "cut after {cut} bytes");
        if marked.is_ok() {
            break;
        }
        (cut, cuts) = (cut + 31, cuts + 1);
    }
    assert!(cuts > 4, "{cuts} cuts");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let dovecot = dovecot().await;
    deliver(&dovecot, "ann", "order-0000").await;
    let through = |proxy: &Proxy, kind: &str| {
        let mut settings = settings(&dovecot, kind, "ann");
        settings["port"] = proxy.addr.port().into();
        settings["timeout_secs"] = 1.into();
        settings
    };
    let proxy = Proxy::hiding(dovecot.imap_addr(), &[]).await;
    let mut inbox = Inbox::new(through(&proxy, "imap_polling")).await;
    inbox.open().await;
    inbox.take_in(1, 1).await;
    let whole = proxy.said();

    for silent_after in [0, whole / 4, whole / 2, whole - 1] {
        let proxy = Proxy::start(dovecot.imap_addr(), Line::FallsSilent, silent_after).await;
        let mut inbox = Inbox::new(through(&proxy, "imap_idle")).await;
        let gave_up = async {
            inbox.source.open().await?;
            loop {
                inbox.source.next(1).await?;
            }
        };
        let gave_up: Result<(), TaskError> =
            tokio::time::timeout(Duration::from_secs(60), gave_up).await.expect("in time");
        let error = gave_up.expect_err("silence");
        assert!(error.message.contains("did not answer within 1 s"), "after {silent_after} bytes: {error}");
    }
}
