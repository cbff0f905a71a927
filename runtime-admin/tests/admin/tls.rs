//! The server over TLS: who is let in, what keeps it from serving, and certificates that change while it serves.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime_admin::{
    AdminClient, AdminError, AdminServerConfig, Authentication, CertificateError, CertificateFiles,
    Certificates, ClientError, ClientTls, KeySource, ListenAddress,
};
use runtime_core::error::ErrorCode;
use tonic::transport::Endpoint;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::authority::{Authority, MachineClock, files, shows};
use crate::control::InMemoryControl;
use crate::world::{Started, config, setup, setup_with, start};

fn load(files: CertificateFiles) -> Result<Certificates, CertificateError> {
    Certificates::load(files, Arc::new(MachineClock))
}

async fn start_with(certificates: &Certificates) -> Started {
    let config = AdminServerConfig { certificates: Some(certificates.clone()), ..config() };
    start(config, InMemoryControl::new()).await
}

async fn ask(address: &ListenAddress, tls: &ClientTls) -> Result<(), ClientError> {
    AdminClient::connect_with(&address.to_string(), tls).await?.info().await.map(drop)
}

#[tokio::test]
async fn a_client_with_a_certificate_is_served_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients) =
        (Authority::new(folder.path(), "servers"), Authority::new(folder.path(), "clients"));
    let strangers = Authority::new(folder.path(), "strangers");
    let certificates = load(files(servers.sign("server"), Some(&clients))).unwrap();
    let server = start_with(&certificates).await;
    let address = &server.address;

    ask(address, &shows(&servers, Some(clients.sign("deploy")))).await.unwrap();
    let no =
        |error: &ClientError| matches!(error, ClientError::Connect { .. } | ClientError::ConnectionLost(_));
    let nothing = ask(address, &shows(&servers, None)).await.unwrap_err();
    let stranger = ask(address, &shows(&servers, Some(strangers.sign("stranger")))).await.unwrap_err();
    let untrusted = ask(address, &shows(&strangers, Some(clients.sign("other")))).await.unwrap_err();
    let plain = ask(address, &ClientTls::default()).await.unwrap_err();
    for error in [nothing, stranger, untrusted, plain] {
        assert!(no(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_has_ended_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let certificates = load(files(authority.sign("server"), Some(&authority))).unwrap();
    let server = start_with(&certificates).await;
    let address = &server.address;
    let ended = authority.sign_for("ended", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    ask(address, &shows(&authority, Some(ended))).await.unwrap_err();
    ask(address, &shows(&authority, Some(authority.sign("valid")))).await.unwrap();
}

#[tokio::test]
async fn an_address_that_others_reach_is_served_with_tls_and_authentication() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let open = |clients: Option<&Authority>| {
        let certificates = load(files(authority.sign("server"), clients)).unwrap();
        let address: SocketAddr = "0.0.0.0:0".parse().unwrap();
        AdminServerConfig { certificates: Some(certificates), ..AdminServerConfig::new(address) }
    };
    let required = Authentication::Required { bootstrap: None };
    for clients in [None, Some(&authority)] {
        open(clients).check(required).unwrap();
        let error = open(clients).check(Authentication::Off).unwrap_err();
        assert_eq!(error.code(), ErrorCode::AdminExposed);
        assert!(error.to_string().contains("who calls"), "{error}");
    }

    let socket = AdminServerConfig { listen: "unix:admin.sock".parse().unwrap(), ..open(Some(&authority)) };
    assert!(matches!(socket.check(required), Err(AdminError::TlsOverSocket { .. })));
}

#[test]
fn what_cannot_be_used_is_named_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority = Authority::new(folder.path(), "authority");
    let (certificate, key) = authority.sign("server");
    let (_, other_key) = authority.sign("other");
    let (ended, ended_key) = authority.sign_for("ended", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        at(name)
    };
    let garbage = write("garbage", "-----BEGIN canary PRIVATE KEY-----\ncanary\n", 0o600);
    let open = write("open.key", &fs::read_to_string(&key).unwrap(), 0o644);
    let huge = write("huge.pem", &"canary ".repeat(200_000), 0o600);
    let pipe = at("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let not_x509 =
        write("not-x509.pem", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n", 0o600);
    let file = |path: &Path| KeySource::File(path.to_owned());
    let unset = KeySource::Variable("RUNTIME_TEST_VARIABLE_THAT_NOBODY_SETS".into());
    let error = |certificate: &Path, key: KeySource, client_ca: Option<&Path>| {
        let files = CertificateFiles {
            certificate: certificate.to_owned(),
            key,
            client_ca: client_ca.map(Into::into),
        };
        let error = load(files).expect_err("refused");
        assert_eq!(error.code(), ErrorCode::CertificateUnusable);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        error
    };
    use CertificateError::*;
    assert!(matches!(error(&at("missing"), file(&key), None), Unreadable { .. }));
    assert!(matches!(error(&certificate, file(&at("missing")), None), Unreadable { .. }));
    assert!(matches!(error(&pipe, file(&key), None), Unreadable { .. }));
    assert!(matches!(error(&certificate, file(&key), Some(&pipe)), Unreadable { .. }));
    assert!(matches!(error(&certificate, file(&open), None), KeyExposed { mode: 0o644, .. }));
    assert!(matches!(error(&certificate, file(&garbage), None), NoKey { .. }));
    assert!(matches!(error(&certificate, file(&certificate), None), KeyExposed { .. } | NoKey { .. }));
    assert!(matches!(error(&certificate, unset, None), NotSet { .. }));
    assert!(matches!(error(&certificate, file(&other_key), None), Unusable(_)));
    assert!(matches!(error(&ended, file(&ended_key), None), Ended { .. }));
    assert!(matches!(error(&key, file(&key), None), NoCertificate { .. }));
    assert!(matches!(error(&huge, file(&key), None), TooLarge { .. }));
    assert!(matches!(error(&not_x509, file(&key), None), NotX509 { .. }));
    assert!(matches!(error(&certificate, file(&key), Some(&garbage)), NoCertificate { .. }));
    assert!(matches!(error(&certificate, file(&key), Some(&not_x509)), NoAuthority { .. }));
}

#[tokio::test]
async fn changed_certificates_are_taken_whole_while_the_server_serves() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "old"), Authority::new(folder.path(), "new"));
    let certificates = load(files(old.sign("server"), Some(&old))).unwrap();
    let server = start_with(&certificates).await;
    let address = &server.address;
    let with_old = shows(&old, Some(old.sign("client-of-old")));
    let with_new = ClientTls { ca: Some(new.file.clone()), ..with_old.clone() };
    ask(address, &with_old).await.unwrap();
    assert!(!certificates.reload().unwrap(), "nothing has changed");

    // The certificate is there already, and its key is not.
    let key = fs::read(folder.path().join("server.key")).unwrap();
    new.sign("server");
    let new_key = fs::read(folder.path().join("server.key")).unwrap();
    fs::write(folder.path().join("server.key"), key).unwrap();
    assert!(matches!(certificates.reload(), Err(CertificateError::Unusable(_))));
    ask(address, &with_old).await.expect("those before stay");

    fs::write(folder.path().join("server.key"), new_key).unwrap();
    assert!(certificates.reload().unwrap());
    ask(address, &with_new).await.unwrap();
    ask(address, &with_old).await.unwrap_err();
}

#[tokio::test]
async fn who_was_let_in_by_an_authority_that_is_trusted_no_longer_has_to_leave() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "old"), Authority::new(folder.path(), "new"));
    let certificates = load(files(old.sign("server"), Some(&old))).unwrap();
    let server = start_with(&certificates).await;
    let address = &server.address;
    let let_in = AdminClient::connect_with(&address.to_string(), &shows(&old, Some(old.sign("client"))))
        .await
        .unwrap();
    let_in.info().await.unwrap();

    fs::copy(&new.file, &old.file).unwrap();
    assert!(certificates.reload().unwrap());
    // It may finish what it began; a connection that it opens anew is refused.
    tokio::time::timeout(Duration::from_secs(30), async { while let_in.info().await.is_ok() {} })
        .await
        .expect("it has to leave");
}

#[tokio::test]
async fn changed_files_are_noticed_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "old"), Authority::new(folder.path(), "new"));
    let certificates = load(files(old.sign("server"), None)).unwrap();
    let config = AdminServerConfig {
        certificates: Some(certificates),
        certificates_interval: Duration::from_millis(10),
        ..config()
    };
    let server = start(config, InMemoryControl::new()).await;
    ask(&server.address, &shows(&old, None)).await.unwrap();
    new.sign("server");
    tokio::time::timeout(Duration::from_secs(30), async {
        while ask(&server.address, &shows(&new, None)).await.is_err() {}
    })
    .await
    .expect("the change is noticed");
}

#[tokio::test]
async fn a_client_says_what_is_wrong_with_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let missing = ClientTls { ca: Some(folder.path().join("missing")), identity: None };
    let error = AdminClient::connect_with("127.0.0.1:1", &missing).await.unwrap_err();
    assert!(matches!(error, ClientError::File { what: "authority", .. }), "{error:?}");
    let (certificate, key) = authority.sign("client");
    let swapped = shows(&authority, Some((key, certificate)));
    let error = AdminClient::connect_with("127.0.0.1:1", &swapped).await.unwrap_err();
    assert!(matches!(error, ClientError::File { what: "certificate", .. }), "{error:?}");
    for without_tls in ["http://127.0.0.1:1", "unix:admin.sock"] {
        let error = AdminClient::connect_with(without_tls, &shows(&authority, None)).await.unwrap_err();
        assert!(matches!(error, ClientError::WithoutTls(_)), "{error:?}");
    }
}

#[tokio::test]
async fn over_a_unix_socket_the_same_client_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let listen = ListenAddress::Unix(folder.path().join("admin.sock"));
    let endpoint = listen.endpoint(false);
    let server = AdminServerConfig { listen, ..config() };
    let Started { stop, ended, .. } = start(server, InMemoryControl::new()).await;
    let client = AdminClient::connect(&endpoint).await.unwrap();
    client.info().await.unwrap();
    drop(client);
    stop.send(()).unwrap();
    ended.await.unwrap().unwrap();
    assert!(AdminClient::connect(&endpoint).await.is_err(), "the socket goes with its server");
}

/// The services that a server says it has; `None` when it does not say.
async fn reflected(endpoint: String) -> Option<Vec<String>> {
    let channel = Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let question = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let questions = futures_util::stream::iter([question]);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(questions).await.ok()?.into_inner();
    match answers.message().await.unwrap()?.message_response? {
        MessageResponse::ListServicesResponse(list) => {
            Some(list.service.into_iter().map(|service| service.name).collect())
        }
        _ => None,
    }
}

#[tokio::test]
async fn the_api_is_described_only_where_that_is_wanted() {
    assert_eq!(reflected(setup().await.endpoint()).await, None);
    let described =
        setup_with(AdminServerConfig { reflection: true, ..config() }, InMemoryControl::new()).await;
    let services = reflected(described.endpoint()).await.expect("described");
    for service in
        ["runtime.admin.v1.SystemService", "runtime.admin.v1.QueueService", "grpc.health.v1.Health"]
    {
        assert!(services.iter().any(|known| known == service), "{services:?}");
    }
}
