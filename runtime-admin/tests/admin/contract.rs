//! What the conventions ask of every method, asked of every method: a walk over the descriptors. Each method has a request that is answered;
//! from it, one field after the other is spoilt, and the refusal has to name the field.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, ReflectMessage, Value,
};
use runtime_admin::method_rule;
use runtime_core::error::ErrorCode;
use serde_json::{Value as Json, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::control::id;
use crate::guarded::Guarded;
use crate::raw::call;

/// A request of each method in which nothing is wrong.
fn asked(method: &str) -> Json {
    let node = || json!({ "name": "nodes/engine/apps/shop/workers/fetch", "reason": "tests" });
    let task = |row| json!({ "name": format!("tasks/{}", id(row)), "reason": "tests" });
    let queue = || json!({ "name": "queues/mail", "reason": "tests" });
    let schedule = |name: &str| json!({ "name": format!("schedules/{name}"), "reason": "tests" });
    let spec = || {
        json!({
            "app": "apps/shop", "queue": "queues/mail", "handler": "settle", "input": "{\"store\": 1}",
            "cron": { "expression": "30 3 * * *", "zone": "Europe/Berlin" },
            "start": "2026-01-01T00:00:00Z", "end": "2036-01-01T00:00:00Z", "jitter": "90s",
            "catch_up": "CATCH_UP_POLICY_ALL", "catch_up_window": "3600s", "overlap": "OVERLAP_POLICY_SKIP",
            "tenant": "acme", "scope": "store=1",
        })
    };
    let person =
        || json!({ "name": "principals/ann", "grants": ["viewer"], "kind": "PRINCIPAL_KIND_PERSON" });
    let bulk = |filter: &str| json!({ "filter": filter, "reason": "tests" });
    match method {
        "StartNode" | "StopNode" | "RestartNode" | "PauseNode" | "ResumeNode" | "DrainNode" => node(),
        "GetTree" | "ListRestarts" | "GetNode" => json!({ "name": "nodes/engine/apps/shop" }),
        "ResizeNode" => json!({ "name": "nodes/engine/apps/shop/workers/fetch", "slots": 3 }),
        "GetWorker" => json!({ "name": "workers/settle" }),
        "RunWorker" => json!({
            "name": "workers/settle", "scope": "store=42", "since": "2026-01-01T00:00:00Z",
            "until": "2036-01-01T00:00:00Z", "correlation_id": "run-1",
        }),
        "GetQueue" | "GetQueueStats" => json!({ "name": "queues/mail" }),
        "PauseQueue" | "ResumeQueue" | "DrainQueue" => {
            json!({ "name": "queues/mail", "scope": "store=42", "reason": "tests" })
        }
        "UpdateQueue" => json!({
            "name": "queues/mail", "lane": "acme", "concurrency": { "most": 3 },
            "rate": { "rate": { "tokens": 3, "per": "60s" } },
        }),
        "PurgeQueue" => {
            json!({ "name": "queues/mail", "filter": "state=done", "reason": "tests", "force": true })
        }
        "ListTasks" | "CountTasks" => json!({ "filter": "state=dead" }),
        "ListDeadLetters" | "CountDeadLetters" => json!({ "filter": "queue=mail" }),
        "ListAuditEntries" => json!({ "filter": "kind=mutation" }),
        "ListEvents" => json!({ "filter": "queue=mail" }),
        "WatchEvents" => json!({ "filter": "queue=mail" }),
        "GetTask" | "GetTaskPayload" => json!({ "name": format!("tasks/{}", id(1)) }),
        "EnqueueTask" => json!({
            "app": "apps/shop", "queue": "queues/mail", "handler": "fetch", "payload": "e30=",
            "tenant": "acme", "scope": "store=42", "idempotency_key": "k", "ordering_key": "o",
            "run_at": "2030-01-01T00:00:00Z", "deadline": "2031-01-01T00:00:00Z", "correlation_id": "c",
            "unique_within": "UNIQUE_WITHIN_PERIOD", "unique_for": "60s",
            "on_conflict": "ON_CONFLICT_DEBOUNCE", "debounce_at_most": "60s",
        }),
        "RetryTask" | "ReplayTask" | "DiscardTask" => task(5),
        "ResolveTask" => json!({ "name": format!("tasks/{}", id(7)), "decision": "DECISION_APPROVE" }),
        "CancelTask" | "DeleteTask" => task(4),
        "RescheduleTask" => json!({ "name": format!("tasks/{}", id(3)), "at": "2030-01-01T00:00:00Z" }),
        "RetryTasks" => bulk("queue=mail"),
        "CancelTasks" => bulk("scope=\"store=42\""),
        "ReplayDeadLetters" | "DiscardDeadLetters" => bulk("queue=mail"),
        "GetOperation" | "WatchOperation" => json!({ "name": "operations/1" }),
        "CancelOperation" => json!({ "name": "operations/1", "reason": "tests" }),
        "GetSchedule" => json!({ "name": "schedules/nightly" }),
        "PreviewTimes" => json!({ "name": "schedules/nightly", "after": "2026-01-01T00:00:00Z" }),
        "PauseSchedule" | "ResumeSchedule" | "TriggerSchedule" => schedule("nightly"),
        "BackfillSchedule" => json!({
            "name": "schedules/nightly", "from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z",
        }),
        "CreateSchedule" => json!({ "schedule_id": "weekly", "spec": spec() }),
        "UpdateSchedule" => json!({ "name": "schedules/often", "spec": spec() }),
        "DeleteSchedule" => schedule("outdated"),
        "CreatePrincipal" => json!({ "principal_id": "bob", "principal": person() }),
        "UpdatePrincipal" => json!({ "principal": person() }),
        "DeletePrincipal" => json!({ "name": "principals/ann", "reason": "tests" }),
        "CreateToken" => json!({
            "principal": "principals/ann", "label": "laptop", "expires_at": "2036-01-01T00:00:00Z",
        }),
        "ListTokens" => json!({ "principal": "principals/ann" }),
        "RevokeToken" => json!({ "name": "tokens/00112233445566aa", "reason": "tests" }),
        "ClearOverride" => queue(),
        "StartDrain" | "StopDrain" => json!({ "reason": "tests" }),
        "Shutdown" => json!({ "reason": "tests", "grace": "3s" }),
        "SetLogFilter" => json!({ "filter": "info", "time_to_live": "60s" }),
        _ => json!({}),
    }
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() > 70, "{}", methods.len());
    methods
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn request(method: &MethodDescriptor) -> DynamicMessage {
    DynamicMessage::deserialize(method.input(), asked(method.name()))
        .unwrap_or_else(|error| panic!("{}: {error}", method.name()))
}

/// A server, with somebody to be changed and an operation to be looked at.
async fn world() -> Guarded {
    let world = Guarded::with_patience(Duration::from_millis(500)).await;
    world.principal("ann", &["viewer"]).await;
    let world = world.again().await;
    let begun = json!({ "filter": "scope=\"store=7\"", "reason": "tests", "rate": 1 });
    let bulk = methods().into_iter().find(|method| method.name() == "CancelTasks").expect("the method");
    let begun = DynamicMessage::deserialize(bulk.input(), begun).expect("a request");
    tell(&world, &bulk, &begun).await.expect("an operation");
    world
}

async fn tell(
    world: &Guarded,
    method: &MethodDescriptor,
    message: &DynamicMessage,
) -> Result<Option<bytes::Bytes>, Status> {
    let authorization = format!("Bearer {}", world.bootstrap.expose());
    call(&world.channel, &path(method), Some(&authorization), message.encode_to_vec()).await
}

/// A refusal as every one has to be: with a reason of the list, and with the details that its canonical code asks for. Returns the fields
/// that it blames.
fn refused(what: &str, status: &Status) -> Vec<String> {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{what}: no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "runtime.admin.v1", "{what}");
    let code: ErrorCode = info.reason.parse().unwrap_or_else(|_| panic!("{what}: {}", info.reason));
    assert_eq!(info.metadata["name"], code.name(), "{what}");
    match status.code() {
        Code::NotFound => assert!(status.get_details_resource_info().is_some(), "{what}: no ResourceInfo"),
        Code::FailedPrecondition => {
            assert!(status.get_details_precondition_failure().is_some(), "{what}: no PreconditionFailure");
        }
        Code::ResourceExhausted => {
            assert!(status.get_details_quota_failure().is_some(), "{what}: no QuotaFailure");
        }
        Code::InvalidArgument => {
            assert!(status.get_details_bad_request().is_some(), "{what}: no BadRequest: {status:?}");
        }
        _ => {}
    }
    let fields = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    fields.into_iter().map(|violation| violation.field).collect()
}

/// What spoils a field, for every one that can be spoilt whatever it means.
fn spoilt(field: &FieldDescriptor) -> Option<Value> {
    if field.is_list() || field.is_map() {
        return None;
    }
    let pair = |message: &prost_reflect::MessageDescriptor, seconds: i64, nanos: i32| {
        let mut out_of_form = DynamicMessage::new(message.clone());
        out_of_form.set_field_by_name("seconds", Value::I64(seconds));
        out_of_form.set_field_by_name("nanos", Value::I32(nanos));
        Some(Value::Message(out_of_form))
    };
    match field.kind() {
        // Longer than anything that is taken, and no name, filter, token or number.
        Kind::String => Some(Value::String(format!("({}", "x".repeat(300_000)))),
        Kind::Enum(_) => Some(Value::EnumNumber(99)),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => pair(&message, 0, -1),
            "google.protobuf.Duration" => pair(&message, -1, 0),
            _ => None,
        },
        Kind::Uint32 if ["page_size", "count"].contains(&field.name()) => Some(Value::U32(1_001)),
        Kind::Int32 => Some(Value::I32(40_000)),
        _ => None,
    }
}

/// Fields that no service reads: an etag is compared and nothing else.
const NOT_READ: [&str; 6] = [
    "etag",
    "principal.etag",
    // Not read, as their comment says.
    "CreatePrincipal principal.name",
    "CreatePrincipal principal.created_at",
    "UpdatePrincipal principal.created_at",
    // The process round the tree reads it; there is none here.
    "SetLogFilter filter",
];

/// Every request with one of its fields spoilt, by the path of the field.
fn spoilings(message: &DynamicMessage) -> Vec<(String, DynamicMessage)> {
    let mut all = Vec::new();
    for field in message.descriptor().fields() {
        if let Some(value) = spoilt(&field) {
            let mut broken = message.clone();
            broken.set_field(&field, value);
            all.push((field.name().to_owned(), broken));
        } else if let Some(part) =
            message.get_field(&field).as_message().filter(|_| message.has_field(&field))
        {
            for (inner, broken_part) in spoilings(part) {
                let mut broken = message.clone();
                broken.set_field(&field, Value::Message(broken_part));
                all.push((format!("{}.{inner}", field.name()), broken));
            }
        }
    }
    all
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_whatever_the_method() {
    let world = world().await;
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for method in methods() {
        let method_name = method.name().to_owned();
        for (field, broken) in spoilings(&request(&method)) {
            if NOT_READ.contains(&field.as_str()) || NOT_READ.contains(&&*format!("{method_name} {field}")) {
                continue;
            }
            looked_at += 1;
            let what = format!("{method_name}.{field}");
            match tell(&world, &method, &broken).await {
                Ok(_) => wrong.push(format!("{what}: taken")),
                Err(status) => {
                    let blamed = refused(&what, &status);
                    let names =
                        blamed.iter().any(|known| *known == field || field.starts_with(&format!("{known}.")));
                    if status.code() != Code::InvalidArgument || !names {
                        wrong.push(format!(
                            "{what}: {:?} {} {blamed:?}",
                            status.code(),
                            short(status.message())
                        ));
                    }
                }
            }
        }
    }
    assert!(looked_at > 200, "{looked_at}");
    assert!(wrong.is_empty(), "of {looked_at}:\n{}", wrong.join("\n"));
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

#[tokio::test]
async fn what_a_release_does_not_know_is_refused_and_not_passed_over() {
    let world = world().await;
    for method in methods() {
        let mut bytes = request(&method).encode_to_vec();
        // A field of the number 2,047, that is 1.
        prost::encoding::encode_key(2_047, prost::encoding::WireType::Varint, &mut bytes);
        prost::encoding::encode_varint(1, &mut bytes);
        let authorization = format!("Bearer {}", world.bootstrap.expose());
        let status = call(&world.channel, &path(&method), Some(&authorization), bytes).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{}: {status:?}", method.name());
        assert_eq!(refused(method.name(), &status), ["request"], "{}", method.name());
        assert!(status.message().contains("2047"), "{status:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_its_name() {
    let world = world().await;
    let mut looked_at = 0;
    for method in methods() {
        let mut message = request(&method);
        let Some(name) = message.get_field_by_name("name").and_then(|name| name.as_str().map(str::to_owned))
        else {
            continue;
        };
        let Some((collection, _)) = name.split_once('/') else { continue };
        let missing = match collection {
            "tasks" => format!("tasks/{}", id(99)),
            "operations" => "operations/4711".to_owned(),
            "tokens" => "tokens/bb112233445566aa".to_owned(),
            "nodes" => "nodes/engine/nowhere".to_owned(),
            collection => format!("{collection}/nobody"),
        };
        // Asked for by name, but no resource has to be there; and one that the tree in memory does not answer.
        if ["PurgeQueue", "ListRestarts", "ClearOverride"].contains(&method.name()) {
            continue;
        }
        looked_at += 1;
        message.set_field_by_name("name", Value::String(missing.clone()));
        let status = match tell(&world, &method, &message).await {
            Err(status) => status,
            Ok(_) => panic!("{}: {missing} is there", method.name()),
        };
        refused(method.name(), &status);
        assert_eq!(status.code(), Code::NotFound, "{}: {status:?}", method.name());
        let info = status.get_details_resource_info().expect("ResourceInfo");
        assert_eq!(info.resource_name, missing, "{}", method.name());
    }
    assert!(looked_at > 35, "{looked_at}");
}

#[tokio::test]
async fn a_change_is_asked_for_once_by_its_id_with_its_reason_and_a_look_changes_nothing() {
    let mut seen = BTreeSet::new();
    for method in methods() {
        let rule = method_rule(&path(&method)).expect("a row");
        if !rule.changes() {
            continue;
        }
        // Each in a world of its own: some of them end what others need.
        let world = world().await;
        let with = |pairs: &[(&str, Value)]| {
            let mut message = request(&method);
            for (field, value) in pairs {
                message.set_field_by_name(field, value.clone());
            }
            message
        };
        let (text, name) = (|text: &str| Value::String(text.to_owned()), method.name());
        let written = world.audit().await.len();
        if method.input().get_field_by_name("validate_only").is_some() {
            let look = with(&[("validate_only", Value::Bool(true)), ("reason", text(""))]);
            if let Err(status) = tell(&world, &method, &look).await {
                refused(name, &status);
                assert_ne!(
                    status.code(),
                    Code::InvalidArgument,
                    "{name}: a look needs no reason: {status:?}"
                );
            }
            assert_eq!(world.audit().await.len(), written, "{name}: a look is no change");
        }
        if rule.needs_reason() {
            let status = tell(&world, &method, &with(&[("reason", text(" "))])).await.expect_err(name);
            assert_eq!(refused(name, &status), ["reason"], "{name}");
            assert_eq!(world.audit().await.len(), written, "{name}: nothing was begun");
        }
        let first = tell(&world, &method, &with(&[("request_id", text("id-1"))])).await;
        let again = tell(&world, &method, &with(&[("request_id", text("id-1"))])).await;
        let changed = with(&[("request_id", text("id-1")), ("reason", text("another"))]);
        let other = tell(&world, &method, &changed).await;
        for status in [&first, &again, &other].into_iter().filter_map(|answer| answer.as_ref().err()) {
            refused(name, status);
        }
        let Ok(answer) = first else { continue };
        seen.insert(name.to_owned());
        let other = other.expect_err(name);
        assert_eq!(other.code(), Code::AlreadyExists, "{name}: {other:?}");
        match again {
            Ok(again) if !method.is_server_streaming() => assert_eq!(again, answer, "{name}"),
            // Of many messages the last: the first says less.
            Ok(again) => assert!(again.is_some(), "{name}"),
            // A token is shown once; and whoever hung up after the first message may not have heard the last.
            Err(status) => {
                assert!(name == "CreateToken" || method.is_server_streaming(), "{name}: {status:?}");
                assert_eq!(status.code(), Code::Aborted, "{name}: {status:?}");
            }
        }
        let drain = if name == "StopDrain" { "StartDrain" } else { "StopDrain" };
        let elsewhere = methods().into_iter().find(|known| known.name() == drain).expect("the method");
        let mut message = request(&elsewhere);
        message.set_field_by_name("request_id", text("id-1"));
        let status = tell(&world, &elsewhere, &message).await.expect_err("the id stands for another method");
        assert_eq!(status.code(), Code::AlreadyExists, "{name}");
    }
    assert!(seen.len() > 30, "{seen:?}");
}

#[tokio::test]
async fn a_page_is_of_its_list_alone() {
    let world = world().await;
    let lists: Vec<_> = methods()
        .into_iter()
        .filter(|method| method.input().get_field_by_name("page_token").is_some())
        .collect();
    assert!(lists.len() >= 10, "{}", lists.len());
    let token = |answer: Option<bytes::Bytes>, method: &MethodDescriptor| {
        let answer = DynamicMessage::decode(method.output(), answer.expect("an answer")).expect("a message");
        let token = answer.get_field_by_name("next_page_token").expect("a token");
        token.as_str().expect("a text").to_owned()
    };
    let mut paged = 0;
    for method in &lists {
        let mut message = DynamicMessage::new(method.input());
        message.set_field_by_name("page_size", Value::U32(1));
        let next = token(
            tell(&world, method, &message).await.unwrap_or_else(|error| panic!("{}: {error}", method.name())),
            method,
        );
        if next.is_empty() {
            continue;
        }
        paged += 1;
        message.set_field_by_name("page_token", Value::String(next.clone()));
        tell(&world, method, &message).await.unwrap_or_else(|error| panic!("{}: {error}", method.name()));
        for other in lists.iter().filter(|other| other.full_name() != method.full_name()) {
            let mut elsewhere = DynamicMessage::new(other.input());
            elsewhere.set_field_by_name("page_token", Value::String(next.clone()));
            let what = format!("{} by {}", other.name(), method.name());
            let status = tell(&world, other, &elsewhere).await.expect_err(&what);
            assert_eq!(refused(&what, &status), ["page_token"], "{what}");
        }
        if method.input().get_field_by_name("filter").is_some() {
            message.set_field_by_name("filter", asked_filter(method));
            let status = tell(&world, method, &message).await.expect_err("the token is of another filter");
            assert_eq!(refused(method.name(), &status), ["page_token"], "{}", method.name());
        }
    }
    assert!(paged >= 5, "{paged}");
}

fn asked_filter(method: &MethodDescriptor) -> Value {
    request(method).get_field_by_name("filter").expect("a filter").into_owned()
}
