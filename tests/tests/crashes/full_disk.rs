//! A disk that fills up under a running process, and has room again.

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime_admin::{AdminClient, ClientError, LIVENESS};
use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_core::node::NodePath;
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, Ground, Job};
use tonic_health::ServingStatus;

use crate::world::{assert_all_done_once, enqueue, ground, until_idle};

/// Set in the run of this test that may mount: as root of its own namespace.
const MAY_MOUNT: &str = "RUNTIME_TEST_MAY_MOUNT";

const DISK_MIB: usize = 48;

/// Bytes of each task, so that the disk is full soon.
const BALLAST: usize = 16 * 1024;

#[test]
fn tasks_wait_out_a_full_disk_and_none_is_lost() {
    if std::env::var_os(MAY_MOUNT).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(fill_up_and_make_room());
    }
    // A namespace of its own: no mount is left behind, and nobody has to be root.
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user", "--mount"]).arg(std::env::current_exe().expect("this program"));
    again.args(["--exact", "full_disk::tasks_wait_out_a_full_disk_and_none_is_lost", "--nocapture"]);
    let output = again.env(MAY_MOUNT, "1").output().expect("unshare is there");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if stderr.starts_with("unshare:") {
        println!("not run: this system lends nobody a disk of their own: {stderr}");
        return;
    }
    assert!(output.status.success(), "{stdout}{stderr}");
    println!("{stdout}");
}

async fn fill_up_and_make_room() {
    let ground = ground();
    let _disk = SmallDisk::mount(&ground.data_dir());
    // Each is more than all that was there before: the log has to be folded into the file before there is room for more.
    let (little, much) = (Reserve::take(&ground, "little", 16), Reserve::take(&ground, "much", 24));
    let mut process = ground.start();
    let client = process.client().await;
    let worker: NodePath = format!("/engine/apps/{APP}/workers/job").parse().expect("a path");
    let mut taken = Vec::new();

    // While nothing runs, nothing but the refused tasks can tell.
    client.steer_node(&worker, NodeCommand::Pause).await.expect("it pauses");
    fill_up(&client, &mut taken).await;
    let reason = says_full(&client).await;
    assert!(!reason.contains("outcomes wait"), "{reason}");
    little.give_back();
    says(&client, "", ServingStatus::Serving).await;

    // Now also with attempts under way, whose outcomes need room.
    client.steer_node(&worker, NodeCommand::Resume).await.expect("it resumes");
    fill_up(&client, &mut taken).await;
    says_full(&client).await;
    much.give_back();
    says(&client, "", ServingStatus::Serving).await;
    says(&client, APP, ServingStatus::Serving).await;

    // The last that was refused may have been taken, and only the word of it lost: its key says so.
    let doubtful = heavy(taken.len() as u64);
    enqueue(&client, &doubtful).await.expect("there is room again");
    taken.push(doubtful);
    let after = Job::plain(1_000_000);
    enqueue(&client, &after).await.expect("there is room again");
    taken.push(after);
    until_idle(&client).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &taken).await;
    println!("{} tasks taken, the others refused while the disk was full", taken.len());
}

/// A job that takes room.
fn heavy(n: u64) -> Job {
    Job { n, follow_up: n.is_multiple_of(2), ballast: "x".repeat(BALLAST), ..Job::default() }
}

/// Gives tasks until the disk has no room for twenty of them.
async fn fill_up(client: &AdminClient, taken: &mut Vec<Job>) {
    let mut refused = 0;
    while refused < 20 {
        let job = heavy(taken.len() as u64);
        match enqueue(client, &job).await {
            Ok(_) => taken.push(job),
            Err(ClientError::Refused(refusal)) => {
                let full = [ErrorCode::StoreFull, ErrorCode::AuditUnavailable];
                assert!(refusal.code.is_some_and(|code| full.contains(&code)), "{refusal:?}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The process lives, answers who only looks, and says what is wrong and what to do about it.
async fn says_full(client: &AdminClient) -> String {
    says(client, "", ServingStatus::NotServing).await;
    says(client, LIVENESS, ServingStatus::Serving).await;
    let overview = client.overview().await.expect("who only looks is answered");
    let reason = overview.what.health.expect("a health").reason;
    assert!(reason.contains("full; free some space"), "{reason}");
    reason
}

async fn says(client: &AdminClient, service: &str, wanted: ServingStatus) {
    eventually_async(&format!("{service:?} is {wanted}"), async || {
        (client.health(service).await.expect("an answer") == wanted).then_some(())
    })
    .await;
}

/// A file system of its own at a folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder).status();
        assert!(mounted.expect("mount is there").success(), "a small disk can be mounted");
        Self(folder.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["--lazy"]).arg(&self.0).status());
    }
}

/// Room that somebody else took: something to make room with.
struct Reserve(PathBuf);

impl Reserve {
    fn take(ground: &Ground, name: &str, mib: usize) -> Self {
        let file = ground.data_dir().join(name);
        std::fs::write(&file, vec![0; mib << 20]).expect("the disk has room for it");
        Self(file)
    }

    fn give_back(self) {
        std::fs::remove_file(&self.0).expect("it is there");
    }
}
