//! Clients that keep to the rules: the good one, which is measured, and those who want too much.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use http_body_util::{Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime_admin::{AdminClient, ClientError, ClientTls, MAX_MESSAGE_BYTES};
use runtime_proto::v1;
use runtime_proto::v1::event_service_client::EventServiceClient;
use runtime_proto::v1::operation_service_client::OperationServiceClient;
use runtime_proto::v1::worker_service_client::WorkerServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_client::HealthClient;

use crate::port::{PATIENCE, Port};

/// Between two calls of the good client.
const CALL_EVERY: Duration = Duration::from_millis(10);

/// A newcomer after so many calls.
const NEWCOMER_EVERY: usize = 20;

/// How long calls took, connecting anew included where that was needed.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    fn at(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    pub(crate) fn p99(&self) -> Duration {
        self.at(0.99)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |share| self.at(share).as_secs_f64() * 1_000.0;
        write!(
            f,
            "{} calls, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.0.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )
    }
}

#[derive(Default)]
pub(crate) struct Served {
    pub(crate) calls: Latencies,
    pub(crate) newcomers: Latencies,
    /// Times that it had to connect anew.
    pub(crate) came_back: usize,
}

/// Calls again and again, on a thread of its own.
pub(crate) struct GoodClient {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Served>,
}

impl GoodClient {
    pub(crate) fn call(port: &Port) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (endpoint, tls, stopped) = (port.endpoint(), port.tls.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut served = Served::default();
                let mut client = None;
                while !stopped.load(Ordering::Relaxed) {
                    served.round(&mut client, &endpoint, &tls).await;
                    tokio::time::sleep(CALL_EVERY).await;
                }
                served
            })
        });
        Self { stop, thread }
    }

    pub(crate) async fn stop(self) -> Served {
        self.stop.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join().expect("the good client is served"))
            .await
            .expect("joined")
    }
}

impl Served {
    async fn round(&mut self, client: &mut Option<AdminClient>, endpoint: &str, tls: &ClientTls) {
        let (took, came_back) = served(client, endpoint, tls).await;
        // The first call of all connects.
        if !self.calls.0.is_empty() || came_back == 0 {
            self.came_back += came_back;
        }
        self.calls.0.push(took);
        if self.calls.0.len().is_multiple_of(NEWCOMER_EVERY) {
            let (took, _) = served(&mut None, endpoint, tls).await;
            self.newcomers.0.push(took);
        }
    }
}

/// One call that is answered, after as many tries as it takes.
async fn served(client: &mut Option<AdminClient>, endpoint: &str, tls: &ClientTls) -> (Duration, usize) {
    let began = Instant::now();
    let mut connected = 0;
    loop {
        assert!(began.elapsed() < PATIENCE, "the good client is not served");
        let Some(known) = client else {
            *client = AdminClient::connect_with(endpoint, tls).await.ok();
            connected += 1;
            continue;
        };
        match known.info().await {
            Ok(_) => return (began.elapsed(), connected),
            Err(_) => *client = None,
        }
    }
}

/// What became of many streams.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Streams that go on.
    pub(crate) open: usize,
    /// Streams that were told to come again later.
    pub(crate) shed: usize,
    /// Streams that ended in another way.
    pub(crate) others: usize,
    _held: Vec<tonic::Streaming<HealthCheckResponse>>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open, {} shed, {} others", self.open, self.shed, self.others)
    }
}

fn endpoint(port: &Port) -> Endpoint {
    let pem = |path: &std::path::Path| std::fs::read(path).expect("a file");
    let (certificate, key) = port.hostile.identity.as_ref().expect("a certificate");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem(port.hostile.ca.as_ref().expect("an authority"))))
        .identity(Identity::from_pem(pem(certificate), pem(key)));
    Endpoint::from_shared(port.endpoint()).expect("an address").tls_config(tls).expect("TLS")
}

async fn channel(port: &Port) -> Channel {
    endpoint(port).connect().await.expect("let in")
}

/// So many streams over each of so many connections, held for as long as the outcome is.
pub(crate) async fn watch_health(port: &Port, connections: usize, streams: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let channels = stream::iter(0..connections).then(|_| channel(port)).collect::<Vec<_>>().await;
    for channel in channels {
        let health = HealthClient::new(channel);
        let watched = join_all((0..streams).map(|_| {
            let mut health = health.clone();
            async move { health.watch(HealthCheckRequest::default()).await }
        }));
        for watched in watched.await {
            match watched {
                Ok(stream) => {
                    outcome.open += 1;
                    outcome._held.push(stream.into_inner());
                }
                Err(status) if status.code() == Code::ResourceExhausted => outcome.shed += 1,
                Err(_) => outcome.others += 1,
            }
        }
    }
    outcome
}

/// Requests whose message is announced and sent but for its last bytes.
pub(crate) async fn send_without_end(port: &Port, connections: usize, streams: usize) -> Outcome {
    const CHUNK: &[u8] = &[b'x'; 16 * 1024];
    let announced = u32::try_from(MAX_MESSAGE_BYTES - 1).expect("a length").to_be_bytes();
    let head = Bytes::from([&[0][..], &announced].concat());
    let mut outcome = Outcome::default();
    let mut senders = Vec::new();
    for _ in 0..connections {
        let io = TokioIo::new(port.tls().await.expect("let in"));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        senders.push(sender);
    }
    let calls = senders.iter().flat_map(|sender| (0..streams).map(|_| sender.clone())).map(|mut sender| {
        let chunks = stream::iter([head.clone()])
            .chain(stream::iter((0..MAX_MESSAGE_BYTES / CHUNK.len() - 1).map(|_| Bytes::from_static(CHUNK))))
            .map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)))
            .chain(stream::pending());
        let request = hyper::Request::post("https://localhost/runtime.admin.v1.TaskService/EnqueueTask")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(Box::pin(chunks)))
            .expect("a request");
        async move { tokio::time::timeout(Duration::from_secs(5), sender.send_request(request)).await }
    });
    for answer in join_all(calls).await {
        match answer {
            Err(_) => outcome.open += 1,
            Ok(Ok(answer)) if answer.headers().get("grpc-status").is_some_and(|status| status == "8") => {
                outcome.shed += 1
            }
            Ok(_) => outcome.others += 1,
        }
    }
    outcome
}

/// Tasks that a list of them says much about, in a queue that is paused; by name.
pub(crate) async fn lay_tasks(port: &Port, tasks: usize) -> Vec<String> {
    let root = &port.root().await;
    root.pause_queue(&"job".parse().expect("a name"), None, "to be listed").await.expect("paused");
    let one = |n: usize| v1::EnqueueTaskRequest {
        app: "apps/ground".into(),
        queue: "queues/job".into(),
        handler: "job".into(),
        payload: format!("{{\"n\":{n},\"work_ms\":500}}").into_bytes(),
        correlation_id: format!("{n:0>120}"),
        ..Default::default()
    };
    let enqueued = stream::iter(0..tasks).map(|n| root.enqueue(one(n))).buffer_unordered(16);
    enqueued.map(|answer| answer.expect("taken").name).collect().await
}

/// Asks for long lists over so many connections, so many at once over each and so often one after the other, and reads none of them.
pub(crate) async fn read_nothing(port: &Port, connections: usize, streams: usize, times: usize) -> Outcome {
    let mut asked = Vec::new();
    for _ in 0..connections {
        let io = TokioIo::new(port.tls().await.expect("let in"));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.initial_stream_window_size(1).handshake(io).await.expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..streams {
            let sender = sender.clone();
            asked.push(stream::iter(0..times).then(move |_| {
                let (mut sender, list) = (sender.clone(), Full::new(Bytes::from_static(LIST_1_000)));
                async move { sender.send_request(request("TaskService/ListTasks", list)).await }
            }));
        }
    }
    let mut outcome = Outcome::default();
    let answers = join_all(asked.into_iter().map(StreamExt::collect::<Vec<_>>)).await;
    for answer in answers.iter().flatten() {
        match answer {
            Ok(answer) if answer.headers().get("grpc-status").is_none() => outcome.open += 1,
            Ok(answer) if answer.headers().get("grpc-status").is_some_and(|status| status == "8") => {
                outcome.shed += 1
            }
            _ => outcome.others += 1,
        }
    }
    tokio::time::sleep(port.flood_for()).await;
    outcome
}

/// Opens streams of every kind over each of so many connections, and reads none of them while much happens that they would tell of.
pub(crate) async fn listen_to_nothing(port: &Port, connections: usize, streams: usize) -> Outcome {
    let tasks = lay_tasks(port, 200).await;
    let root = port.root().await;
    let slow = v1::CancelTasksRequest {
        filter: "queue=job".into(),
        rate: 1,
        reason: "goes on meanwhile".into(),
        ..Default::default()
    };
    let operation = root.cancel_tasks(slow).await.expect("begun").operation.expect("an operation").name;
    let mut outcome = Outcome::default();
    let mut unread: Vec<Box<dyn Any + Send>> = Vec::new();
    for at in 0..connections {
        let hostile = endpoint(port).initial_stream_window_size(1).initial_connection_window_size(1 << 16);
        let channel = hostile.connect().await.expect("let in");
        let opened = join_all((0..streams).map(|stream| {
            let task = tasks[(at * streams + stream) % tasks.len()].clone();
            unread_stream(channel.clone(), stream, operation.clone(), task)
        }));
        for opened in opened.await {
            match opened {
                Ok(stream) => {
                    outcome.open += 1;
                    unread.push(stream);
                }
                Err(status) if status.code() == Code::ResourceExhausted => outcome.shed += 1,
                Err(_) => outcome.others += 1,
            }
        }
    }
    let (queue, began) = ("follow".parse().expect("a name"), Instant::now());
    while began.elapsed() < port.flood_for() {
        root.pause_queue(&queue, None, "something happens").await.expect("paused");
        root.resume_queue(&queue, None).await.expect("resumed");
    }
    drop(unread);
    outcome
}

/// One stream of each kind in turn.
async fn unread_stream(
    channel: Channel,
    number: usize,
    operation: String,
    task: String,
) -> Result<Box<dyn Any + Send>, Status> {
    let mut events = EventServiceClient::new(channel.clone());
    let watch = |filter: &str| v1::WatchEventsRequest {
        filter: filter.to_owned(),
        initial_state: true,
        ..Default::default()
    };
    Ok(match number % 4 {
        0 => Box::new(events.watch_events(watch("")).await?),
        1 => Box::new(events.watch_events(watch("queue=job AND type:task_")).await?),
        2 => {
            let watched = v1::WatchOperationRequest { name: operation };
            Box::new(OperationServiceClient::new(channel).watch_operation(watched).await?)
        }
        _ => {
            let run = v1::RunWorkerRequest {
                name: "workers/job".into(),
                selection: Some(v1::run_worker_request::Selection::Task(task)),
                ..Default::default()
            };
            Box::new(WorkerServiceClient::new(channel).run_worker(run).await?)
        }
    })
}

/// A `ListTasksRequest` for the longest page, as it is sent.
const LIST_1_000: &[u8] = &[0, 0, 0, 0, 3, PAGE_SIZE << 3, 0xe8, 0x07];
const PAGE_SIZE: u8 = 2;

/// Requests that come a byte each second, so many at once over each of so many connections.
pub(crate) async fn dribble(port: &Port, connections: usize, streams: usize) -> Outcome {
    let mut asked = Vec::new();
    for _ in 0..connections {
        let io = TokioIo::new(port.tls().await.expect("let in"));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..streams {
            let mut sender = sender.clone();
            let bytes = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0]))), ()))
            });
            let request = request("QueueService/GetQueue", StreamBody::new(Box::pin(bytes)));
            asked.push(tokio::spawn(async move { sender.send_request(request).await }));
        }
    }
    tokio::time::sleep(port.flood_for()).await;
    let mut outcome = Outcome::default();
    for asked in asked {
        asked.abort();
        match asked.await {
            Err(_) => outcome.open += 1,
            Ok(Ok(answer)) if answer.headers().get("grpc-status").is_some_and(|status| status == "8") => {
                outcome.shed += 1
            }
            Ok(_) => outcome.others += 1,
        }
    }
    outcome
}

fn request<B>(method: &str, body: B) -> hyper::Request<B> {
    hyper::Request::post(format!("https://localhost/runtime.admin.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request")
}

/// Requests that are none of gRPC, or claim what is not taken: each is refused for itself, and its connection goes on.
pub(crate) async fn ask_wrongly(port: &Port) {
    let io = TokioIo::new(port.tls().await.expect("let in"));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    // As if it were compressed: a small one may unfold to anything.
    let bomb = Full::new(Bytes::from_static(&[1, 0, 0, 0, 4, 0x1f, 0x8b, 8, 0]));
    let mut compressed = request("QueueService/GetQueue", bomb.clone());
    compressed.headers_mut().insert("grpc-encoding", "gzip".parse().expect("a value"));
    let mut other_content = request("QueueService/GetQueue", bomb.clone());
    other_content.headers_mut().insert("content-type", "text/plain".parse().expect("a value"));
    let mut got = request("QueueService/GetQueue", bomb.clone());
    *got.method_mut() = hyper::Method::GET;
    let nowhere = request("QueueService/NoSuchMethod", bomb.clone());
    let mut elsewhere = request("QueueService/GetQueue", bomb);
    *elsewhere.uri_mut() = "https://localhost/../../etc/passwd".parse().expect("a path");
    for request in [compressed, other_content, got, nowhere, elsewhere] {
        let asked = format!("{request:?}");
        let answer = sender.send_request(request).await.expect("an answer");
        let refused = answer.headers().get("grpc-status").is_some_and(|status| status != "0");
        assert!(refused || !answer.status().is_success(), "{asked}: {answer:?}");
    }
}

/// A message past the limit: it is refused, and the connection goes on.
pub(crate) async fn send_too_much(port: &Port) {
    let client = AdminClient::connect_with(&port.endpoint(), &port.hostile).await.expect("let in");
    for _ in 0..20 {
        let request = v1::EnqueueTaskRequest { payload: vec![b' '; MAX_MESSAGE_BYTES], ..Default::default() };
        let ClientError::Refused(refusal) = client.enqueue(request).await.unwrap_err() else {
            panic!("refused")
        };
        assert_eq!(refusal.canonical, Code::InvalidArgument);
        client.info().await.expect("the connection goes on");
    }
}
