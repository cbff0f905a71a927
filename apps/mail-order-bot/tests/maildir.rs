//! A Maildir as a source: driven by hand, as a source's pump drives it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mail_order_bot::sources::{AccountName, IncomingMail, Maildir, MaildirConfig, SourceConfig};
use runtime::core::error::ErrorCode;
use runtime::core::name::{IdempotencyKey, Route};
use runtime::core::source::{Finished, Found, Source};
use runtime::core::task::{TaskId, TaskState};
use tempfile::TempDir;

/// A Maildir in a folder of its own.
struct World {
    folder: TempDir,
    maildir: Maildir,
}

fn setup() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let maildir = Maildir::create(folder.path().join("mail")).expect("a Maildir");
    World { folder, maildir }
}

fn config_at(path: impl Into<PathBuf>) -> MaildirConfig {
    let mut config = MaildirConfig::new(AccountName::new("orders").expect("a name"), path);
    config.poll_ms = NonZeroU64::MIN;
    config
}

fn source_of(config: MaildirConfig) -> Box<dyn Source> {
    let route = Route {
        app: "shop".parse().expect("a name"),
        queue: "mails".parse().expect("a name"),
        handler: "mail".parse().expect("a name"),
    };
    SourceConfig::Maildir(config).build(Arc::new(route))
}

fn source_at(path: impl Into<PathBuf>) -> Box<dyn Source> {
    source_of(config_at(path))
}

impl World {
    async fn source(&self) -> Box<dyn Source> {
        let mut source = source_at(self.maildir.path());
        source.open().await.expect("open");
        source
    }

    fn path(&self, file: &str) -> PathBuf {
        self.maildir.path().join(file)
    }

    /// The names of the files in a folder of the Maildir.
    fn files(&self, folder: &str) -> BTreeSet<String> {
        let listed = fs::read_dir(self.path(folder)).expect("a folder");
        listed.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
    }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// The next mails; a source that says nothing for half a minute has lost one.
async fn next(source: &mut Box<dyn Source>, up_to: usize) -> Vec<Found> {
    let found = tokio::time::timeout(Duration::from_secs(30), source.next(up_to)).await;
    found.expect("a mail in time").expect("a mail")
}

/// The next `count` mails.
async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<Found> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(next(source, count - all.len()).await);
    }
    all
}

fn mail(found: &Found) -> IncomingMail {
    serde_json::from_slice(&found.task.payload).expect("a payload")
}

fn task(number: u64) -> TaskId {
    TaskId::new("2026-01-01T00:00:00Z".parse().expect("a time"), 1, number)
}

fn finished(found: &[Found], state: TaskState) -> Vec<Finished> {
    let ended = |(number, found): (usize, &Found)| Finished {
        key: found.key.clone(),
        task: task(number as u64),
        state,
        output: None,
    };
    found.iter().enumerate().map(ended).collect()
}

fn names(found: &[Found]) -> BTreeSet<String> {
    found.iter().map(|found| found.key.as_str().trim_start_matches("orders/").to_owned()).collect()
}

#[tokio::test]
async fn mail_is_found_whether_it_was_there_before_or_came_while_open() {
    let world = setup();
    let before = world.maildir.deliver(b"From: ann\n\nbefore").expect("deliver");
    let mut source = world.source().await;
    let found = next(&mut source, 10).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key.as_str(), format!("orders/{before}"));
    let payload = mail(&found[0]);
    assert_eq!(payload.content, Some(blake3::hash(b"From: ann\n\nbefore").to_hex().to_string()));
    assert_eq!((payload.source.as_str(), payload.size, payload.oversize), ("orders", 17, false));
    assert_eq!(found[0].writes.len(), 1);

    let (found, after) = tokio::join!(next(&mut source, 10), async {
        world.maildir.deliver(b"From: ann\n\nafter").expect("deliver")
    });
    assert_eq!(names(&found), set([&after]), "only what is new");
    source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
    assert_eq!(world.files("new"), set([&before]), "what is not finished stays");
}

#[tokio::test]
async fn finished_mails_move_away_by_how_their_task_ended() {
    let world = setup();
    let mut source = world.source().await;
    let [done, dead, cancelled] = [b"1", b"2", b"3"].map(|raw| world.maildir.deliver(raw).expect("deliver"));
    let mut found = take(&mut source, 3).await;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    for (found, state) in found.iter().zip([TaskState::Done, TaskState::Dead, TaskState::Cancelled]) {
        let ended = finished(std::slice::from_ref(found), state);
        source.finished(&ended).await.expect("mark");
        source.finished(&ended).await.expect("marking twice is harmless");
    }
    assert_eq!(world.files("new"), set([]));
    assert_eq!(world.files(".Processed/cur"), set([&format!("{done}:2,S")]));
    assert_eq!(world.files(".Failed/cur"), set([&format!("{dead}:2,S"), &format!("{cancelled}:2,S")]));
    assert!(world.path(".Processed/maildirfolder").is_file(), "mail programs see a folder");
}

#[tokio::test]
async fn a_mail_that_was_renamed_or_removed_meanwhile_is_marked_without_error() {
    let world = setup();
    let mut source = world.source().await;
    let [read, removed] = [b"1", b"2"].map(|raw| world.maildir.deliver(raw).expect("deliver"));
    let found = take(&mut source, 2).await;
    // A person read one with another program, and deleted the other.
    fs::rename(world.path(&format!("new/{read}")), world.path(&format!("cur/{read}:2,FS"))).expect("rename");
    fs::remove_file(world.path(&format!("new/{removed}"))).expect("remove");
    source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
    assert_eq!(world.files("cur"), set([]));
    assert_eq!(world.files(".Processed/cur"), set([&format!("{read}:2,S")]));
}

#[tokio::test]
async fn what_was_not_marked_before_a_crash_is_found_again_and_is_the_same() {
    let world = setup();
    world.maildir.deliver(b"From: ann\n\nthree bolts").expect("deliver");
    let first = {
        let mut source = world.source().await;
        next(&mut source, 1).await
    };
    let mut source = world.source().await;
    let again = next(&mut source, 1).await;
    assert_eq!((&again[0].key, &again[0].task), (&first[0].key, &first[0].task));

    // The source is opened again by its pump, too, and marks what another session found.
    source.open().await.expect("open again");
    source.finished(&finished(&first, TaskState::Done)).await.expect("mark");
    assert_eq!(world.files(".Processed/cur").len(), 1);
    source.open().await.expect("open again");
    let unique = world.maildir.deliver(b"another").expect("deliver");
    assert_eq!(names(&next(&mut source, 10).await), set([&unique]), "the marked one is gone for good");
}

#[tokio::test]
async fn a_name_that_comes_again_replaces_nothing() {
    let world = setup();
    let mut source = world.source().await;
    let unique = world.maildir.deliver(b"the first").expect("deliver");
    let first = next(&mut source, 1).await;
    source.finished(&finished(&first, TaskState::Done)).await.expect("mark");

    fs::write(world.path(&format!("new/{unique}")), b"the second").expect("write");
    let second = next(&mut source, 1).await;
    assert_eq!(second[0].key, first[0].key, "the outside calls it the same");
    assert_ne!(mail(&second[0]).content, mail(&first[0]).content);
    source.finished(&finished(&second, TaskState::Done)).await.expect("mark");
    let kept: BTreeSet<_> = world
        .files(".Processed/cur")
        .iter()
        .map(|file| fs::read(world.path(".Processed/cur").join(file)).expect("a mail"))
        .collect();
    assert_eq!(kept, [b"the first".to_vec(), b"the second".to_vec()].into());
}

#[tokio::test]
async fn only_unread_mails_are_taken_and_the_oddest_name_is_no_obstacle() {
    let world = setup();
    let long = "x".repeat(255);
    let odd: [&[u8]; 4] = [b"no-\xff-text", b"line\nbreak", long.as_bytes(), b":2,"];
    for name in odd {
        fs::write(world.path("new").join(OsStr::from_bytes(name)), name).expect("write");
    }
    for (file, taken) in [
        ("cur/plain", true),
        ("cur/replied:2,R", true),
        ("cur/seen:2,S", false),
        ("cur/trashed:2,RT", false),
        ("new/flagged:2,S", true),
        ("new/.hidden", false),
        ("tmp/unfinished", false),
    ] {
        fs::write(world.path(file), if taken { "unread" } else { "not to be read" }).expect("write");
    }
    fs::create_dir(world.path("new/folder")).expect("a folder");
    std::os::unix::fs::symlink("/dev/zero", world.path("new/endless")).expect("a link");

    let mut source = world.source().await;
    let found = take(&mut source, 7).await;
    let texts: Vec<_> = found.iter().filter_map(|found| mail(found).content).collect();
    let unread = blake3::hash(b"unread").to_hex().to_string();
    assert_eq!(texts.iter().filter(|hash| **hash == unread).count(), 3);
    source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
    assert_eq!(world.files(".Processed/cur").len(), 7);
    assert_eq!(world.files("new"), set([".hidden", "endless", "folder"]));
    assert_eq!(world.files("cur"), set(["seen:2,S", "trashed:2,RT"]));

    let last = world.maildir.deliver(b"the last").expect("deliver");
    assert_eq!(names(&next(&mut source, 10).await), set([&last]), "nothing else was left to take");
}

#[tokio::test]
async fn a_mail_that_is_too_large_becomes_a_task_without_content() {
    let world = setup();
    let large = world.maildir.deliver(&[b'x'; 1001]).expect("deliver");
    let fits = world.maildir.deliver(&[b'y'; 1000]).expect("deliver");
    let mut config = config_at(world.maildir.path());
    config.max_mail_bytes = NonZeroU64::new(1000).expect("not zero");
    let mut source = source_of(config);
    source.open().await.expect("open");
    let found = take(&mut source, 2).await;
    let by_name = |name: &str| found.iter().find(|found| found.key.as_str().ends_with(name)).expect("found");
    let large = by_name(&large);
    assert_eq!(mail(large).content, None);
    assert_eq!((mail(large).oversize, mail(large).size, large.writes.len()), (true, 1001, 0));
    let fits = by_name(&fits);
    assert_eq!((mail(fits).oversize, mail(fits).size, fits.writes.len()), (false, 1000, 1));
    source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
    assert_eq!(world.files(".Processed/cur").len(), 2, "it is moved away like any other");
}

#[tokio::test]
async fn a_mail_that_cannot_be_read_stops_no_other_and_stays() {
    // Even root cannot open a path beyond 4,096 bytes; the folders get their long names when the mails are in.
    const DEPTH: usize = 16;
    let folder = tempfile::tempdir().expect("a folder");
    let short = (0..DEPTH).fold(folder.path().to_owned(), |path, _| path.join("d"));
    let inbox = Maildir::create(&short).expect("a Maildir");
    let good = inbox.deliver(b"good").expect("deliver");
    let bad = "b".repeat(230);
    fs::write(short.join("new").join(&bad), b"good in time").expect("write");
    let long = "d".repeat((3_900 - folder.path().as_os_str().len()) / DEPTH - 1);
    let deep = (0..DEPTH).fold(folder.path().to_owned(), |path, _| {
        fs::rename(path.join("d"), path.join(&long)).expect("rename");
        path.join(&long)
    });
    assert!(fs::read(deep.join("new").join(&bad)).is_err(), "the path is too long");

    let mut source = source_at(&deep);
    source.open().await.expect("open");
    let found = next(&mut source, 10).await;
    assert_eq!(names(&found), set([&good]));
    source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
    let more = Maildir::open(&deep).expect("a Maildir").deliver(b"more").expect("deliver");
    assert_eq!(names(&next(&mut source, 10).await), set([&more]), "the source goes on");

    // The cause is gone: so is the trouble.
    drop(source);
    let short = folder.path().join("m");
    fs::rename(&deep, &short).expect("rename");
    let mut source = source_at(&short);
    source.open().await.expect("open");
    let found = take(&mut source, 2).await;
    let hash = blake3::hash(b"good in time").to_hex().to_string();
    assert!(found.iter().any(|found| mail(found).content.as_ref() == Some(&hash)));
}

#[tokio::test]
async fn a_thousand_mails_come_once_each_in_the_portions_asked_for() {
    const MAILS: usize = 1_000;
    let world = setup();
    for number in 0..MAILS {
        // Without waiting for the disk, which `deliver` does for each.
        fs::write(world.path(&format!("new/{number:04}.host")), format!("mail {number}")).expect("write");
    }
    let mut source = world.source().await;
    let mut all = Vec::new();
    while all.len() < MAILS {
        let found = next(&mut source, 7).await;
        assert!((1..=7).contains(&found.len()));
        source.finished(&finished(&found, TaskState::Done)).await.expect("mark");
        all.extend(found);
    }
    assert_eq!(names(&all).len(), MAILS);
    let order: Vec<_> = all.iter().map(|found| found.key.clone()).collect();
    assert!(order.is_sorted(), "in the order of their names, which is that of delivery");
    assert_eq!((world.files("new").len(), world.files(".Processed/cur").len()), (0, MAILS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_at_any_moment_loses_nothing() {
    const MAILS: usize = 300;
    let world = setup();
    let mut source = world.source().await;
    let maildir = world.maildir.clone();
    let delivery = tokio::task::spawn_blocking(move || {
        (0..MAILS).map(|n| maildir.deliver(format!("mail {n}").as_bytes()).expect("deliver")).collect()
    });
    let (mut all, mut calls, mut dropped) = (Vec::new(), 0_u64, 0_u64);
    while all.len() < MAILS {
        // Every other call is polled once alone, the rest up to long enough for a look at the folder.
        let moment = Duration::from_micros(calls % 2 * (calls * 7_919 % 3_000));
        calls += 1;
        match tokio::time::timeout(moment, source.next(3)).await {
            Ok(found) => all.extend(found.expect("mails")),
            Err(_) => dropped += 1,
        }
        if dropped % 16 == 0
            && let Some(last) = all.last().cloned()
        {
            source.finished(&finished(&[last], TaskState::Done)).await.expect("mark");
        }
    }
    assert!(dropped > 10, "the test dropped {dropped} calls");
    let delivered: BTreeSet<String> = delivery.await.expect("delivered");
    assert_eq!((all.len(), names(&all)), (MAILS, delivered));
}

#[tokio::test]
async fn what_is_no_maildir_is_refused_with_its_path() {
    let world = setup();
    for path in [Path::new("nowhere"), Path::new("")] {
        let path = world.folder.path().join(path);
        let mut source = source_at(&path);
        let error = source.open().await.expect_err("no Maildir");
        assert_eq!(error.code, ErrorCode::SourceUnavailable);
        assert!(error.message.contains(&*path.to_string_lossy()), "{error}");
        let key = IdempotencyKey::new("orders/x").expect("a key");
        let ended = Finished { key, task: task(1), state: TaskState::Done, output: None };
        assert!(source.next(1).await.is_err() && source.finished(&[ended]).await.is_err());
    }
}

#[tokio::test]
async fn a_maildir_that_disappears_is_an_error_until_it_is_back() {
    let world = setup();
    let mut source = world.source().await;
    let away = world.folder.path().join("away");
    fs::rename(world.maildir.path(), &away).expect("rename");
    let error = tokio::time::timeout(Duration::from_secs(30), source.next(1)).await.expect("in time");
    assert_eq!(error.expect_err("gone").code, ErrorCode::SourceUnavailable);
    source.open().await.expect_err("still gone");
    fs::rename(&away, world.maildir.path()).expect("rename");
    source.open().await.expect("back");
    let unique = world.maildir.deliver(b"mail").expect("deliver");
    assert_eq!(names(&next(&mut source, 1).await), set([&unique]));
}

#[test]
fn many_deliver_at_a_time_and_no_name_comes_twice() {
    let world = setup();
    let deliver = |thread: usize| -> Vec<String> {
        (0..25).map(|n| world.maildir.deliver(format!("{thread} {n}").as_bytes()).expect("deliver")).collect()
    };
    let unique: BTreeSet<String> = std::thread::scope(|scope| {
        let deliver = &deliver;
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || deliver(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("delivered")).collect()
    });
    assert_eq!(unique.len(), 100);
    assert_eq!(world.files("new"), unique);
    assert_eq!(world.files("tmp"), set([]));
}
