//! What is secret is planted wherever a process meets it, everything it can say is switched on, and what the receiver got is searched.

use runtime_admin::{AdminClient, ClientError};
use runtime_proto::v1;
use runtime_tests::ground::Job;
use runtime_tests::servers::Rotel;
use runtime_tests::{eventually_async, eventually_within};

use crate::{ARRIVE_WITHIN, enqueue, ground, set, until_done};

/// In payloads.
const IN_PAYLOADS: &str = "canary-of-a-payload";
/// The token that the configuration names.
const IN_CONFIGURATION: &str = "canary-of-the-configuration-0123456789";
/// A token that is none.
const WRONG: &str = "canary-of-a-stranger";

#[tokio::test(flavor = "multi_thread")]
async fn payloads_tokens_and_the_secrets_of_the_configuration_reach_no_receiver() {
    let rotel = Rotel::start().await.expect("a receiver");
    let ground = ground();
    let token_file = ground.path().join("token");
    std::fs::write(&token_file, IN_CONFIGURATION).expect("a file");
    let mut args = set("telemetry.otlp_endpoint", &rotel.grpc_endpoint()).to_vec();
    args.extend(set("telemetry.log_filter", "trace"));
    args.extend(set("telemetry.metrics_every_secs", "1"));
    args.extend(set("admin.authentication", "required"));
    args.extend(set("admin.bootstrap_token", &format!("file:{}", token_file.display())));
    let mut process = ground.start_with(&args, &[]);
    let endpoint = eventually_async("the admin API listens", async || process.endpoint()).await;
    let connect =
        async || eventually_async("it answers", async || AdminClient::connect(&endpoint).await.ok()).await;
    let root = connect().await.with_token(IN_CONFIGURATION).expect("a token");

    let alice = "alice".parse().expect("a name");
    let principal = v1::Principal { grants: vec!["admin".into()], ..Default::default() };
    root.create_principal(&alice, principal).await.expect("a principal");
    let token = root.create_token(&alice, &"laptop".parse().expect("a name"), None).await.expect("a token");
    let client = connect().await.with_token(&token.text).expect("a token");
    for n in 1..=4 {
        let job = Job { n, ballast: IN_PAYLOADS.into(), fails: u32::from(n == 2), ..Job::default() };
        enqueue(&client, &job).await;
    }
    until_done(&client, 4).await;
    let stranger = connect().await.with_token(WRONG).expect("a header");
    assert!(matches!(stranger.info().await, Err(ClientError::Refused(_))));
    root.revoke_token(
        &token.token.expect("a token").name.trim_start_matches("tokens/").parse().expect("an id"),
        "over",
    )
    .await
    .expect("revoked");
    assert!(matches!(client.info().await, Err(ClientError::Refused(_))));
    eventually_within(ARRIVE_WITHIN, "metrics, logs and traces arrive", async || {
        let arrived = !rotel.metrics().is_empty() && !rotel.logs().is_empty() && rotel.spans().len() >= 8;
        arrived.then_some(())
    })
    .await;
    assert_eq!(process.stop().await, 0, "{}", ground.log());
    rotel.stop().await.expect("it stops");

    let secret = token.text.rsplit('_').next().expect("a secret").to_owned();
    let everything = format!("{}{}", rotel.text(), ground.log());
    for canary in [IN_PAYLOADS, IN_CONFIGURATION, WRONG, &secret] {
        assert!(!everything.contains(canary), "{canary} got out: {}", line_with(&everything, canary));
    }
    // What a handler says of itself does get out, and so does what was asked: looking for text in all this does find it.
    for said in ["fails at first, as its input says", "process job"] {
        assert!(rotel.text().contains(said), "{said}");
    }
}

fn line_with<'t>(text: &'t str, part: &str) -> &'t str {
    text.lines().find(|line| line.contains(part)).unwrap_or_default()
}
