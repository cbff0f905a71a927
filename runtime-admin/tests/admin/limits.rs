//! What the server does not do: listen to others, wait for ever, take too much.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime_admin::{
    AdminClient, AdminError, AdminLimits, AdminServer, AdminServerConfig, ClientError, EventAsk, LiveLimits,
    MAX_MESSAGE_BYTES, v1,
};
use runtime_core::control::{Command, CommandError};
use runtime_core::error::ErrorCode;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::control::{InMemoryControl, Mood, World};
use crate::world::{config, open_access, setup, setup_with};

#[tokio::test]
async fn an_address_that_others_reach_needs_tls_and_known_callers() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070", "[::ffff:192.0.2.1]:7070", "[2001:db8::1]:7070"]
    {
        let config = AdminServerConfig::new(address.parse::<SocketAddr>().unwrap());
        let server = AdminServer { config, control: Arc::new(InMemoryControl::new()), access: open_access() };
        let error = server.bind().await.err().expect("refused");
        assert!(matches!(error, AdminError::Exposed { .. }), "{address}: {error}");
        assert_eq!(error.code(), ErrorCode::AdminExposed);
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
}

#[tokio::test]
async fn a_taken_address_is_an_error_with_its_cause() {
    let served = setup().await;
    let config = AdminServerConfig::new(served.address);
    let server = AdminServer { config, control: Arc::new(InMemoryControl::new()), access: open_access() };
    let error = server.bind().await.err().expect("refused");
    let AdminError::Bind { address, source } = error else { panic!("{error}") };
    assert_eq!((address, source.kind()), (served.address.into(), std::io::ErrorKind::AddrInUse));
}

#[tokio::test]
async fn a_silent_tree_is_a_deadline_exceeded() {
    let mut config = config();
    config.request_timeout = Duration::from_millis(30);
    let served = setup_with(config, InMemoryControl::new()).await;
    served.control.change(|world| world.mood = Mood::Silent);
    let error = served.client.info().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NoAnswer), "{error:?}");

    let channel = Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
    let mut system = v1::system_service_client::SystemServiceClient::new(channel);
    let status = system.get_info(v1::GetInfoRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.get_details_error_info().unwrap().reason, ErrorCode::NoAnswer.as_str());
}

#[tokio::test]
async fn a_caller_may_have_less_patience() {
    let served = setup().await;
    served.control.change(|world| world.mood = Mood::Silent);
    let client = served.client.clone().with_timeout(Duration::from_millis(30));
    let error = client.overview().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NoAnswer), "{error:?}");
}

#[tokio::test]
async fn a_closed_door_is_unavailable_with_its_code() {
    let served = setup().await;
    let refusal = CommandError::new(ErrorCode::ShuttingDown, "the runtime is stopping");
    served.control.change(|world| world.mood = Mood::Refusing(refusal));
    let ClientError::Refused(refusal) = served.client.info().await.unwrap_err() else { panic!("refused") };
    assert_eq!((refusal.canonical, refusal.code), (Code::Unavailable, Some(ErrorCode::ShuttingDown)));
}

#[tokio::test]
async fn a_message_past_the_limit_is_refused() {
    let served = setup().await;
    let request = v1::EnqueueTaskRequest { payload: vec![b' '; MAX_MESSAGE_BYTES], ..Default::default() };
    let ClientError::Refused(refusal) = served.client.enqueue(request).await.unwrap_err() else {
        panic!("refused")
    };
    assert_eq!((refusal.canonical, refusal.code), (Code::InvalidArgument, Some(ErrorCode::TooLarge)));
    assert!(served.client.info().await.is_ok(), "the connection goes on");
}

/// A server within these limits.
fn limited(limits: AdminLimits) -> AdminServerConfig {
    AdminServerConfig { limits: LiveLimits::new(limits), ..config() }
}

#[tokio::test]
async fn who_has_been_idle_longest_leaves_for_who_comes() {
    let served =
        setup_with(limited(AdminLimits { connections: 1, ..AdminLimits::default() }), InMemoryControl::new())
            .await;
    served.client.info().await.unwrap();
    let second = AdminClient::connect(&served.address.to_string()).await.unwrap();
    second.info().await.unwrap();
    served.client.info().await.expect("who had to leave comes back");
}

#[tokio::test]
async fn nobody_who_waits_for_an_answer_has_to_leave() {
    let served =
        setup_with(limited(AdminLimits { connections: 1, ..AdminLimits::default() }), InMemoryControl::new())
            .await;
    served.client.info().await.unwrap();
    served.control.change(|world| world.mood = Mood::Silent);
    let asking = tokio::spawn({
        let client = served.client.clone();
        async move { client.node(&"/engine".parse().unwrap()).await }
    });
    let asked = |command: &Command| matches!(command, Command::GetNode { .. });
    served.control.until(|world| world.unanswered.iter().any(asked)).await;
    let second = AdminClient::connect(&served.address.to_string()).await.unwrap().info().await.unwrap_err();
    assert!(matches!(second, ClientError::ConnectionLost(_)), "{second:?}");
    assert!(!asking.is_finished());
    asking.abort();
}

/// What became of ten lists that were asked for at once while the tree answers none of them.
struct Lists {
    in_the_tree: usize,
    refused: usize,
    answered: usize,
}

/// Asks for ten lists at once, and for something small meanwhile; then the tree answers.
async fn ten_lists(limits: AdminLimits) -> Lists {
    let served = setup_with(limited(limits), InMemoryControl::new()).await;
    served.control.change(|world| world.mood = Mood::Silent);
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..10 {
        let (client, told) = (served.client.clone(), told.clone());
        tokio::spawn(async move { told.send(client.tasks("", 10).await) });
    }
    let mut refused = 0;
    for _ in limits.looks_of_each..10 {
        let ClientError::Refused(refusal) = hears.recv().await.unwrap().unwrap_err() else {
            panic!("refused")
        };
        assert_eq!((refusal.canonical, refusal.code), (Code::ResourceExhausted, Some(ErrorCode::Overloaded)));
        refused += 1;
    }
    let lists = |world: &World| {
        world.unanswered.iter().filter(|command| matches!(command, Command::ListTasks { .. })).count()
    };
    served.control.until(|world| lists(world) >= limits.looks).await;
    served.control.change(|world| world.mood = Mood::Answering);
    served.client.info().await.expect("a small call waits for no list");
    served.client.pause_queue(&"mail".parse().unwrap(), None, "held").await.expect("nor does a change");
    let mut in_the_tree = 0;
    served.control.change(|world| {
        in_the_tree = lists(world);
        std::mem::take(&mut world.unanswered).into_iter().for_each(|command| world.answer(command));
    });
    let mut answered = 0;
    for _ in refused..10 {
        hears.recv().await.unwrap().expect("a list");
        answered += 1;
    }
    Lists { in_the_tree, refused, answered }
}

#[tokio::test]
async fn few_lists_are_made_at_once_and_more_wait_or_come_again() {
    let lists = ten_lists(AdminLimits { looks: 2, looks_of_each: 6, ..AdminLimits::default() }).await;
    assert_eq!((lists.in_the_tree, lists.refused, lists.answered), (2, 4, 6));
    let unbounded = AdminLimits { looks: 10, looks_of_each: 10, ..AdminLimits::default() };
    assert_eq!(ten_lists(unbounded).await.in_the_tree, 10, "without the bound the tree has them all at once");
}

#[tokio::test]
async fn the_state_at_the_beginning_of_a_watch_is_looked_at_in_turn() {
    let limits = AdminLimits { looks: 1, ..AdminLimits::default() };
    let served = setup_with(limited(limits), InMemoryControl::new()).await;
    served.control.change(|world| world.mood = Mood::Silent);
    let watch = |initial_state| {
        let client = served.client.clone();
        tokio::spawn(
            async move { client.watch_events(EventAsk { initial_state, ..EventAsk::default() }).await },
        )
    };
    let states = [watch(true), watch(true)];
    let looks = |world: &World| {
        world.unanswered.iter().filter(|command| matches!(command, Command::ListWorkers { .. })).count()
    };
    served.control.until(|world| looks(world) > 0).await;
    // Nor does who wants no state wait for those who do.
    watch(false).await.expect("no panic").expect("a watch");
    let mut in_the_tree = 0;
    served.control.change(|world| {
        in_the_tree = looks(world);
        world.mood = Mood::Answering;
        std::mem::take(&mut world.unanswered).into_iter().for_each(|command| world.answer(command));
    });
    assert_eq!(in_the_tree, 1);
    for state in states {
        state.await.expect("no panic").expect("a watch");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let limits =
        AdminLimits { connections: 2, handshake: Duration::from_millis(30), ..AdminLimits::default() };
    let served = setup_with(limited(limits), InMemoryControl::new()).await;
    served.client.info().await.unwrap();
    let mut mute = TcpStream::connect(served.address).await.unwrap();
    let mut bytes = Vec::new();
    // It ends, whatever the server said before.
    drop(mute.read_to_end(&mut bytes).await);
    served.client.info().await.unwrap();
    AdminClient::connect(&served.address.to_string()).await.unwrap().info().await.unwrap();
}

#[tokio::test]
async fn streams_past_the_limit_of_a_connection_wait_their_turn() {
    let served = setup().await;
    let channel = Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..100 {
        let request = HealthCheckRequest { service: String::new() };
        streams.push(HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner());
    }
    let system = v1::system_service_client::SystemServiceClient::new(channel);
    let mut waiting = tokio::spawn({
        let mut system = system.clone();
        async move { system.get_info(v1::GetInfoRequest {}).await }
    });
    served.client.info().await.expect("another connection has streams of its own");
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(),
        "no stream is free"
    );
    drop(streams.pop());
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_cut_by_a_stop_is_a_lost_connection() {
    let mut config = config();
    config.stop_grace = Duration::from_millis(20);
    let served = setup_with(config, InMemoryControl::new()).await;
    served.client.info().await.unwrap();
    served.control.change(|world| world.mood = Mood::Silent);
    let asking = tokio::spawn({
        let client = served.client.clone();
        async move { client.node(&"/engine".parse().unwrap()).await }
    });
    served
        .control
        .until(|world| world.unanswered.iter().any(|command| matches!(command, Command::GetNode { .. })))
        .await;
    served.stop.send(()).unwrap();
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::ConnectionLost(_)), "{error:?}");
    served.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_there_is_a_clear_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = AdminClient::connect(&address).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(matches!(AdminClient::connect("not an address").await, Err(ClientError::InvalidEndpoint(_))));
}
