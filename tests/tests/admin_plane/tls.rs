//! A process whose admin API speaks TLS to clients with a certificate.

use std::fs;

use runtime_admin::{AdminClient, ClientError, ClientTls};
use runtime_core::error::ErrorCode;
use runtime_tests::authority::Authority;
use runtime_tests::eventually_async;
use runtime_tests::ground::Ground;
use rustix::process::Signal;

#[tokio::test]
async fn sub_commands_reach_a_process_that_speaks_tls_through_its_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let (certificate, key) = authority.sign("server");
    let tls = format!(
        "admin.tls={{ certificate = {certificate:?}, key = \"file:{}\", client_ca = {:?} }}",
        key.display(),
        authority.file
    );
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start_with(&["--set", &tls], &[]);
    let client = process.client().await;
    client.info().await.expect("the socket in the data folder asks for no certificate");

    let listed = ground.command(Some("worker")).arg("list").status().expect("it runs");
    assert_eq!(listed.code(), Some(0), "{}", ground.log());

    let log = ground.log();
    let (_, rest) = log.split_once("https://").expect("the log says where it listens");
    let endpoint = format!("https://{}", rest.split('"').next().expect("an address"));
    let with = |identity| ClientTls { ca: Some(authority.file.clone()), identity };
    let shown =
        AdminClient::connect_with(&endpoint, &with(Some(authority.sign("client")))).await.expect("let in");
    shown.info().await.expect("served");
    let refused = match AdminClient::connect_with(&endpoint, &with(None)).await {
        Ok(client) => client.info().await.expect_err("nobody without a certificate is served"),
        Err(error) => error,
    };
    assert!(matches!(refused, ClientError::Connect { .. } | ClientError::ConnectionLost(_)), "{refused:?}");
    assert_eq!(process.stop().await, 0);
    assert!(!ground.data_dir().join("admin.sock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_other_certificates_or_refuses_them_and_keeps_those_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let (certificate, key) = authority.sign("server");
    let tls = format!("admin.tls={{ certificate = {certificate:?}, key = \"file:{}\" }}", key.display());
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start_with(&["--set", &tls], &[]);
    let client = process.client().await;
    let log = ground.log();
    let (_, rest) = log.split_once("https://").expect("the log says where it listens");
    let endpoint = format!("https://{}", rest.split('"').next().expect("an address"));
    let trusting = ClientTls { ca: Some(authority.file.clone()), identity: None };
    let ask = async || AdminClient::connect_with(&endpoint, &trusting).await?.info().await;
    ask().await.expect("served");
    let before = client.config().await.expect("the configuration").certificates.expect("it speaks TLS");
    assert!(before.server_ends.is_some() && before.clients_end.is_none());
    assert_eq!(
        client.reload_config(false).await.expect("reloaded").certificates,
        None,
        "nothing has changed"
    );

    // A key of another certificate: nothing changes, and it is said why.
    let good = fs::read(&key).expect("the key");
    let (_, other) = authority.sign("other");
    fs::copy(&other, &key).expect("replaced");
    match client.reload_config(false).await {
        Err(ClientError::Refused(refusal)) => {
            assert_eq!(refusal.code, Some(ErrorCode::CertificateUnusable));
            assert!(refusal.message.contains("nothing was changed"), "{}", refusal.message);
        }
        other => panic!("expected a refusal: {other:?}"),
    }
    ask().await.expect("those before stay");

    // Another certificate with its key, of the same authority and with another end: in force with the answer.
    fs::write(&key, good).expect("as it was");
    let ends = |year| rcgen::date_time_ymd(year, 1, 1).unix_timestamp();
    authority.sign_until("server", 2044);
    let preview = client.reload_config(true).await.expect("a preview").certificates.expect("other ones");
    assert_eq!(client.config().await.expect("the configuration").certificates, Some(before), "only a look");
    let reloaded = client.reload_config(false).await.expect("reloaded").certificates;
    assert_eq!(reloaded, Some(preview));
    assert_eq!(preview.server_ends.expect("an end").seconds, ends(2044));
    assert_eq!(client.config().await.expect("the configuration").certificates, Some(preview));
    ask().await.expect("served with it");

    // The same by signal.
    authority.sign_until("server", 2045);
    process.signal(Signal::HUP);
    eventually_async("the signal reloads", async || {
        let now = client.config().await.expect("the configuration").certificates.expect("it speaks TLS");
        (now.server_ends.expect("an end").seconds == ends(2045)).then_some(())
    })
    .await;
    assert_eq!(process.stop().await, 0);
}
