//! Events over a real connection: a watcher that comes back misses nothing, one that does not read holds nobody up, and everybody hears of
//! what it may look at.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use runtime_admin::{AdminClient, EventAsk, EventWatch, Watched, v1};
use runtime_core::control::DependencyView;
use runtime_core::error::ErrorCode;
use runtime_core::flow::{BreakerState, BreakerView};
use runtime_core::journal::{EventJournal, JournalLimits};
use tonic::{Code, Request, Streaming};
use v1::event_service_client::EventServiceClient;

use crate::guarded::{Guarded, reason};
use crate::journal::KeptJournal;
use crate::world::{Served, setup, setup_with};

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn numbers(events: &[v1::Event]) -> impl Iterator<Item = u64> {
    events.iter().map(|event| event.changes[0].after.parse().expect("a number"))
}

async fn service(served: &Served) -> EventServiceClient<tonic::transport::Channel> {
    EventServiceClient::connect(served.endpoint()).await.expect("a server")
}

async fn watch(
    client: &mut EventServiceClient<tonic::transport::Channel>,
    request: v1::WatchEventsRequest,
) -> Result<Streaming<v1::WatchEventsResponse>, tonic::Status> {
    client.watch_events(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// From where somebody who was dropped goes on.
type Resume = fn(&str) -> String;

/// Watches while numbers are written, is dropped at random moments, and comes back; what it was told.
async fn told_to_one_who_comes_back(seed: u64, resume: Resume) -> Vec<u64> {
    const LAST: u64 = 300;
    let served = setup().await;
    let journal = served.control.journal_kept();
    let mut client = service(&served).await;
    let mut dice = Dice(seed);
    let start = journal.tip().to_string();
    let writer = tokio::spawn({
        let (journal, mut dice) = (journal.clone(), Dice(seed + 1));
        async move {
            for n in 1..=LAST {
                journal.count("mail", n);
                if dice.roll(4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    let (mut told, mut cursor) = (Vec::new(), start);
    let mut writer = Some(writer);
    'watches: loop {
        let request = v1::WatchEventsRequest { cursor: resume(&cursor), ..Default::default() };
        let mut stream = watch(&mut client, request).await.expect("a watch");
        for _ in 0..=dice.roll(3) {
            let next = tokio::time::timeout(Duration::from_millis(400), stream.message());
            let Ok(message) = next.await else {
                // Nothing comes any more although all is written.
                if writer.is_none() {
                    break 'watches;
                }
                continue;
            };
            let message = message.expect("it goes on").expect("it does not end");
            told.extend(numbers(&message.events));
            cursor = message.cursor;
            if told.last() == Some(&LAST) {
                break 'watches;
            }
        }
        if let Some(writes) = writer.take_if(|writer| writer.is_finished()) {
            writes.await.expect("it writes");
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_is_dropped_and_comes_back_misses_nothing_and_is_told_nothing_twice() {
    let all: Vec<u64> = (1..=300).collect();
    for seed in 0..8 {
        assert_eq!(told_to_one_who_comes_back(seed, str::to_owned).await, all, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_a_watcher_that_comes_back_elsewhere_is_caught() {
    let one_further = |cursor: &str| {
        let cursor: runtime_core::journal::Cursor = cursor.parse().expect("a cursor");
        runtime_core::journal::Cursor { sequence: cursor.sequence + 1, ..cursor }.to_string()
    };
    let all: Vec<u64> = (1..=300).collect();
    assert_ne!(told_to_one_who_comes_back(0, one_further).await, all, "one is left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off_and_holds_nobody_up() {
    const EVENTS: u64 = 60_000;
    for (room, is_cut) in [(1_000, true), (EVENTS as usize, false)] {
        let served = setup_with_room(JournalLimits { tree: room, tasks: 1 }).await;
        let journal = served.control.journal_kept();
        let mut client = service(&served).await;
        let mut stream = watch(&mut client, v1::WatchEventsRequest::default()).await.expect("a watch");
        let first = stream.message().await.expect("a message").expect("the first");
        assert!(first.bookmark && !first.cursor.is_empty());
        // Nobody reads, and whoever writes does not even have a moment in which it could wait.
        for n in 1..=EVENTS {
            journal.count("mail", n);
        }
        let mut told = 0;
        let end = loop {
            match stream.message().await {
                Ok(Some(message)) => told += message.events.len() as u64,
                Ok(None) => panic!("no end without a reason"),
                Err(status) => break Some(status),
            }
            if told == EVENTS {
                break None;
            }
        };
        assert_eq!(end.is_some(), is_cut, "{room}: {told} told, then {end:?}");
        if let Some(status) = end {
            assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, ErrorCode::SlowConsumer));
            assert_eq!(journal.slow.load(Ordering::SeqCst), 1);
        }
    }
}

async fn setup_with_room(limits: JournalLimits) -> Served {
    let control = crate::control::InMemoryControl::new();
    control.change(|world| world.journal = Arc::new(KeptJournal::new(1, limits)));
    setup_with(crate::world::config(), control).await
}

#[tokio::test]
async fn a_cursor_whose_events_are_gone_is_refused_after_eviction_and_after_a_restart() {
    let served = setup_with_room(JournalLimits { tree: 4, tasks: 4 }).await;
    let journal = served.control.journal_kept();
    let mut client = service(&served).await;
    let cursor = journal.tip().to_string();
    let request = v1::WatchEventsRequest { cursor, ..Default::default() };
    for n in 1..=4 {
        journal.count("mail", n);
    }
    assert!(watch(&mut client, request.clone()).await.is_ok(), "all four are still there");
    journal.count("mail", 5);
    let evicted = watch(&mut client, request.clone()).await.expect_err("the first is gone");
    assert_eq!((evicted.code(), reason(&evicted)), (Code::OutOfRange, ErrorCode::CursorExpired));
    let tip = v1::WatchEventsRequest { cursor: journal.tip().to_string(), ..Default::default() };
    journal.live_again(2);
    let restarted = watch(&mut client, tip).await.expect_err("another life");
    assert_eq!(reason(&restarted), ErrorCode::CursorExpired);
    let nonsense = v1::WatchEventsRequest { cursor: "x".into(), ..Default::default() };
    assert_eq!(watch(&mut client, nonsense).await.expect_err("no cursor").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_client_library_says_that_events_were_missed_and_begins_anew() {
    let served = setup().await;
    let journal = served.control.journal_kept();
    let ask = EventAsk {
        filter: "resource:nodes/".into(),
        initial_state: true,
        patience: Duration::from_secs(30),
        ..EventAsk::default()
    };
    let mut watch = served.client.watch_events(ask).await.expect("a watch");
    let before = state(&mut watch).await;
    assert!(before.iter().any(|event| event.resource == "nodes/engine/apps/shop"), "{before:#?}");
    assert!(before.iter().all(|event| event.r#type() == v1::EventType::Snapshot && event.name.is_empty()));
    journal.live_again(2);
    // What wakes the watcher is nothing that it asked for.
    journal.count("mail", 1);
    let missed = loop {
        match watch.next().await.expect("it goes on") {
            Watched::Missed(code) => break code,
            Watched::Bookmark => {}
            other => panic!("{other:?}"),
        }
    };
    assert!([ErrorCode::SlowConsumer, ErrorCode::CursorExpired].contains(&missed), "{missed:?}");
    assert_eq!(state(&mut watch).await, before, "all of it again");
}

/// The whole initial state.
async fn state(watch: &mut EventWatch) -> Vec<v1::Event> {
    let mut all = Vec::new();
    loop {
        match watch.next().await.expect("it goes on") {
            Watched::State(events) => {
                all.extend(events.into_iter().map(|event| v1::Event { at: None, ..event }));
            }
            Watched::StateEnd => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_changes_while_the_initial_state_is_looked_at_is_told_after_it() {
    let served = setup().await;
    let journal = served.control.journal_kept();
    // Every answer of the tree is followed by a change: none of them is in the state for sure, so all of them have to come. The health
    // service asks as well, so there are more of them than looks.
    served.control.change(|world| world.events_after = Box::new(|_| 1));
    let mut client = service(&served).await;
    let request = v1::WatchEventsRequest { initial_state: true, ..Default::default() };
    let mut stream = watch(&mut client, request).await.expect("a watch");
    let mut ended = false;
    let mut told = Vec::new();
    let written = journal.tip().sequence;
    while told.last().is_none_or(|last| *last < written) {
        let message = stream.message().await.expect("it goes on").expect("it does not end");
        if message.initial_state_end {
            ended = true;
            assert!(!message.cursor.is_empty());
        } else if !ended {
            assert!(message.cursor.is_empty(), "the state cannot be gone on from");
        } else {
            told.extend(numbers(&message.events));
        }
    }
    // Workers, tree, overrides, queues, schedules, operations.
    assert!(told[0] + 5 <= written, "from {} on, of {written}", told[0]);
    assert!(told.is_sorted_by(|a, b| a + 1 == *b), "{told:?}");
}

#[tokio::test]
async fn everybody_hears_of_what_it_may_look_at_and_of_nothing_else() {
    let (world, tokens) = Guarded::start()
        .await
        .with_grants(&[
            ("all", &["viewer"]),
            ("mail", &["viewer:queues/mail"]),
            ("other", &["operator:apps/books"]),
        ])
        .await;
    let journal = world.served.control.journal_kept();
    let start = journal.tip().to_string();
    for n in 1..=10 {
        journal.count(if n % 2 == 0 { "mail" } else { "orders" }, n);
    }
    for (token, wanted) in
        tokens.iter().zip([(1..=10).collect(), vec![2, 4, 6, 8, 10], Vec::new()] as [Vec<u64>; 3])
    {
        let client = AdminClient::connect(&world.served.endpoint()).await.expect("a server");
        let client = client.with_token(token.expose()).expect("a token");
        let page = client.list_events(v1::ListEventsRequest::default()).await.expect("a list");
        assert_eq!(numbers(&page.events).collect::<Vec<_>>(), wanted);
        let ask = EventAsk { cursor: start.clone(), ..EventAsk::default() };
        let mut watch = client.watch_events(ask).await.expect("a watch");
        if wanted.is_empty() {
            continue;
        }
        match watch.next().await.expect("events") {
            Watched::Events(events) => assert_eq!(numbers(&events).collect::<Vec<_>>(), wanted),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_may_not_see_a_task_is_not_told_either_whether_it_is_there() {
    let (world, tokens) =
        Guarded::start().await.with_grants(&[("all", &["viewer"]), ("mail", &["viewer:queues/mail"])]).await;
    let nobodys = "resource=tasks/01a201aa-f69a-7d24-8bd8-650000000001";
    let begins = async |token| {
        let ask = EventAsk { filter: nobodys.into(), initial_state: true, ..EventAsk::default() };
        world.client(token).await.watch_events(ask).await
    };
    let missing = begins(&tokens[0]).await.map(drop).expect_err("whoever sees all is told");
    assert_eq!(missing.code(), Some(ErrorCode::NotFound), "{missing:?}");
    begins(&tokens[1]).await.expect("as of one that is there and that it may not see");
}

#[tokio::test]
async fn pages_hold_every_event_once_and_end_where_a_watch_goes_on() {
    let served = setup().await;
    let journal = served.control.journal_kept();
    for n in 1..=25 {
        journal.count("mail", n);
    }
    let (mut told, mut page_token) = (Vec::new(), String::new());
    let cursor = loop {
        let request = v1::ListEventsRequest { page_size: 10, page_token, filter: "queue=mail".into() };
        let page = served.client.list_events(request).await.expect("a page");
        told.extend(numbers(&page.events).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break page.cursor;
        }
    };
    assert_eq!(told, (1..=25).collect::<Vec<_>>());
    journal.count("mail", 26);
    let mut watch =
        served.client.watch_events(EventAsk { cursor, ..EventAsk::default() }).await.expect("a watch");
    let Watched::Events(events) = watch.next().await.expect("events") else { panic!("events") };
    assert_eq!(numbers(&events).collect::<Vec<_>>(), [26]);
    drop(watch);
}

#[tokio::test]
async fn watches_end_with_the_server_and_say_so() {
    let served = setup().await;
    let journal = served.control.journal_kept();
    let mut client = service(&served).await;
    let mut stream = watch(&mut client, v1::WatchEventsRequest::default()).await.expect("a watch");
    assert!(stream.message().await.expect("a message").expect("the first").bookmark);
    assert_eq!(journal.watchers.load(Ordering::SeqCst), 1);
    served.stop.send(()).expect("it runs");
    let end = stream.message().await.expect_err("it ends");
    assert_eq!((end.code(), reason(&end)), (Code::Unavailable, ErrorCode::ShuttingDown));
    served.ended.await.expect("no panic").expect("a clean end");
    assert_eq!(journal.watchers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_coalescing_watch_tells_each_resource_once_from_before_the_first_to_after_the_last() {
    let served = setup().await;
    let journal = served.control.journal_kept();
    let cursor = journal.tip().to_string();
    for n in 1..=1_000 {
        journal.count(if n % 10 == 0 { "orders" } else { "mail" }, n);
    }
    let ask = |coalesce| EventAsk { cursor: cursor.clone(), coalesce, ..EventAsk::default() };
    let mut watch = served.client.watch_events(ask(true)).await.expect("a watch");
    let Watched::Events(events) = watch.next().await.expect("events") else { panic!("events") };
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.resource.as_str(), event.count, &event.changes[0]))
        .map(|(resource, count, change)| (resource, count, change.before.as_str(), change.after.as_str()))
        .collect();
    assert_eq!(told, [("queues/mail", 900, "0", "999"), ("queues/orders", 100, "9", "1000")]);
    assert_eq!(watch.cursor(), journal.tip().to_string(), "it goes on behind all of them");

    // The control: without, each of them comes.
    let mut every = served.client.watch_events(ask(false)).await.expect("a watch");
    let Watched::Events(events) = every.next().await.expect("events") else { panic!("events") };
    assert!(events.len() > 2 && events.iter().all(|event| event.count == 1), "{}", events.len());
}

#[tokio::test]
async fn the_initial_state_says_where_breakers_stand() {
    let served = setup().await;
    let bank = DependencyView {
        app: "shop".parse().expect("a name"),
        name: "bank".parse().expect("a name"),
        breaker: BreakerView {
            state: BreakerState::Open,
            since: Timestamp::UNIX_EPOCH,
            until: Some(Timestamp::UNIX_EPOCH),
            failures: 5,
            probing: 0,
        },
        workers: Vec::new(),
    };
    served.control.change(|world| world.overview.dependencies.push(bank));
    let ask = |filter: &str| EventAsk { filter: filter.into(), initial_state: true, ..EventAsk::default() };
    let mut watch = served.client.watch_events(ask("type=breaker_changed")).await.expect("a watch");
    let state = state(&mut watch).await;
    let [breaker] = &state[..] else { panic!("{state:#?}") };
    assert_eq!(breaker.resource, "apps/shop/dependencies/bank");
    let fields: Vec<_> =
        breaker.changes.iter().map(|change| (change.field.as_str(), change.after.as_str())).collect();
    assert_eq!(fields, [("state", "open"), ("until", "1970-01-01T00:00:00Z")]);
}
