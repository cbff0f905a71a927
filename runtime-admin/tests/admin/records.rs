//! Who may call is managed through the API; what is done stands in the audit log, and a request id is done once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use runtime_admin::{Access, AdminClient, Authentication, ClientError, v1};
use runtime_core::audit::{AuditKind, AuditOutcome, AuditSubject};
use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_core::limits::StoreLimits;
use runtime_core::store::{
    AuditFilter, AuditLog, AuditPage, Begun, ContentHash, Remembered, Store, StoreError,
};
use runtime_stores::MemoryStore;
use tonic::{Code, Status};

use crate::cli::transcript;
use crate::control::{InMemoryControl, NOW, path};
use crate::guarded::{Guarded, HandClock, reason};
use crate::raw::call;
use crate::world::{access_to, config, open_access, serve};

const CREATE: &str = "/runtime.admin.v1.PrincipalService/CreatePrincipal";

fn person(grants: &[&str]) -> v1::Principal {
    v1::Principal { grants: grants.iter().map(ToString::to_string).collect(), ..v1::Principal::default() }
}

fn create(name: &str, grants: &[&str], request_id: &str) -> v1::CreatePrincipalRequest {
    v1::CreatePrincipalRequest {
        principal_id: name.into(),
        principal: Some(person(grants)),
        request_id: request_id.into(),
        reason: String::new(),
        validate_only: false,
    }
}

fn refusal(error: ClientError) -> (Code, Option<ErrorCode>) {
    let ClientError::Refused(refusal) = error else { panic!("refused: {error:?}") };
    (refusal.canonical, refusal.code)
}

#[tokio::test]
async fn who_may_call_is_managed_through_the_api_and_holds_at_once() {
    let world = Guarded::start().await;
    let root = world.client(&world.bootstrap).await;
    let alice = "alice".parse().unwrap();
    let made = root.create_principal(&alice, person(&["operator:queues/mail"])).await.unwrap();
    assert_eq!((made.name.as_str(), made.etag.as_str()), ("principals/alice", "1"));
    let again = root.create_principal(&alice, person(&[])).await.unwrap_err();
    assert_eq!(refusal(again), (Code::FailedPrecondition, Some(ErrorCode::FailedPrecondition)));
    for (name, grants) in [("local", &["viewer"][..]), ("bootstrap", &["viewer"]), ("carol", &["root"])] {
        let error = root.create_principal(&name.parse().unwrap(), person(grants)).await.unwrap_err();
        assert_eq!(refusal(error).0, Code::InvalidArgument, "{name}");
    }

    let token = root.create_token(&alice, &"laptop".parse().unwrap(), None).await.unwrap();
    let client =
        AdminClient::connect(&world.served.endpoint()).await.unwrap().with_token(&token.text).unwrap();
    let mail = "mail".parse().unwrap();
    client.pause_queue(&mail, None, "").await.unwrap();
    assert_eq!(refusal(client.principals().await.unwrap_err()).0, Code::PermissionDenied);

    let stale = v1::Principal { grants: vec!["admin".into()], ..made.clone() };
    let changed =
        root.update_principal(v1::Principal { grants: vec!["viewer".into()], ..made }, "").await.unwrap();
    assert_eq!(changed.etag, "2");
    assert_eq!(refusal(client.pause_queue(&mail, None, "").await.unwrap_err()).0, Code::PermissionDenied);
    assert_eq!(refusal(root.update_principal(stale, "").await.unwrap_err()).0, Code::Aborted);

    let id = token.token.unwrap().name.strip_prefix("tokens/").unwrap().parse().unwrap();
    assert_eq!(refusal(root.revoke_token(&id, " ").await.unwrap_err()).0, Code::InvalidArgument, "no reason");
    client.queue(&mail).await.unwrap();
    let read = root.tokens(Some(&alice)).await.unwrap().remove(0).etag;
    let on_what_was_read = root.clone().with_etag(&read);
    assert!(on_what_was_read.revoke_token(&id, "lost").await.unwrap().revoked_at.is_some());
    let late = on_what_was_read.revoke_token(&id, "lost as well").await.unwrap_err();
    assert_eq!(refusal(late).0, Code::Aborted, "somebody else took it back");
    assert!(root.revoke_token(&id, "once more").await.unwrap().revoked_at.is_some(), "it stays so");
    assert_eq!(refusal(client.queue(&mail).await.unwrap_err()).0, Code::Unauthenticated);
    assert_eq!(root.tokens(Some(&alice)).await.unwrap().len(), 1);
    root.delete_principal(&alice, "left").await.unwrap();
    assert_eq!(
        (root.principals().await.unwrap().what, root.tokens(None).await.unwrap().what),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn a_request_id_is_done_once_and_answered_again() {
    let world = Guarded::start().await;
    let asked = create("alice", &["viewer"], "one");
    let authorization = format!("Bearer {}", world.bootstrap.expose());
    let ask = async |request: v1::CreatePrincipalRequest| -> Result<Bytes, Status> {
        let answer = call(&world.channel, CREATE, Some(&authorization), request.encode_to_vec()).await?;
        Ok(answer.expect("an answer"))
    };
    let first = ask(asked.clone()).await.unwrap();
    let root = world.client(&world.bootstrap).await;
    root.delete_principal(&"alice".parse().unwrap(), "to see whether it comes back").await.unwrap();
    assert_eq!(ask(asked.clone()).await.unwrap(), first, "the same answer, and nothing done");
    assert_eq!(root.principals().await.unwrap().what, []);

    let other = ask(create("alice", &["admin"], "one")).await.unwrap_err();
    assert_eq!((other.code(), reason(&other)), (Code::AlreadyExists, ErrorCode::RequestIdConflict));
    // Refused without anything done: the id is free for the same request, until it is done.
    ask(create("bob", &["nonsense"], "two")).await.unwrap_err();
    ask(create("bob", &["viewer"], "two")).await.unwrap();
    assert_eq!(root.principals().await.unwrap().len(), 1);
    let mutations =
        world.audit().await.into_iter().filter(|entry| entry.subject.method.ends_with("CreatePrincipal"));
    assert_eq!(mutations.count(), 3, "what is answered again is not done again");
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_be_kept_is_given_once_and_what_was_asked_is_done_once() {
    const CREATE_SCHEDULE: &str = "/runtime.admin.v1.ScheduleService/CreateSchedule";
    let world = Guarded::start().await;
    let authorization = format!("Bearer {}", world.bootstrap.expose());
    let ask = async |id: &str, bytes: usize| -> Result<Bytes, Status> {
        let spec = v1::ScheduleSpec {
            app: "apps/shop".into(),
            queue: "queues/mail".into(),
            handler: "settle".into(),
            input: format!(r#"{{"store":1,"note":"{}"}}"#, "x".repeat(bytes)),
            timing: Some(v1::schedule_spec::Timing::Every(prost_types::Duration { seconds: 60, nanos: 0 })),
            ..Default::default()
        };
        let request = v1::CreateScheduleRequest {
            schedule_id: id.into(),
            spec: Some(spec),
            request_id: format!("make-{id}"),
            ..Default::default()
        };
        let answer = call(&world.channel, CREATE_SCHEDULE, Some(&authorization), request.encode_to_vec());
        Ok(answer.await?.expect("an answer"))
    };
    let (small, large) = (1_024, 64 * 1_024);
    let first = ask("small", small).await.unwrap();
    assert_eq!(ask("small", small).await.unwrap(), first, "what fits is answered again");

    let first = ask("large", large).await.unwrap();
    assert!(first.len() > large, "the answer holds what was asked for");
    let again = ask("large", large).await.unwrap_err();
    assert_eq!((again.code(), reason(&again)), (Code::Aborted, ErrorCode::RequestUndecided));
    let other = ask("large", large + 1).await.unwrap_err();
    assert_eq!(reason(&other), ErrorCode::RequestIdConflict, "the id stays that of the first request");

    let made =
        world.audit().await.into_iter().filter(|entry| entry.subject.method.ends_with("CreateSchedule"));
    let outcomes: Vec<_> = made.map(|entry| entry.outcome.expect("it ended").0.is_ok()).collect();
    assert_eq!(outcomes, [true, true], "each was done once");
}

#[tokio::test]
async fn a_token_is_shown_once_whatever_its_request_id() {
    let world = Guarded::start().await;
    let root = world.client(&world.bootstrap).await;
    root.create_principal(&"alice".parse().unwrap(), person(&["viewer"])).await.unwrap();
    let request = v1::CreateTokenRequest {
        principal: "principals/alice".into(),
        label: "laptop".into(),
        request_id: "once".into(),
        ..Default::default()
    };
    let path = "/runtime.admin.v1.PrincipalService/CreateToken";
    world.call(&world.bootstrap, path, request.clone()).await.unwrap();
    let again = world.call(&world.bootstrap, path, request).await.unwrap_err();
    assert_eq!((again.code(), reason(&again)), (Code::Aborted, ErrorCode::RequestUndecided));
    assert_eq!(root.tokens(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn eight_operators_at_once_leave_one_entry_for_each_acknowledged_mutation() {
    const EACH: usize = 60;
    let names: Vec<String> = (0..8).map(|n| format!("operator-{n}")).collect();
    let principals: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &["operator"][..])).collect();
    let (world, tokens) = Guarded::start().await.with_grants(&principals).await;
    let acknowledged: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let mut working = Vec::new();
    for (name, token) in names.iter().zip(&tokens) {
        let client = AdminClient::connect(&world.served.endpoint()).await.unwrap();
        let client = client.with_token(token.expose()).unwrap().with_reason("a test");
        let (name, acknowledged) = (name.clone(), acknowledged.clone());
        working.push(tokio::spawn(async move {
            for n in 0..EACH {
                // Over the same nodes and queues; every third is refused by the tree.
                let done = match n % 3 {
                    0 => client
                        .steer_node(&path("/engine/apps/shop/workers/settle"), NodeCommand::Pause)
                        .await
                        .is_ok(),
                    1 => client.pause_queue(&"mail".parse().unwrap(), None, "").await.is_ok(),
                    _ => client.steer_node(&path("/engine/apps/nowhere"), NodeCommand::Stop).await.is_ok(),
                };
                if done {
                    *acknowledged.lock().unwrap().entry(name.clone()).or_default() += 1;
                }
            }
        }));
    }
    for one in working {
        one.await.unwrap();
    }
    let entries = world.audit().await;
    assert_eq!(entries.len(), 8 * EACH);
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &entries {
        let (outcome, _) = entry.outcome.as_ref().expect("every mutation ended");
        if outcome.is_ok() {
            *written.entry(entry.subject.principal.as_ref().unwrap().to_string()).or_default() += 1;
        }
    }
    assert_eq!(written, *acknowledged.lock().unwrap());
    assert_eq!(written.values().sum::<usize>(), 8 * EACH / 3 * 2);
}

/// A log that can be made to refuse its writes.
struct Refusing {
    inner: Arc<dyn AuditLog>,
    begin: AtomicBool,
    end: AtomicBool,
    denial: AtomicBool,
}

impl Refusing {
    /// That of a server, which refuses nothing yet.
    fn of(access: &Access) -> Self {
        let [begin, end, denial] = Default::default();
        Self { inner: access.audit.clone(), begin, end, denial }
    }
}

#[async_trait]
impl AuditLog for Refusing {
    async fn begin_mutation(&self, subject: AuditSubject, content: ContentHash) -> Result<Begun, StoreError> {
        if self.begin.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.inner.begin_mutation(subject, content).await
    }

    async fn end_mutation(
        &self,
        position: u64,
        outcome: AuditOutcome,
        remembered: Remembered,
    ) -> Result<(), StoreError> {
        if self.end.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.inner.end_mutation(position, outcome, remembered).await
    }

    async fn write_denial(&self, subject: AuditSubject, outcome: AuditOutcome) -> Result<u64, StoreError> {
        if self.denial.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.inner.write_denial(subject, outcome).await
    }

    async fn audit_entries(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.inner.audit_entries(filter, before, limit).await
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done_or_not_acknowledged() {
    let open = open_access();
    let log = Arc::new(Refusing::of(&open));
    log.begin.store(true, Ordering::SeqCst);
    let access = Access { audit: log.clone(), ..open };
    assert_eq!(access.authentication, Authentication::Off);
    let control = InMemoryControl::new();
    let served = serve(config(), control.clone(), access).await;
    let (mail, scope) = ("mail".parse().unwrap(), "store=9".parse().unwrap());
    let paused = async || served.client.queue(&mail).await.unwrap().paused_scopes.len();

    let error = served.client.pause_queue(&mail, Some(&scope), "").await.unwrap_err();
    assert_eq!(refusal(error), (Code::Unavailable, Some(ErrorCode::AuditUnavailable)));
    assert_eq!(paused().await, 0, "nothing was done, and who looks is let in");

    log.begin.store(false, Ordering::SeqCst);
    log.end.store(true, Ordering::SeqCst);
    let error = served.client.pause_queue(&mail, Some(&scope), "").await.unwrap_err();
    assert!(error.to_string().contains("may have been done"), "{error}");
    assert_eq!(refusal(error), (Code::Unavailable, Some(ErrorCode::AuditUnavailable)));
    let entries = log.audit_entries(AuditFilter::default(), None, 10).await.unwrap().entries;
    assert_eq!((entries.len(), entries[0].outcome.clone()), (1, None), "it was begun, and nobody knows more");

    log.end.store(false, Ordering::SeqCst);
    served.client.resume_queue(&mail, Some(&scope)).await.unwrap();
}

#[tokio::test]
async fn a_denial_that_cannot_be_written_down_is_counted_by_the_next_that_can() {
    let open = open_access();
    let log = Arc::new(Refusing::of(&open));
    let authentication = Authentication::Required { bootstrap: None };
    let served =
        serve(config(), InMemoryControl::new(), Access { audit: log.clone(), authentication, ..open }).await;
    for (full, denials) in [(true, 2), (false, 1)] {
        log.denial.store(full, Ordering::SeqCst);
        for _ in 0..denials {
            let refused = refusal(served.client.info().await.unwrap_err());
            assert_eq!(refused, (Code::Unauthenticated, Some(ErrorCode::Unauthenticated)));
        }
    }
    let entries = log.audit_entries(AuditFilter::default(), None, 10).await.unwrap().entries;
    assert_eq!((entries.len(), entries[0].subject.unwritten), (1, 2));
}

#[tokio::test]
async fn a_stream_that_ended_is_answered_again_with_its_last_message() {
    let world = Guarded::start().await;
    let client = world.client(&world.bootstrap).await;
    let request = v1::ReplayDeadLettersRequest {
        filter: "queue=mail".into(),
        request_id: "replay-1".into(),
        ..Default::default()
    };
    let first = client.replay_dead_letters(request.clone(), |_| ()).await.expect("it is done");
    assert!(first.finished && first.operation.is_some(), "{first:?}");
    assert_eq!(client.replay_dead_letters(request, |_| ()).await.expect("its end again"), first);
    let replayed = world
        .audit()
        .await
        .iter()
        .filter(|entry| entry.subject.method.ends_with("ReplayDeadLetters"))
        .count();
    assert_eq!(replayed, 1, "and not done again");
}

#[tokio::test]
async fn a_stream_has_its_outcome_in_the_log_also_when_its_caller_hangs_up() {
    let world = Guarded::start().await;
    let client = world.client(&world.bootstrap).await;
    let run = |scope: &str| v1::RunWorkerRequest {
        name: "workers/settle".into(),
        selection: Some(v1::run_worker_request::Selection::Scope(scope.into())),
        ..Default::default()
    };
    client.run_worker(run("store=42"), |_| {}).await.unwrap();
    client.run_worker(v1::RunWorkerRequest { validate_only: true, ..run("store=42") }, |_| {}).await.unwrap();
    let entries = world.audit().await;
    assert_eq!(entries.len(), 1, "a preview changes nothing");
    assert!(entries[0].outcome.as_ref().unwrap().0.is_ok());

    world.served.control.change(|world| world.mood = crate::control::Mood::Silent);
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { client.run_worker(run("store=7"), |_| {}).await }
    });
    world.served.control.until(|world| !world.unanswered.is_empty()).await;
    // What asks for the tree's health is not answered either: the run is there when its entry is.
    while world.audit().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    hanging.abort();
    let entry = loop {
        let entry = world.audit().await.remove(0);
        if entry.outcome.is_some() {
            break entry;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(entry.outcome.unwrap().0.canonical, "CANCELLED");
}

#[tokio::test]
async fn entries_are_listed_in_pages_by_filter() {
    let world = Guarded::start().await;
    let root = world.client(&world.bootstrap).await;
    for _ in 0..3 {
        root.pause_queue(&"mail".parse().unwrap(), None, "why").await.unwrap();
    }
    call(&world.channel, CREATE, None, Vec::new()).await.unwrap_err();
    let all = root.audit("", 100).await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!((all[0].kind(), all[0].outcome.as_str()), (v1::AuditKind::Denial, "UNAUTHENTICATED"));
    assert_eq!((all[3].reason.as_str(), all[3].principal.as_str()), ("why", "principals/bootstrap"));
    assert_eq!(root.audit("kind=mutation", 2).await.unwrap(), all[1..3]);
    assert_eq!(
        root.audit("kind=mutation AND method:QueueService/ AND outcome=ok", 100).await.unwrap(),
        all[1..]
    );
    assert_eq!(refusal(root.audit("kind=theft", 1).await.unwrap_err()).0, Code::InvalidArgument);
    assert_eq!(world.audit().await.iter().filter(|entry| entry.subject.kind == AuditKind::Denial).count(), 1);
}

#[tokio::test]
async fn runtimectl_manages_who_may_call() {
    let clock = Arc::new(HandClock(AtomicI64::new(NOW)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default()));
    let served = serve(config(), InMemoryControl::new(), access_to(store, clock, Authentication::Off)).await;
    let deploy =
        ["principal", "create", "deploy", "--service", "--grant", "viewer", "--grant", "operator:apps/shop"];
    let mut text = transcript(
        &served,
        &[
            &deploy,
            &deploy,
            &["principal", "create", "alice", "--grant", "root"],
            &["principal", "update", "deploy", "--disable", "--read-payloads", "--reason", "on leave"],
            &["principal", "update", "deploy", "--enable", "--etag", "1"],
            &["principal", "update", "nobody", "--enable"],
            &["principal", "list"],
            &["token", "create", "deploy", "--name", "ci", "--expires-days", "30"],
            &["token", "list"],
            &["token", "revoke", "0123456789abcdef", "--reason", "lost"],
            &["token", "revoke", "0123456789abcdef", "--reason", "lost", "--yes"],
            &["principal", "delete", "deploy", "--reason", "left"],
            &["principal", "delete", "deploy", "--reason", "left", "--confirm", "alice"],
            &["principal", "delete", "deploy", "--reason", "left", "--confirm", "deploy"],
            &["audit", "list"],
            &["audit", "list", "--filter", "kind:mut"],
        ],
    )
    .await;
    let start = text.find("rt_").expect("a token");
    let token = text[start..start + 84].to_owned();
    text = text.replace(&token, "rt_ID_SECRET").replace(&token[3..19], "0000000000000000");
    insta::assert_snapshot!(text);
}
