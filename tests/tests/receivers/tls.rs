//! A receiver that is known by its certificate.

use runtime_tests::authority::Authority;
use runtime_tests::eventually;
use runtime_tests::ground::Job;
use runtime_tests::servers::Rotel;

use crate::tunnel::Tunnel;
use crate::{ARRIVE_WITHIN, enqueue, ground, set, until_done};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_a_certificate_of_its_own_authority_gets_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let rotel = Rotel::start().await.expect("a receiver");
    let tls = authority.acceptor(&authority.sign("receiver"));
    let tunnel = Tunnel::to(&rotel.grpc_endpoint(), Some(tls)).await;
    tunnel.answer();
    let ground = ground();
    let mut args = set("telemetry.otlp_endpoint", &format!("https://{}", tunnel.address())).to_vec();
    args.extend(set("telemetry.otlp_ca_file", authority.file.to_str().expect("a path")));
    let mut process = ground.start_with(&args, &[]);
    let client = process.client().await;
    enqueue(&client, &Job { fails: 1, ..Job::plain(1) }).await;
    until_done(&client, 1).await;
    assert_eq!(process.stop().await, 0, "{}", ground.log());
    let wanted = |text: &str| {
        ["process job", "attempt ended", "runtime.task.settled"].iter().all(|it| text.contains(it))
    };
    rotel.wait_for(wanted, ARRIVE_WITHIN).await.expect("traces, logs and metrics arrive");
    rotel.stop().await.expect("it stops");
}

/// The control: whoever does not trust the authority sends nothing there, says so, and works on.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_trusted_gets_nothing_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, other) = (Authority::new(folder.path()), tempfile::tempdir().expect("a folder"));
    let trusted = Authority::new(other.path());
    let rotel = Rotel::start().await.expect("a receiver");
    let tls = authority.acceptor(&authority.sign("receiver"));
    let tunnel = Tunnel::to(&rotel.grpc_endpoint(), Some(tls)).await;
    tunnel.answer();
    let ground = ground();
    let mut args = set("telemetry.otlp_endpoint", &format!("https://{}", tunnel.address())).to_vec();
    args.extend(set("telemetry.otlp_ca_file", trusted.file.to_str().expect("a path")));
    args.extend(set("runtime.flush_secs", "2"));
    let mut process = ground.start_with(&args, &[]);
    let client = process.client().await;
    enqueue(&client, &Job::plain(1)).await;
    until_done(&client, 1).await;
    eventually("it was tried", || tunnel.was_reached().then_some(())).await;
    assert_eq!(process.stop().await, 0, "{}", ground.log());
    assert!(ground.log().contains("the last traces were not sent"), "{}", ground.log());
    rotel.stop().await.expect("it stops");
    assert!(!rotel.text().contains("process job"), "{}", rotel.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").expect("a file");
    let ground = ground();
    let mut args = set("telemetry.otlp_endpoint", "https://localhost:1").to_vec();
    args.extend(set("telemetry.otlp_ca_file", file.to_str().expect("a path")));
    let mut process = ground.start_with(&args, &[]);
    assert!(!process.end().await.success());
    assert!(ground.log().contains("it holds no certificate in PEM form"), "{}", ground.log());
}
