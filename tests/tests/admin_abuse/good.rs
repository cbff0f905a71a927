//! Clients that keep to the rules: the good one, which is measured, and those who want too much.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime_admin::{AdminClient, ClientError, ClientTls, MAX_MESSAGE_BYTES};
use runtime_proto::v1;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
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

async fn channel(port: &Port) -> Channel {
    let pem = |path: &std::path::Path| std::fs::read(path).expect("a file");
    let (certificate, key) = port.tls.identity.as_ref().expect("a certificate");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem(port.tls.ca.as_ref().expect("an authority"))))
        .identity(Identity::from_pem(pem(certificate), pem(key)));
    let endpoint = Endpoint::from_shared(port.endpoint()).expect("an address").tls_config(tls).expect("TLS");
    endpoint.connect().await.expect("let in")
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

/// A message past the limit: it is refused, and the connection goes on.
pub(crate) async fn send_too_much(port: &Port) {
    let client = port.client().await;
    for _ in 0..20 {
        let request = v1::EnqueueTaskRequest { payload: vec![b' '; MAX_MESSAGE_BYTES], ..Default::default() };
        let ClientError::Refused(refusal) = client.enqueue(request).await.unwrap_err() else {
            panic!("refused")
        };
        assert_eq!(refusal.canonical, Code::OutOfRange);
        client.info().await.expect("the connection goes on");
    }
}
