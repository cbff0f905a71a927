//! Principals, their tokens, the audit log, and requests remembered by their ids.

use std::time::Duration;

use runtime_core::access::{Grant, Principal, PrincipalKind, Token, TokenText};
use runtime_core::audit::{AuditEntry, AuditKind, AuditOutcome, AuditSubject};
use runtime_core::error::ErrorCode;
use runtime_core::store::{
    AuditFilter, AuditTest, Begun, Expr, PutPrincipal, PutToken, REQUEST_ID_FOR, Remembered, Revision,
    StoredPrincipal, TextTest, TimeTest,
};

use super::world::World;

fn principal(w: &World, name: &str) -> Principal {
    let grant: Grant = "operator:apps/shop".parse().expect("a grant");
    Principal {
        grants: vec![grant],
        read_payloads: false,
        certificates: vec!["CN=deploy".into()],
        ..Principal::almighty(name.parse().expect("a name"), PrincipalKind::Service, w.now())
    }
}

fn token(w: &World, principal: &str, name: &str, chance: u8) -> Token {
    let text = TokenText::of_chance([chance; TokenText::CHANCE]);
    Token {
        id: text.id().clone(),
        principal: principal.parse().expect("a name"),
        name: name.parse().expect("a name"),
        hash: text.hash(),
        created_at: w.now(),
        expires_at: Some(w.later(Duration::from_secs(60))),
        revoked_at: None,
    }
}

async fn made(w: &World, name: &str) -> StoredPrincipal {
    let put = w.store.put_principal(principal(w, name), None).await.unwrap();
    assert_eq!(put, PutPrincipal::Written(Revision::FIRST));
    let all = w.store.principals().await.unwrap();
    all.into_iter().find(|stored| stored.principal.name.as_str() == name).expect("it is there")
}

pub(super) async fn a_principal_is_made_once_and_replaced_by_whoever_read_it(w: World) {
    let first = made(&w, "deploy").await;
    assert_eq!(first, StoredPrincipal { principal: principal(&w, "deploy"), revision: Revision::FIRST });
    let again = w.store.put_principal(principal(&w, "deploy"), None).await.unwrap();
    assert_eq!(again, PutPrincipal::Conflict, "there is one of this name");

    let changed = Principal { disabled: true, ..first.principal.clone() };
    let put = w.store.put_principal(changed.clone(), Some(first.revision)).await.unwrap();
    assert_eq!(put, PutPrincipal::Written(Revision(2)));
    let put = w.store.put_principal(first.principal.clone(), Some(first.revision)).await.unwrap();
    assert_eq!(put, PutPrincipal::Conflict, "it was read before it was changed");
    assert_eq!(
        w.store.principals().await.unwrap(),
        [StoredPrincipal { principal: changed, revision: Revision(2) }]
    );
    let put = w.store.put_principal(principal(&w, "other"), Some(Revision(1))).await.unwrap();
    assert_eq!(put, PutPrincipal::Conflict, "there is none to replace");
}

pub(super) async fn a_deleted_principal_takes_its_tokens_along(w: World) {
    let (deploy, alice) = (made(&w, "deploy").await, made(&w, "alice").await);
    assert_eq!(w.store.put_token(token(&w, "deploy", "ci", 1)).await.unwrap(), PutToken::Written);
    assert_eq!(w.store.put_token(token(&w, "alice", "laptop", 2)).await.unwrap(), PutToken::Written);
    let name = deploy.principal.name;
    assert!(!w.store.delete_principal(name.clone(), Revision(7)).await.unwrap());
    assert_eq!(w.store.tokens().await.unwrap().len(), 2);
    assert!(w.store.delete_principal(name.clone(), deploy.revision).await.unwrap());
    assert!(!w.store.delete_principal(name, deploy.revision).await.unwrap());
    assert_eq!(w.store.principals().await.unwrap(), [alice]);
    assert_eq!(w.store.tokens().await.unwrap(), [token(&w, "alice", "laptop", 2)]);
    let orphan = w.store.put_token(token(&w, "deploy", "ci", 3)).await.unwrap();
    assert_eq!(orphan, PutToken::NoPrincipal);
}

pub(super) async fn a_token_is_taken_back_once_and_its_name_is_free_again(w: World) {
    made(&w, "deploy").await;
    made(&w, "alice").await;
    let first = token(&w, "deploy", "ci", 1);
    assert_eq!(w.store.put_token(first.clone()).await.unwrap(), PutToken::Written);
    assert_eq!(w.store.put_token(token(&w, "deploy", "ci", 2)).await.unwrap(), PutToken::NameTaken);
    assert_eq!(w.store.put_token(token(&w, "alice", "ci", 1)).await.unwrap(), PutToken::IdTaken);
    assert_eq!(w.store.put_token(token(&w, "alice", "ci", 2)).await.unwrap(), PutToken::Written);

    let at = w.now();
    let revoked = Token { revoked_at: Some(at), ..first.clone() };
    assert_eq!(w.store.revoke_token(first.id.clone(), at).await.unwrap(), Some(revoked.clone()));
    w.advance(Duration::from_secs(1));
    assert_eq!(w.store.revoke_token(first.id.clone(), w.now()).await.unwrap(), Some(revoked), "as it was");
    let unknown = token(&w, "deploy", "ci", 9).id;
    assert_eq!(w.store.revoke_token(unknown, w.now()).await.unwrap(), None);

    assert_eq!(w.store.put_token(token(&w, "deploy", "ci", 3)).await.unwrap(), PutToken::Written);
    w.advance(Duration::from_secs(61));
    assert_eq!(
        w.store.put_token(token(&w, "deploy", "ci", 4)).await.unwrap(),
        PutToken::Written,
        "it expired"
    );
    assert_eq!(w.store.tokens().await.unwrap().len(), 4);
    w.advance(Duration::from_hours(91 * 24));
    assert_eq!(w.store.put_token(token(&w, "deploy", "ci", 5)).await.unwrap(), PutToken::Written);
    let left: Vec<_> = w.store.tokens().await.unwrap().into_iter().map(|token| token.id).collect();
    let expected = [token(&w, "alice", "ci", 2).id, token(&w, "deploy", "ci", 5).id];
    assert_eq!(left, expected, "what was no longer good for long is not listed");
}

fn subject(kind: AuditKind, who: &str, request: Option<&str>) -> AuditSubject {
    AuditSubject {
        kind,
        principal: Some(who.parse().expect("a name")),
        token: Some(TokenText::of_chance([1; TokenText::CHANCE]).id().clone()),
        method: "QueueService/PauseQueue".into(),
        resource: "queues/mail".into(),
        reason: "the printer is on fire; 100 %_".into(),
        request_id: request.map(|id| id.parse().expect("an id")),
        peer: "127.0.0.1:4711".into(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        unwritten: 0,
    }
}

fn denied() -> AuditOutcome {
    AuditOutcome { canonical: "PERMISSION_DENIED".into(), error: Some(ErrorCode::PermissionDenied) }
}

async fn begin(w: &World, request: Option<&str>, content: u8) -> Begun {
    w.store.begin_mutation(subject(AuditKind::Mutation, "alice", request), [content; 32]).await.unwrap()
}

async fn begun(w: &World, request: Option<&str>, content: u8) -> u64 {
    match begin(w, request, content).await {
        Begun::Written(position) => position,
        other => panic!("expected a new entry, got {other:?}"),
    }
}

async fn entries(w: &World, filter: AuditFilter) -> Vec<AuditEntry> {
    w.store.audit_entries(filter, None, 100).await.unwrap().entries
}

async fn positions(w: &World, filter: AuditFilter) -> Vec<u64> {
    entries(w, filter).await.into_iter().map(|entry| entry.position).collect()
}

pub(super) async fn a_mutation_is_written_before_it_is_done_and_when_it_is(w: World) {
    let position = begun(&w, None, 1).await;
    let before = AuditEntry {
        position,
        at: w.now(),
        subject: subject(AuditKind::Mutation, "alice", None),
        outcome: None,
    };
    assert_eq!(entries(&w, AuditFilter::default()).await, std::slice::from_ref(&before));
    let (at, started) = (w.now(), Duration::from_secs(2));
    w.advance(started);
    w.store.end_mutation(position, AuditOutcome::ok(), Remembered::Nothing).await.unwrap();
    let after = AuditEntry { outcome: Some((AuditOutcome::ok(), w.now())), at, ..before };
    assert_eq!(entries(&w, AuditFilter::default()).await, std::slice::from_ref(&after));
    w.store.end_mutation(position, denied(), Remembered::Nothing).await.unwrap();
    w.store.end_mutation(99, denied(), Remembered::Nothing).await.unwrap();
    assert_eq!(entries(&w, AuditFilter::default()).await, [after], "what ended stays as it ended");
}

pub(super) async fn a_request_id_stands_for_one_request_of_one_principal(w: World) {
    let position = begun(&w, Some("a"), 1).await;
    assert_eq!(begin(&w, Some("a"), 1).await, Begun::Undecided, "it is under way");
    assert_eq!(begin(&w, Some("a"), 2).await, Begun::Conflict);
    let answer = b"the answer".to_vec();
    w.store.end_mutation(position, AuditOutcome::ok(), Remembered::Answer(answer.clone())).await.unwrap();
    assert_eq!(begin(&w, Some("a"), 1).await, Begun::Answered(answer.clone()));
    assert_eq!(begin(&w, Some("a"), 2).await, Begun::Conflict);
    let other = subject(AuditKind::Mutation, "bob", Some("a"));
    assert_eq!(w.store.begin_mutation(other, [2; 32]).await.unwrap(), Begun::Written(position + 1));
    assert_eq!(begun(&w, Some("b"), 2).await, position + 2);

    w.advance(REQUEST_ID_FOR - Duration::from_millis(1));
    w.store.sweep().await.unwrap();
    assert_eq!(begin(&w, Some("a"), 1).await, Begun::Answered(answer));
    w.advance(Duration::from_millis(1));
    assert_eq!(begun(&w, Some("a"), 2).await, position + 3, "a day later it stands for nothing");
}

pub(super) async fn a_request_that_did_nothing_may_be_asked_again(w: World) {
    let position = begun(&w, Some("a"), 1).await;
    w.store.end_mutation(position, denied(), Remembered::Nothing).await.unwrap();
    let position = begun(&w, Some("a"), 1).await;
    w.store.end_mutation(position, AuditOutcome::ok(), Remembered::Undecided).await.unwrap();
    assert_eq!(begin(&w, Some("a"), 1).await, Begun::Undecided, "there is no answer to give again");
    assert_eq!(entries(&w, AuditFilter::default()).await.len(), 2);
}

pub(super) async fn audit_entries_are_found_by_every_field(w: World) {
    let first = begun(&w, None, 1).await;
    w.store.end_mutation(first, AuditOutcome::ok(), Remembered::Nothing).await.unwrap();
    w.advance(Duration::from_secs(10));
    let late = w.now();
    let stranger = AuditSubject {
        principal: None,
        token: None,
        method: "TreeService/StopNode".into(),
        resource: "nodes/engine/apps/shop".into(),
        unwritten: 3,
        ..subject(AuditKind::Denial, "alice", None)
    };
    let second = w.store.write_denial(stranger.clone(), denied()).await.unwrap();
    let third = w
        .store
        .begin_mutation(subject(AuditKind::Mutation, "bob", Some("b")), [0; 32])
        .await
        .map(|begun| if let Begun::Written(position) = begun { position } else { 0 })
        .unwrap();
    let all = AuditFilter::default;
    assert_eq!(positions(&w, all()).await, [third, second, first]);
    assert_eq!(entries(&w, all()).await[1].subject, stranger);
    let is = |text: &str| TextTest::Is(text.to_owned());
    let begins = |text: &str| TextTest::Begins(text.to_owned());
    let only = |test: AuditTest| Expr::Is(test);
    for (expr, expected) in [
        (only(AuditTest::Kind(AuditKind::Denial)), vec![second]),
        (only(AuditTest::Kind(AuditKind::Mutation)), vec![third, first]),
        (only(AuditTest::Principal("bob".parse().unwrap())), vec![third]),
        (!only(AuditTest::Principal("bob".parse().unwrap())), vec![second, first]),
        (only(AuditTest::Method(begins("QueueService/"))), vec![third, first]),
        (only(AuditTest::Method(is("QueueService/"))), vec![]),
        (only(AuditTest::Method(begins("%"))), vec![]),
        (only(AuditTest::Resource(begins("nodes/engine"))), vec![second]),
        (only(AuditTest::RequestId("b".parse().unwrap())), vec![third]),
        (!only(AuditTest::RequestId("b".parse().unwrap())), vec![second, first]),
        (only(AuditTest::Canonical("OK".into())), vec![first]),
        (!only(AuditTest::Canonical("OK".into())), vec![third, second]),
        (only(AuditTest::At(TimeTest::Since(late))), vec![third, second]),
        (only(AuditTest::At(TimeTest::Before(late))), vec![first]),
        (
            Expr::Any(vec![
                only(AuditTest::Kind(AuditKind::Denial)),
                Expr::All(vec![
                    only(AuditTest::Canonical("OK".into())),
                    !only(AuditTest::Principal("bob".parse().unwrap())),
                ]),
            ]),
            vec![second, first],
        ),
    ] {
        let filter = AuditFilter { expr: Some(expr) };
        assert_eq!(positions(&w, filter.clone()).await, expected, "{filter:?}");
    }
    let page = async |before, limit| {
        let page = w.store.audit_entries(all(), before, limit).await.unwrap();
        (page.entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(Some(third), 1).await, (vec![second], Some(second)));
    assert_eq!(page(Some(third), 2).await, (vec![second, first], None), "no page is left");
    assert_eq!(page(Some(first), 1).await, (vec![], None));
}

pub(super) async fn the_audit_log_keeps_what_retention_says(w: World) {
    let at_most = w.setup.retention.keep_audit_at_most;
    for _ in 0..at_most + 2 {
        begun(&w, None, 1).await;
        w.store.write_denial(subject(AuditKind::Denial, "alice", None), denied()).await.unwrap();
    }
    for _ in 0..3 * at_most {
        w.store.write_denial(subject(AuditKind::Denial, "alice", None), denied()).await.unwrap();
    }
    w.store.sweep().await.unwrap();
    let kept = entries(&w, AuditFilter::default()).await;
    let of = |kind| kept.iter().filter(|entry| entry.subject.kind == kind).count() as u64;
    assert_eq!(
        (of(AuditKind::Mutation), of(AuditKind::Denial)),
        (at_most, at_most),
        "neither pushes the other out"
    );
    assert_eq!(kept.iter().map(|entry| entry.position).max(), Some(2 * (at_most + 2) + 3 * at_most));

    let last = kept[0].position;
    w.advance(w.setup.retention.keep_audit_for);
    w.store.sweep().await.unwrap();
    assert_eq!(entries(&w, AuditFilter::default()).await, []);
    assert_eq!(begun(&w, None, 1).await, last + 1, "no position is given twice");
}

pub(super) async fn a_request_id_is_forgotten_with_the_mutations_that_are_too_many(w: World) {
    let at_most = w.setup.retention.keep_audit_at_most;
    begun(&w, Some("first"), 1).await;
    w.advance(Duration::from_millis(10));
    for _ in 0..at_most {
        begun(&w, None, 1).await;
    }
    begun(&w, Some("last"), 1).await;
    w.store.sweep().await.unwrap();
    assert_eq!(begin(&w, Some("last"), 1).await, Begun::Undecided);
    assert!(matches!(begin(&w, Some("first"), 1).await, Begun::Written(_)), "what is remembered is bounded");
}

pub(super) async fn principals_tokens_and_the_audit_log_survive(w: World) {
    let stored = made(&w, "deploy").await;
    let token = token(&w, "deploy", "ci", 1);
    w.store.put_token(token.clone()).await.unwrap();
    let (ended, open) = (begun(&w, Some("a"), 1).await, begun(&w, Some("b"), 1).await);
    w.store.end_mutation(ended, AuditOutcome::ok(), Remembered::Answer(vec![7])).await.unwrap();
    let denial = w.store.write_denial(subject(AuditKind::Denial, "alice", None), denied()).await.unwrap();
    let before = entries(&w, AuditFilter::default()).await;

    let w = w.crash_into("two").await;
    assert_eq!(w.store.principals().await.unwrap(), [stored]);
    assert_eq!(w.store.tokens().await.unwrap(), [token]);
    assert_eq!(entries(&w, AuditFilter::default()).await, before);
    assert_eq!(before.iter().map(|entry| entry.position).collect::<Vec<_>>(), [denial, open, ended]);
    assert_eq!(begin(&w, Some("a"), 1).await, Begun::Answered(vec![7]));
    assert_eq!(begin(&w, Some("b"), 1).await, Begun::Undecided, "it died with its process");
}
