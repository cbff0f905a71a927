//! A process whose admin API speaks TLS to clients with a certificate.

use runtime_admin::{AdminClient, ClientError, ClientTls};
use runtime_tests::authority::Authority;
use runtime_tests::ground::Ground;

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
