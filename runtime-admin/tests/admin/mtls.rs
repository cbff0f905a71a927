//! Who a client's certificate makes of it, over real TLS: what it may do, what is written down of it, and when it opens nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prost::Message;
use rcgen::{CertificateParams, SanType};
use runtime_admin::{AdminClient, AdminServerConfig, Authentication, Certificates, ClientError, v1};
use runtime_core::access::{Grant, Principal, PrincipalKind, TokenText};
use runtime_core::audit::{AuditEntry, AuditKind};
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use runtime_core::limits::StoreLimits;
use runtime_core::store::{AuditFilter, Revision, Store};
use runtime_stores::MemoryStore;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::authority::{Authority, MachineClock, files, shows};
use crate::control::InMemoryControl;
use crate::guarded::{HandClock, reason};
use crate::raw::call;
use crate::world::{Started, access_to, config, start_with};

const PAUSE: &str = "/runtime.admin.v1.QueueService/PauseQueue";

/// A server over TLS that asks everybody who they are.
struct Walled {
    servers: Authority,
    clients: Authority,
    store: Arc<dyn Store>,
    clock: Arc<HandClock>,
    bootstrap: TokenText,
    server: Started,
    _folder: TempDir,
}

impl Walled {
    /// One that knows these principals by these certificates.
    async fn start(principals: &[(&str, &[&str], &[&str])]) -> Self {
        Self::build(principals, true).await
    }

    async fn build(principals: &[(&str, &[&str], &[&str])], asks: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (servers, clients) =
            (Authority::new(folder.path(), "servers"), Authority::new(folder.path(), "clients"));
        let clock = Arc::new(HandClock(AtomicI64::new(MachineClock.now().as_second())));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default()));
        for (name, grants, certificates) in principals {
            store.put_principal(principal(name, grants, certificates, &*clock), None).await.unwrap();
        }
        let files = files(servers.sign("server"), asks.then_some(&clients));
        let config = AdminServerConfig {
            certificates: Some(Certificates::load(files, clock.clone()).unwrap()),
            ..config()
        };
        let bootstrap = runtime_admin::new_token().unwrap();
        let authentication = Authentication::Required { bootstrap: Some(bootstrap.hash()) };
        let access = access_to(store.clone(), clock.clone(), authentication);
        let server = start_with(config, InMemoryControl::new(), access).await;
        Self { servers, clients, store, clock, bootstrap, server, _folder: folder }
    }

    /// A client that shows the certificate of this name, made anew.
    async fn client(&self, name: &str) -> AdminClient {
        self.client_with(self.clients.sign(name)).await.expect("a connection")
    }

    async fn client_with(&self, identity: (PathBuf, PathBuf)) -> Result<AdminClient, ClientError> {
        let tls = shows(&self.servers, Some(identity));
        AdminClient::connect_with(&self.server.address.to_string(), &tls).await
    }

    /// The bare connection of such a client.
    async fn channel(&self, name: &str) -> Channel {
        let (certificate, key) = self.clients.sign(name);
        let read = |path: &PathBuf| std::fs::read(path).unwrap();
        let tls = tonic::transport::ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(read(&self.servers.file)))
            .identity(tonic::transport::Identity::from_pem(read(&certificate), read(&key)));
        let endpoint = format!("https://{}", self.server.address);
        Channel::from_shared(endpoint).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
    }

    async fn audit(&self) -> Vec<AuditEntry> {
        let mut entries =
            self.store.audit_entries(AuditFilter::default(), None, 1_000).await.unwrap().entries;
        entries.reverse();
        entries
    }
}

fn principal(name: &str, grants: &[&str], certificates: &[&str], clock: &dyn Clock) -> Principal {
    Principal {
        grants: grants.iter().map(|grant| grant.parse::<Grant>().unwrap()).collect(),
        certificates: certificates.iter().map(|text| (*text).to_owned()).collect(),
        ..Principal::almighty(name.parse().unwrap(), PrincipalKind::Service, clock.now())
    }
}

fn pause(queue: &str) -> Vec<u8> {
    v1::PauseQueueRequest { name: format!("queues/{queue}"), reason: "over TLS".into(), ..Default::default() }
        .encode_to_vec()
}

fn code(result: Result<v1::SystemInfo, ClientError>) -> Result<(), (Code, Option<ErrorCode>)> {
    match result {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(refusal)) => Err((refusal.canonical, refusal.code)),
        Err(other) => panic!("neither served nor refused: {other:?}"),
    }
}

const NOBODY: Result<(), (Code, Option<ErrorCode>)> =
    Err((Code::Unauthenticated, Some(ErrorCode::Unauthenticated)));

#[tokio::test]
async fn a_certificate_is_its_principal_with_its_role_and_its_part() {
    let world = Walled::start(&[
        ("deploy", &["operator:queues/mail"], &["CN=deploy"]),
        ("looker", &["viewer"], &["uri:spiffe://shop/looker"]),
    ])
    .await;
    let deploy = world.channel("deploy").await;
    call(&deploy, PAUSE, None, pause("mail")).await.expect("its part");
    let elsewhere = call(&deploy, PAUSE, None, pause("nobody")).await.unwrap_err();
    assert_eq!((elsewhere.code(), reason(&elsewhere)), (Code::PermissionDenied, ErrorCode::PermissionDenied));

    let named = world.clients.sign_for("other", |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::URI("spiffe://shop/looker".try_into().unwrap())];
    });
    let looker = world.client_with(named).await.unwrap();
    looker.queue(&"mail".parse().unwrap()).await.expect("it may look");
    looker.pause_queue(&"mail".parse().unwrap(), None, "over TLS").await.expect_err("and nothing else");

    let entries = world.audit().await;
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| {
            let subject = &entry.subject;
            assert_eq!(subject.token, None, "no token was shown");
            assert!(subject.peer.starts_with("127.0.0.1:"), "{}", subject.peer);
            let who = subject.principal.as_ref().map(|name| name.as_str()).unwrap_or_default();
            (subject.kind, who, &*subject.resource, &*entry.outcome.as_ref().expect("it ended").0.canonical)
        })
        .collect();
    use AuditKind::{Denial, Mutation};
    assert_eq!(
        shown,
        [
            (Mutation, "deploy", "queues/mail", "OK"),
            (Denial, "deploy", "queues/nobody", "PERMISSION_DENIED"),
            (Denial, "looker", "", "PERMISSION_DENIED"),
        ]
    );
}

#[tokio::test]
async fn a_good_certificate_that_is_nobodys_or_of_two_or_of_a_disabled_principal_opens_nothing() {
    let world = Walled::start(&[
        ("one", &["admin"], &["CN=shared"]),
        ("two", &["admin"], &["CN=shared"]),
        ("off", &["admin"], &["CN=off"]),
        ("near", &["admin"], &["cn=lower", "CN=pre", "CN=prefix,O=Shop"]),
    ])
    .await;
    let off = Principal { disabled: true, ..principal("off", &["admin"], &["CN=off"], &*world.clock) };
    world.store.put_principal(off, Some(Revision::FIRST)).await.unwrap();
    let bootstrap = world.client("nobody").await.with_token(world.bootstrap.expose()).unwrap();
    // Any change has the server read again who is known.
    bootstrap.create_principal(&"new".parse().unwrap(), v1::Principal::default()).await.unwrap();
    for name in ["nobody", "shared", "off", "lower", "prefix"] {
        assert_eq!(code(world.client(name).await.info().await), NOBODY, "{name}");
    }
    let denials: Vec<_> = world.audit().await.into_iter().skip(1).collect();
    assert_eq!(denials.len(), 5);
    for entry in denials {
        assert_eq!((entry.subject.kind, entry.subject.principal), (AuditKind::Denial, None));
    }
}

#[tokio::test]
async fn a_token_goes_before_a_certificate_and_a_bad_token_is_not_made_good_by_one() {
    let world = Walled::start(&[("deploy", &["operator"], &["CN=deploy"])]).await;
    let both = world.client("deploy").await.with_token(world.bootstrap.expose()).unwrap();
    both.principals().await.expect("the token's bearer may");
    let by_certificate = world.client("deploy").await;
    assert!(by_certificate.principals().await.is_err(), "the certificate's principal may not");
    let wrong = runtime_admin::new_token().unwrap();
    let bad = world.client("deploy").await.with_token(wrong.expose()).unwrap();
    assert_eq!(code(bad.info().await), NOBODY);
    assert_eq!(code(by_certificate.info().await), Ok(()));
}

#[tokio::test]
async fn where_clients_are_asked_for_no_certificate_none_makes_a_principal_of_them() {
    let world = Walled::build(&[("deploy", &["admin"], &["CN=deploy"])], false).await;
    let client = world.client("deploy").await;
    assert_eq!(code(client.info().await), NOBODY, "nobody has verified what it would have shown");
    assert_eq!(code(client.with_token(world.bootstrap.expose()).unwrap().info().await), Ok(()));
}

/// What the health service says of the whole from now on.
async fn watching(channel: &Channel) -> tonic::Streaming<tonic_health::pb::HealthCheckResponse> {
    let mut health = HealthClient::new(channel.clone());
    let mut told = health.watch(HealthCheckRequest::default()).await.expect("let in").into_inner();
    told.message().await.expect("open").expect("how it is now");
    told
}

/// How such a stream ends.
async fn end_of(mut told: tonic::Streaming<tonic_health::pb::HealthCheckResponse>) -> Status {
    loop {
        match told.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if all were well"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn who_is_disabled_is_refused_on_an_open_connection_and_its_streams_end() {
    let world =
        Walled::start(&[("deploy", &["viewer"], &["CN=deploy"]), ("other", &["viewer"], &["CN=other"])])
            .await;
    let (channel, others) = (world.channel("deploy").await, world.channel("other").await);
    let (told, mut still_told) = (watching(&channel).await, watching(&others).await);
    let root = world.client("root").await.with_token(world.bootstrap.expose()).unwrap();
    let known = root.principals().await.unwrap();
    let deploy = known.into_iter().find(|known| known.name == "principals/deploy").unwrap();
    root.update_principal(v1::Principal { disabled: true, ..deploy }, "it leaks").await.unwrap();

    let ended = end_of(told).await;
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, ErrorCode::Unauthenticated));
    let refused = call(&channel, "/runtime.admin.v1.SystemService/GetInfo", None, Vec::new()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    call(&others, "/runtime.admin.v1.SystemService/GetInfo", None, Vec::new()).await.expect("another one");
    let said = tokio::time::timeout(Duration::from_millis(20), still_told.message()).await;
    assert!(said.is_err() || matches!(said, Ok(Ok(Some(_)))), "it goes on for others: {said:?}");
}

#[tokio::test]
async fn a_certificate_that_ends_opens_nothing_more_over_a_connection_that_is_open() {
    let world = Walled::start(&[("deploy", &["viewer"], &["CN=deploy"])]).await;
    let ends = rcgen::date_time_ymd(2035, 1, 1);
    let identity = world.clients.sign_for("deploy", |params| params.not_after = ends);
    let client = world.client_with(identity).await.unwrap();
    assert_eq!(code(client.info().await), Ok(()));
    world.clock.0.store(ends.unix_timestamp() - 1, Ordering::SeqCst);
    assert_eq!(code(client.info().await), Ok(()));
    world.clock.0.store(ends.unix_timestamp(), Ordering::SeqCst);
    assert_eq!(code(client.info().await), NOBODY);
}
