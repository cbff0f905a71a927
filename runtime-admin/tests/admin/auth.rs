//! Who is let in, to do what, and what is written down of it.

use std::sync::atomic::Ordering;

use prost::Message;
use prost_types::FileDescriptorSet;
use runtime_admin::{ClientError, method_rule, new_token, v1};
use runtime_core::access::{Grant, Principal, PrincipalKind, Role, TokenHash, TokenText};
use runtime_core::audit::AuditKind;
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use tonic::Code;

use crate::guarded::{Guarded, reason};
use crate::raw::call;

/// Every method that is served, as a path.
fn methods() -> Vec<String> {
    let sets = [runtime_proto::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let files = sets.map(|set| FileDescriptorSet::decode(set).expect("a descriptor set").file);
    let mut methods = Vec::new();
    for file in files.iter().flatten() {
        for service in &file.service {
            for method in &service.method {
                methods.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    assert!(methods.len() > 40, "{}", methods.len());
    methods
}

#[tokio::test]
async fn each_role_may_call_what_its_row_says_and_nothing_more() {
    let (world, tokens) = Guarded::start()
        .await
        .with_grants(&[
            ("viewer", &["viewer"]),
            ("operator", &["operator"]),
            ("admin", &["admin"]),
            ("nobody", &[]),
        ])
        .await;
    let callers = [Some(Role::Viewer), Some(Role::Operator), Some(Role::Admin), None];
    for path in methods() {
        let needed = method_rule(&path).unwrap_or_else(|| panic!("{path} has no row")).role();
        let anonymous = call(&world.channel, &path, None, Vec::new()).await.map(drop).unwrap_err();
        assert_eq!(
            (anonymous.code(), reason(&anonymous)),
            (Code::Unauthenticated, ErrorCode::Unauthenticated),
            "{path}"
        );
        for (token, role) in tokens.iter().zip(callers) {
            let answer = world.call(token, &path, ()).await;
            let refused = answer.as_ref().is_err_and(|status| {
                [Code::PermissionDenied, Code::Unauthenticated].contains(&status.code())
            });
            assert_eq!(!refused, role.is_some_and(|role| role >= needed), "{path} by {role:?}: {answer:?}");
            if refused {
                assert_eq!(reason(&answer.unwrap_err()), ErrorCode::PermissionDenied, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn what_no_token_opens_is_refused_and_says_no_more_than_it_must() {
    let world = Guarded::start().await;
    world.principal("alice", &["admin"]).await;
    let disabled = world.principal("bob", &["admin"]).await;
    let [good, expiring, revoked, of_bob] = [
        world.token("alice", None).await,
        world.token("alice", Some(60)).await,
        world.token("alice", None).await,
        world.token("bob", None).await,
    ];
    world.store.revoke_token(revoked.id().clone(), world.clock.now()).await.unwrap();
    let bob = Principal { disabled: true, ..disabled };
    world.store.put_principal(bob, Some(runtime_core::store::Revision::FIRST)).await.unwrap();
    let world = world.again().await;
    let unknown = new_token().unwrap();
    // The id of a good token, and another secret.
    let guessed = format!("{}{}", &good.expose()[..20], &unknown.expose()[20..]);

    let path = "/runtime.admin.v1.SystemService/GetInfo";
    let bearer = |token: &TokenText| format!("Bearer {}", token.expose());
    for let_in in
        [bearer(&good), bearer(&expiring), bearer(&world.bootstrap), format!("bearer  {}", good.expose())]
    {
        call(&world.channel, path, Some(&let_in), Vec::new()).await.expect("let in");
    }
    world.clock.0.fetch_add(60, Ordering::SeqCst);
    for (authorization, said) in [
        (None, "a bearer token or a certificate is needed"),
        (Some(bearer(&unknown)), "the token is not known"),
        (Some(format!("Bearer {guessed}")), "the token is not known"),
        (Some(bearer(&expiring)), "the token has expired"),
        (Some(bearer(&revoked)), "the token was revoked"),
        (Some(bearer(&of_bob)), "the token's principal is disabled"),
        (Some(String::new()), "the token is malformed"),
        (Some(good.expose().to_owned()), "the token is malformed"),
        (Some(format!("Basic {}", good.expose())), "the token is malformed"),
        (Some(format!("Bearer {}0", good.expose())), "the token is malformed"),
        (Some("Bearer rt_".to_owned()), "the token is malformed"),
    ] {
        let status = call(&world.channel, path, authorization.as_deref(), Vec::new()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, said), "{authorization:?}");
        assert_eq!(reason(&status), ErrorCode::Unauthenticated);
    }
    let denials = world.audit().await;
    assert_eq!(denials.len(), 11);
    assert!(denials.iter().all(|entry| entry.subject.kind == AuditKind::Denial
        && entry.subject.principal.is_none()
        && entry.subject.method == "SystemService/GetInfo"
        && entry.subject.peer.starts_with("127.0.0.1:")));
}

#[tokio::test]
async fn no_role_reads_payloads_without_the_permission_to() {
    let world = Guarded::start().await;
    for (name, read_payloads, grants) in
        [("blind", false, "admin"), ("reader", true, "viewer"), ("elsewhere", true, "viewer:apps/books")]
    {
        let grants = vec![grants.parse::<Grant>().unwrap()];
        let all = Principal::almighty(name.parse().unwrap(), PrincipalKind::Person, world.clock.now());
        world.store.put_principal(Principal { read_payloads, grants, ..all }, None).await.unwrap();
    }
    let tokens = [
        world.token("blind", None).await,
        world.token("reader", None).await,
        world.token("elsewhere", None).await,
    ];
    let world = world.again().await;
    let path = "/runtime.admin.v1.TaskService/GetTaskPayload";
    let request = v1::GetTaskPayloadRequest { name: format!("tasks/{}", crate::control::id(1)) };
    let mut codes = Vec::new();
    for token in &tokens {
        codes.push(
            world.call(token, path, request.clone()).await.map_or_else(|status| status.code(), |()| Code::Ok),
        );
    }
    assert_eq!(codes, [Code::PermissionDenied, Code::Ok, Code::PermissionDenied]);
    assert_eq!(world.audit().await.len(), 2);
}

#[tokio::test]
async fn a_method_that_nobody_knows_is_unimplemented_and_only_said_so_to_those_who_may_call() {
    let world = Guarded::start().await;
    let path = "/runtime.admin.v1.SystemService/Explode";
    let anonymous = call(&world.channel, path, None, Vec::new()).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated);
    let known = world.call(&world.bootstrap, path, ()).await.unwrap_err();
    assert_eq!((known.code(), reason(&known)), (Code::Unimplemented, ErrorCode::Unimplemented));
}

#[tokio::test]
async fn a_narrowed_grant_covers_its_part_of_every_collection() {
    let (world, tokens) = Guarded::start()
        .await
        .with_grants(&[
            ("shop", &["operator:apps/shop"]),
            ("books", &["operator:apps/books"]),
            ("mail", &["operator:queues/mail"]),
            ("node", &["operator:nodes/engine/apps/shop/workers/settle"]),
            ("looker", &["viewer", "operator:apps/books"]),
        ])
        .await;
    let names = ["shop", "books", "mail", "node", "looker"];
    let task = crate::control::id(1);
    let named = |name: &str| v1::GetTaskRequest { name: name.to_owned() }.encode_to_vec();
    let filtered = |filter: &str| {
        v1::ListTasksRequest { filter: filter.to_owned(), ..Default::default() }.encode_to_vec()
    };
    let made = |app: &str, queue: &str| {
        v1::EnqueueTaskRequest {
            app: app.into(),
            queue: queue.into(),
            handler: "settle".into(),
            payload: b"{}".to_vec(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let cases: [(&str, Vec<u8>, &[&str]); 19] = [
        ("SystemService/GetInfo", Vec::new(), &["shop", "books", "mail", "node", "looker"]),
        ("SystemService/GetOverview", Vec::new(), &["looker"]),
        ("TreeService/GetTree", Vec::new(), &["looker"]),
        ("TreeService/GetTree", named("nodes/engine/apps/shop"), &["shop", "looker"]),
        ("TreeService/PauseNode", named("nodes/engine/apps/shop/workers/settle"), &["shop", "node"]),
        ("TreeService/PauseNode", named("nodes/engine/apps/shop2"), &[]),
        // No name is read as a way: this one is of a node that is not there, under the shop.
        ("TreeService/PauseNode", named("nodes/engine/apps/shop/../books"), &["shop"]),
        ("TreeService/RestartNode", named("nodes/control/status"), &[]),
        ("WorkerService/ListWorkers", Vec::new(), &["looker"]),
        ("WorkerService/GetWorker", named("workers/settle"), &["shop", "mail", "looker"]),
        ("QueueService/PauseQueue", named("queues/mail"), &["shop", "mail"]),
        ("QueueService/PauseQueue", named("queues/nobody"), &[]),
        ("TaskService/GetTask", named(&format!("tasks/{task}")), &["shop", "mail", "looker"]),
        ("TaskService/CancelTask", named(&format!("tasks/{task}")), &["shop", "mail"]),
        ("TaskService/CancelTask", named("tasks/nonsense"), &[]),
        ("TaskService/ListTasks", filtered("state=dead"), &["looker"]),
        ("TaskService/ListTasks", filtered("state=dead AND app=shop"), &["shop", "looker"]),
        ("TaskService/EnqueueTask", made("apps/shop", "queues/mail"), &["shop", "mail"]),
        ("TaskService/EnqueueTask", made("apps/books", "queues/mail"), &["mail"]),
    ];
    for (method, message, allowed) in cases {
        let path = format!("/runtime.admin.v1.{method}");
        for (name, token) in names.iter().zip(&tokens) {
            let authorization = format!("Bearer {}", token.expose());
            let answer = call(&world.channel, &path, Some(&authorization), message.clone()).await;
            let denied = answer.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(!denied, allowed.contains(name), "{method} by {name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_mutation_and_every_denial_is_in_the_audit_log() {
    let (world, tokens) =
        Guarded::start().await.with_grants(&[("alice", &["operator"]), ("eve", &["viewer"])]).await;
    let alice = world.client(&tokens[0]).await;
    let mail = "mail".parse().unwrap();
    alice.queue(&mail).await.unwrap();
    assert_eq!(world.audit().await, [], "who looks leaves nothing behind");

    alice.pause_queue(&mail, None, "the printer is on fire").await.unwrap();
    let missing = alice.pause_queue(&"nowhere".parse().unwrap(), None, "").await.unwrap_err();
    assert!(matches!(missing, ClientError::Refused(refusal) if refusal.canonical == Code::NotFound));
    let eve = world.client(&tokens[1]).await;
    eve.pause_queue(&mail, None, "because").await.unwrap_err();

    let entries = world.audit().await;
    let shown: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| {
            let subject = &entry.subject;
            let (outcome, _) = entry.outcome.as_ref().expect("it ended");
            let who = subject.principal.as_ref().map(|name| name.as_str()).unwrap_or_default();
            (
                subject.kind,
                who,
                &*subject.method,
                &*subject.resource,
                &*subject.reason,
                &*outcome.canonical,
                outcome.error,
            )
        })
        .collect();
    let pause = "QueueService/PauseQueue";
    use AuditKind::{Denial, Mutation};
    assert_eq!(
        shown,
        [
            (Mutation, "alice", pause, "queues/mail", "the printer is on fire", "OK", None),
            (Mutation, "alice", pause, "queues/nowhere", "", "NOT_FOUND", Some(ErrorCode::NotFound)),
            (Denial, "eve", pause, "", "", "PERMISSION_DENIED", Some(ErrorCode::PermissionDenied)),
        ]
    );
    assert_eq!(entries[2].subject.token.as_ref(), Some(tokens[0].id()));
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_counted_and_not_written_one_by_one() {
    let world = Guarded::start().await;
    let path = "/runtime.admin.v1.SystemService/GetInfo";
    for _ in 0..300 {
        let wrong = format!("Bearer {}", TokenText::of_chance([7; TokenText::CHANCE]).expose());
        call(&world.channel, path, Some(&wrong), Vec::new()).await.unwrap_err();
    }
    let written = world.audit().await;
    assert_eq!(written.len(), 100);
    assert!(written.iter().all(|entry| entry.subject.unwritten == 0));
    world.clock.0.fetch_add(1, Ordering::SeqCst);
    call(&world.channel, path, None, Vec::new()).await.unwrap_err();
    let written = world.audit().await;
    assert_eq!((written.len(), written[0].subject.unwritten), (101, 200));
}

#[tokio::test]
async fn a_request_that_holds_a_token_is_refused() {
    let world = Guarded::start().await;
    let secret = new_token().unwrap();
    let request = v1::PauseQueueRequest {
        name: "queues/mail".into(),
        reason: format!("asked for by {}", secret.expose()),
        ..Default::default()
    };
    let status =
        world.call(&world.bootstrap, "/runtime.admin.v1.QueueService/PauseQueue", request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!format!("{status:?}").contains(secret.expose()));
    assert_eq!(world.audit().await, []);
}

#[tokio::test]
async fn the_token_of_the_configuration_is_a_hash_and_opens_everything() {
    let world = Guarded::start().await;
    assert_eq!(TokenHash::of(world.bootstrap.expose()), world.bootstrap.hash());
    let client = world.client(&world.bootstrap).await;
    client.pause_queue(&"mail".parse().unwrap(), None, "").await.unwrap();
    let entry = world.audit().await.remove(0);
    assert_eq!(entry.subject.principal.unwrap().as_str(), "bootstrap");
}
