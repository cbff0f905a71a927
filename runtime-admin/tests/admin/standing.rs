//! What becomes of those who are shut out: of what they asked before, of answers that go on, and of the last who may do anything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use runtime_admin::v1::run_worker_request::Selection;
use runtime_admin::{AdminClient, AdminLimits, ClientError, v1};
use runtime_core::access::TokenText;
use runtime_core::audit::AuditKind;
use runtime_core::error::ErrorCode;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::control::Mood;
use crate::guarded::{Guarded, reason};

/// What the health service says of the whole from now on, to whoever has this token.
async fn watching(world: &Guarded, token: &TokenText) -> Streaming<HealthCheckResponse> {
    let mut request = Request::new(HealthCheckRequest::default());
    let bearer = format!("Bearer {}", token.expose()).parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    let mut told =
        HealthClient::new(world.channel.clone()).watch(request).await.expect("let in").into_inner();
    told.message().await.expect("open").expect("how it is now");
    told
}

async fn end_of(mut told: Streaming<HealthCheckResponse>) -> Status {
    loop {
        match told.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if all were well"),
            Err(status) => return status,
        }
    }
}

/// Whether such a stream has something to say, or goes on without.
async fn goes_on(told: &mut Streaming<HealthCheckResponse>) -> bool {
    let said = tokio::time::timeout(Duration::from_millis(20), told.message()).await;
    said.is_err() || matches!(said, Ok(Ok(Some(_))))
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_and_those_of_others_go_on() {
    let (world, tokens) =
        Guarded::start().await.with_grants(&[("alice", &["viewer"]), ("bob", &["viewer"])]).await;
    let (alice, mut bob) = (watching(&world, &tokens[0]).await, watching(&world, &tokens[1]).await);
    let root = world.client(&world.bootstrap).await;
    root.revoke_token(tokens[0].id(), "it leaked").await.unwrap();
    let ended = end_of(alice).await;
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, ErrorCode::Unauthenticated));
    assert_eq!(ended.message(), "the token was revoked");
    assert!(goes_on(&mut bob).await);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let world = Guarded::start().await;
    world.principal("alice", &["viewer"]).await;
    let token = world.token("alice", Some(1)).await;
    let world = world.again().await;
    let mut told = watching(&world, &token).await;
    assert!(goes_on(&mut told).await);
    world.clock.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(end_of(told).await.message(), "the token has expired");
}

#[tokio::test]
async fn a_stream_ends_when_its_principal_may_not_have_it_any_more_and_not_for_less() {
    let (world, tokens) = Guarded::start().await.with_grants(&[("alice", &["operator"])]).await;
    let mut told = watching(&world, &tokens[0]).await;
    let root = world.client(&world.bootstrap).await;
    let alice = root.principals().await.unwrap().what.remove(0);
    let less = v1::Principal { grants: vec!["viewer:apps/shop".into()], ..alice.clone() };
    let alice = root.update_principal(less, "less is enough").await.unwrap();
    assert!(goes_on(&mut told).await, "whoever may look at something may look at this");
    root.update_principal(v1::Principal { grants: Vec::new(), ..alice }, "nothing").await.unwrap();
    let ended = end_of(told).await;
    assert_eq!((ended.code(), reason(&ended)), (Code::PermissionDenied, ErrorCode::PermissionDenied));
}

#[tokio::test]
async fn a_run_of_who_is_shut_out_ends_as_if_the_caller_had_hung_up() {
    let (world, tokens) = Guarded::start().await.with_grants(&[("alice", &["operator"])]).await;
    let (alice, root) = (world.client(&tokens[0]).await, world.client(&world.bootstrap).await);
    world.served.control.change(|world| world.mood = Mood::Silent);
    let running = tokio::spawn(async move {
        let selection = Some(Selection::Scope("store=42".into()));
        let run = v1::RunWorkerRequest { name: "workers/fetch".into(), selection, ..Default::default() };
        alice.run_worker(run, |_| {}).await
    });
    world.served.control.until(|world| !world.unanswered.is_empty()).await;
    root.delete_principal(&"alice".parse().unwrap(), "gone").await.unwrap();
    match running.await.unwrap() {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, Some(ErrorCode::Unauthenticated)),
        other => panic!("expected an end: {other:?}"),
    }
    let outcome = loop {
        let entries = world.audit().await;
        let run = entries.iter().find(|entry| entry.subject.method == "WorkerService/RunWorker").unwrap();
        if let Some((outcome, _)) = &run.outcome {
            break outcome.canonical.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(outcome, "CANCELLED");
}

const CHUNK: usize = 16 * 1024;

/// A call whose head has arrived, and whose message comes when it is sent.
async fn slow_call(
    world: &Guarded,
    token: &TokenText,
) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Status>) {
    let stream = TcpStream::connect(world.served.address).await.unwrap();
    let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // So that what is sent was read at the other end, but for little.
    http2.max_send_buf_size(CHUNK);
    let (mut send, connection) = http2.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (tell, listen) = mpsc::channel::<Bytes>(1);
    let frames = Box::pin(futures_util::stream::unfold(listen, async |mut listen| {
        listen.recv().await.map(|bytes| (Ok::<_, std::convert::Infallible>(Frame::data(bytes)), listen))
    }));
    let request =
        http::Request::post(format!("{}/runtime.admin.v1.TaskService/EnqueueTask", world.served.endpoint()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", token.expose()))
            .body(StreamBody::new(frames))
            .unwrap();
    let answer = tokio::spawn(async move {
        let answer = send.send_request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let trailers = body.collect().await.expect("an end").trailers().cloned();
        Status::from_header_map(&head.headers)
            .or_else(|| Status::from_header_map(trailers.as_ref()?))
            .expect("a status")
    });
    (tell, answer)
}

fn frame(message: impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

#[tokio::test]
async fn a_request_whose_message_comes_after_its_token_was_revoked_is_refused() {
    let world = Guarded::with_patience(Duration::from_secs(600)).await;
    let (world, tokens) = world.with_grants(&[("alice", &["operator"])]).await;
    let request = v1::EnqueueTaskRequest {
        app: "apps/shop".into(),
        queue: "queues/mail".into(),
        handler: "settle".into(),
        payload: format!("\"{}\"", "x".repeat(20 * CHUNK)).into_bytes(),
        ..Default::default()
    };
    let whole = frame(request);
    let (most, rest) = whole.split_at(whole.len() - CHUNK);
    let root = world.client(&world.bootstrap).await;
    let mut codes = Vec::new();
    for revoke in [false, true] {
        let (tell, answer) = slow_call(&world, &tokens[0]).await;
        for chunk in most.chunks(CHUNK) {
            tell.send(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        // More than a stream's window has left, so somebody who let it in reads it.
        if revoke {
            root.revoke_token(tokens[0].id(), "stolen").await.unwrap();
        }
        drop(tell.send(Bytes::copy_from_slice(rest)).await);
        drop(tell);
        codes.push(answer.await.unwrap());
    }
    assert_ne!(codes[0].code(), Code::Unauthenticated, "such a call is let in as long as it may");
    let refused = &codes[1];
    assert_eq!((refused.code(), reason(refused)), (Code::Unauthenticated, ErrorCode::Unauthenticated));
    let kinds: Vec<_> = world
        .audit()
        .await
        .into_iter()
        .filter(|entry| entry.subject.method == "TaskService/EnqueueTask")
        .map(|entry| entry.subject.kind)
        .collect();
    assert_eq!(kinds, [AuditKind::Denial, AuditKind::Mutation]);
}

fn is_precondition(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(refusal) if refusal.code == Some(ErrorCode::FailedPrecondition)
        && refusal.message.contains("nobody who may do anything"))
}

/// The principal of this name as it is known now.
async fn known(client: &AdminClient, name: &str) -> v1::Principal {
    let all = client.principals().await.unwrap();
    all.into_iter().find(|known| known.name == format!("principals/{name}")).expect("it is known")
}

#[tokio::test]
async fn the_last_who_may_do_anything_does_not_lock_everybody_out() {
    let (world, tokens) =
        Guarded::start().await.with_grants(&[("root", &["admin"]), ("part", &["admin:apps/shop"])]).await;
    let root = world.client(&tokens[0]).await;
    let name = "root".parse().unwrap();
    let itself = known(&root, "root").await;
    let demoted = v1::Principal { grants: vec!["operator".into()], ..itself.clone() };
    let disabled = v1::Principal { disabled: true, ..itself.clone() };
    for error in [
        root.delete_principal(&name, "oops").await.unwrap_err(),
        root.update_principal(demoted, "oops").await.unwrap_err(),
        root.update_principal(disabled, "oops").await.unwrap_err(),
        root.revoke_token(tokens[0].id(), "oops").await.unwrap_err(),
    ] {
        assert!(is_precondition(&error), "{error:?}");
    }
    // Another admin without a way in is none.
    let second = "second".parse().unwrap();
    let admin = v1::Principal { grants: vec!["admin".into()], ..Default::default() };
    root.create_principal(&second, admin).await.unwrap();
    assert!(is_precondition(&root.delete_principal(&name, "oops").await.unwrap_err()));
    let way_in = root.create_token(&second, &"laptop".parse().unwrap(), None).await.unwrap();
    root.delete_principal(&name, "replaced").await.unwrap();
    let second =
        AdminClient::connect(&world.served.endpoint()).await.unwrap().with_token(&way_in.text).unwrap();
    assert!(is_precondition(&second.delete_principal(&"second".parse().unwrap(), "oops").await.unwrap_err()));
    // Whoever is in by the configuration has another way in.
    let bootstrap = world.client(&world.bootstrap).await;
    bootstrap.delete_principal(&"second".parse().unwrap(), "starting anew").await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_somebody_else_claims_is_no_way_in() {
    let (world, tokens) = Guarded::start().await.with_grants(&[("maker", &["admin"])]).await;
    let maker = world.client(&tokens[0]).await;
    let holder = |grant: &str| v1::Principal {
        grants: vec![grant.to_owned()],
        certificates: vec!["CN=root".to_owned()],
        ..Default::default()
    };
    let [root, guest, itself] = ["root", "guest", "maker"].map(|name| name.parse().unwrap());
    maker.create_principal(&root, holder("admin")).await.unwrap();
    maker.create_principal(&guest, holder("viewer:queues/mail")).await.unwrap();
    assert!(is_precondition(&maker.delete_principal(&itself, "replaced").await.unwrap_err()));
    maker.delete_principal(&guest, "it is nobody's").await.unwrap();
    maker.delete_principal(&itself, "replaced").await.unwrap();
}

/// A watch of the whole, if it is let in.
async fn watches(world: &Guarded, token: &TokenText) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    let bearer = format!("Bearer {}", token.expose()).parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    Ok(HealthClient::new(world.channel.clone()).watch(request).await?.into_inner())
}

#[tokio::test]
async fn who_may_look_takes_no_more_calls_at_once_than_one_may_and_none_from_others() {
    let world = Guarded::within(AdminLimits { calls_of_each: 2, ..AdminLimits::default() }).await;
    let (world, tokens) = world.with_grants(&[("ann", &["viewer:queues/mail"]), ("bob", &["viewer"])]).await;
    let (ann, bob) = (&tokens[0], &tokens[1]);
    let held = [watches(&world, ann).await.expect("let in"), watches(&world, ann).await.expect("let in")];
    let refused = watches(&world, ann).await.expect_err("one too many");
    assert_eq!((refused.code(), reason(&refused)), (Code::ResourceExhausted, ErrorCode::Overloaded));
    let refused = world.client(ann).await.info().await.expect_err("over another connection too");
    assert_eq!(refused.code(), Some(ErrorCode::Overloaded));
    let _others = [watches(&world, bob).await.expect("let in"), watches(&world, bob).await.expect("let in")];
    drop(held);
    while watches(&world, ann).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_two_admins_who_delete_each_other_at_once_one_is_left() {
    for _ in 0..20 {
        let (world, tokens) =
            Guarded::start().await.with_grants(&[("one", &["admin"]), ("two", &["admin"])]).await;
        let (one, two) = (world.client(&tokens[0]).await, world.client(&tokens[1]).await);
        let (first, second) = ("two".parse().unwrap(), "one".parse().unwrap());
        let (deleted, also) =
            tokio::join!(one.delete_principal(&first, "a duel"), two.delete_principal(&second, "a duel"));
        assert!(deleted.is_ok() != also.is_ok(), "{deleted:?} {also:?}");
        let bootstrap = world.client(&world.bootstrap).await;
        assert_eq!(bootstrap.principals().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn where_a_caller_says_it_comes_from_is_not_where_it_comes_from() {
    let world = Guarded::start().await;
    let mut request = Request::new(HealthCheckRequest::default());
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-user", "x-remote-user"] {
        request.metadata_mut().insert(header, "192.0.2.66".parse().unwrap());
    }
    let denied = HealthClient::new(world.channel.clone()).check(request).await.unwrap_err();
    assert_eq!(denied.code(), Code::Unauthenticated);
    let entry = world.audit().await.remove(0);
    assert!(entry.subject.peer.starts_with("127.0.0.1:"), "{}", entry.subject.peer);
    assert_eq!(entry.subject.principal, None);
}

#[tokio::test]
async fn a_client_sends_no_token_where_others_could_read_it_along() {
    let world = Guarded::start().await;
    let port = world.served.address.port();
    let token = world.bootstrap.expose();
    for stays in
        [format!("127.0.0.1:{port}"), format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}")]
    {
        AdminClient::connect(&stays).await.unwrap().with_token(token).unwrap().info().await.unwrap();
    }
    // Linux takes this for the machine itself; by its looks it could be any.
    let leaves = AdminClient::connect(&format!("http://0.0.0.0:{port}")).await.unwrap();
    let refused = leaves.with_token(token).map(drop).unwrap_err();
    assert!(matches!(refused, ClientError::TokenInClear(_)), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains(token));
}
