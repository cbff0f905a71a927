//! Traces as a receiver by others gets them: a task's spans share a trace id from the source to what follows, a retry points back.

use std::time::Duration;

use runtime_tests::bot::{BotFolder, order_mail};
use runtime_tests::eventually;
use runtime_tests::ground::{Ground, Job};
use runtime_tests::servers::{ReceivedSpan, Rotel};

/// How long spans may take to arrive: the exporter and the receiver both gather.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn one_tasks_spans_share_a_trace_and_a_retry_links_to_its_producer() {
    let rotel = Rotel::start().await.expect("a receiver");
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let folder = ground.folder();
    folder
        .put_into_inbox("1.json", &Job { n: 1, fails: 1, follow_up: true, ..Job::default() })
        .expect("a file");
    folder.put_into_inbox("2.json", &Job { n: 2, follow_up: true, ..Job::default() }).expect("a file");
    let endpoint = format!("telemetry.otlp_endpoint={}", rotel.grpc_endpoint());
    let mut process = ground.start_with(&["--set", &endpoint], &[]);
    eventually("both files are marked", || {
        (folder.names_in("outbox").expect("a folder").len() == 2).then_some(())
    })
    .await;
    process.client().await;
    // What is not yet sent leaves at the end of the process.
    assert_eq!(process.stop().await, 0);

    let spans = rotel
        .wait_for_spans(
            |spans| {
                spans.iter().filter(|span| span.name.starts_with("process ")).count() == 5
                    && spans.iter().any(|span| !span.links.is_empty())
            },
            ARRIVE_WITHIN,
        )
        .await
        .expect("the spans arrive");
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let received = named("receive inbox");
    let enqueued_under = |span: &ReceivedSpan| {
        let enqueued = in_trace(named("enqueue job"), span);
        assert_eq!(enqueued.len(), 1, "{enqueued:?}");
        enqueued[0]
    };
    assert_eq!(received.len(), 2, "one span a file: {spans:#?}");
    for span in &received {
        assert_eq!((span.kind.as_str(), span.parent_id.as_deref()), ("INTERNAL", None), "{span:?}");
        assert_eq!(span.service.as_deref(), Some("ground"));
        let enqueued = enqueued_under(span);
        assert_eq!((enqueued.kind.as_str(), enqueued.parent_id.as_ref()), ("PRODUCER", Some(&span.span_id)));
        assert_eq!(messaging(enqueued), ["runtime", "enqueue", "send", "job", ""]);
    }

    // Each file: the first attempt is a child of the producer, and so is what follows.
    let (retried, plain): (Vec<&ReceivedSpan>, Vec<_>) = received
        .iter()
        .partition(|span| attribute(in_trace(named("process job"), span)[0], "status") == "retry");
    assert_eq!((retried.len(), plain.len()), (1, 1));
    for span in &received {
        let first = in_trace(named("process job"), span);
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!((first[0].kind.as_str(), attribute(first[0], "attempt")), ("CONSUMER", "1"));
        let producer = enqueued_under(span);
        assert_eq!(first[0].parent_id.as_ref(), Some(&producer.span_id));
        assert_eq!(messaging(first[0]), ["runtime", "process", "process", "job", "job"]);
        let task = attribute(first[0], "task");
        assert_eq!([first[0], producer].map(|span| attribute(span, "messaging.message.id")), [task; 2]);
        let settled = in_trace(named("settle job"), span);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].parent_id.as_ref(), Some(&first[0].span_id));
        assert_eq!(messaging(settled[0]), ["runtime", "settle", "settle", "job", "job"]);
        let follow = in_trace(named("process follow"), span);
        assert_eq!(follow.len(), 1, "the follow-up belongs to the same trace");
        assert_eq!(attribute(follow[0], "status"), "done");
    }

    // The retry is a trace of its own that points at the producer.
    let retry: Vec<_> =
        named("process job").into_iter().filter(|span| attribute(span, "attempt") == "2").collect();
    assert_eq!(retry.len(), 1);
    assert_eq!((retry[0].parent_id.as_deref(), attribute(retry[0], "status")), (None, "done"));
    assert!(received.iter().all(|span| span.trace_id != retry[0].trace_id), "a new root");
    let link = retry[0].links.first().expect("a link");
    let producer = enqueued_under(retried[0]);
    assert_eq!((&link.trace_id, &link.span_id), (&producer.trace_id, &producer.span_id));

    // What failed says so in the words of the conventions, and with the code alone.
    let failed: Vec<_> = spans.iter().filter(|span| span.status == "ERROR").collect();
    let [failed] = failed[..] else { panic!("one span failed: {failed:#?}") };
    assert_eq!((failed.name.as_str(), attribute(failed, "error.type")), ("process job", "RT0001"));
    assert_eq!(attribute(failed, "error_code"), "RT0001");
    rotel.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mails_spans_share_a_trace_from_the_source_to_the_confirmation() {
    let rotel = Rotel::start().await.expect("a receiver");
    let folder = BotFolder::new(env!("CARGO_BIN_EXE_mail_order_bot_under_test"), None);
    let file = folder.path("bot.toml");
    let rest = std::fs::read_to_string(&file).expect("a configuration");
    let endpoint = rotel.grpc_endpoint();
    std::fs::write(&file, format!("telemetry.otlp_endpoint = {endpoint:?}\n{rest}"))
        .expect("a configuration");
    folder.deliver(&order_mail(1));
    let mut bot = folder.start();
    let client = bot.client().await;
    bot.until(&client, "replies", "the confirmation left", |depth| depth.done == 1).await;
    assert!(bot.terminate().success(), "{}", folder.log());

    let wanted = ["enqueue orders", "process orders", "settle orders", "process replies", "settle replies"];
    let spans = rotel
        .wait_for_spans(
            |spans| wanted.iter().all(|name| spans.iter().any(|span| span.name == *name)),
            ARRIVE_WITHIN,
        )
        .await
        .expect("the spans arrive");
    let source = spans.iter().find(|span| span.name.starts_with("receive ")).expect("the source's span");
    assert_eq!(source.parent_id, None);
    for name in wanted {
        let found = spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
        assert_eq!(in_trace(found, source).len(), 1, "{name} belongs to the mail's trace: {spans:#?}");
    }
    rotel.stop().await.expect("it stops");
}

fn in_trace<'s>(spans: Vec<&'s ReceivedSpan>, of: &ReceivedSpan) -> Vec<&'s ReceivedSpan> {
    spans.into_iter().filter(|span| span.trace_id == of.trace_id).collect()
}

/// System, operation with its type, destination and group of consumers, as the semantic conventions name them.
fn messaging(span: &ReceivedSpan) -> [&str; 5] {
    ["system", "operation.name", "operation.type", "destination.name", "consumer.group.name"]
        .map(|name| attribute(span, &format!("messaging.{name}")))
}

fn attribute<'s>(span: &'s ReceivedSpan, name: &str) -> &'s str {
    span.attributes.get(name).map_or("", String::as_str)
}
