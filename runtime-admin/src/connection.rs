//! One connection, from what the listener took in to its end.
//!
//! ```text
//! silent ─▶ TLS ─▶ preface ─▶ HTTP/2: calls ─▶ asked to leave ─▶ gone
//! └──── handshake timeout ───┘                 └ idle · old · no place · authorities changed · stop
//! ```

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::certificates::{Certificates, Served, identity};
use crate::frames::{Metered, PREFACE};
use crate::limits::{AdminLimits, LiveLimits};
use crate::listen::Stream;
use crate::peer::{Peer, PeerAddress};
use crate::places::Place;

const HEADER_LIST_BYTES: u32 = 16 * 1024;
const FRAME_BYTES: u32 = 16 * 1024;
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Of one stream; what is beyond waits where it is counted.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a peer opened and reset before anybody looked at them.
const UNSEEN_RESETS: usize = 20;
/// Streams that were reset because of what the peer did wrong.
const PEER_FAULTS: usize = 100;

/// What all connections of a server have in common.
pub(crate) struct Host {
    pub(crate) calls: Calls,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) limits: LiveLimits,
    /// How long a connection may take to leave when asked to.
    pub(crate) leave: Duration,
    /// The server stops: all shall leave.
    pub(crate) stopping: CancellationToken,
    /// It has waited long enough for them.
    pub(crate) cut: CancellationToken,
}

/// How a connection is asked to leave.
enum Leave {
    /// Its calls may go on.
    WhenDone,
    /// What is not over soon is cut.
    Soon,
}

/// A stream that the peer has introduced itself over.
struct Introduced {
    io: Box<dyn Io>,
    peer: Peer,
    /// By what its certificate was checked.
    by: Option<Arc<Served>>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

impl Host {
    /// Serves one connection to its end.
    pub(crate) async fn serve(&self, stream: Stream, place: Place) {
        let place = Arc::new(place);
        tokio::select! {
            biased;
            () = self.cut.cancelled() => {}
            () = place.cut() => {}
            () = self.converse(stream, &place) => {}
        }
    }

    async fn converse(&self, stream: Stream, place: &Arc<Place>) {
        let limits = self.limits.now();
        let handshake = tokio::time::timeout(limits.handshake, self.introduce(stream, place));
        let introduced = tokio::select! {
            () = self.stopping.cancelled() => return,
            introduced = handshake => introduced.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        let Introduced { io, peer, by } = match introduced {
            Ok(introduced) => introduced,
            Err(error) => {
                return tracing::debug!(%error, "a peer did not introduce itself to the admin server");
            }
        };
        if place.settle().is_err() {
            return tracing::warn!(peer = %peer.address, "no place is left for a connection to the admin server");
        }
        let (calls, from, at) = (self.calls.clone(), peer.clone(), place.clone());
        let service = service_fn(move |request| calls.clone().answer(request, from.clone(), at.clone()));
        let mut connection =
            pin!(http2(limits.streams).serve_connection(TokioIo::new(Metered::after_preface(io)), service));
        let leave = tokio::select! {
            ended = &mut connection => return told(&peer, ended),
            leave = self.asked_to_leave(place, by, &limits) => leave,
        };
        connection.as_mut().graceful_shutdown();
        match leave {
            Leave::WhenDone => told(&peer, connection.await),
            Leave::Soon => {
                if let Ok(ended) = tokio::time::timeout(self.leave, connection).await {
                    told(&peer, ended);
                }
            }
        }
    }

    async fn introduce(&self, stream: Stream, place: &Place) -> io::Result<Introduced> {
        match stream {
            Stream::Tcp(stream, from) => {
                stream.readable().await?;
                place.spoke();
                match &self.certificates {
                    None => Introduced::over(stream, Peer::anonymous(from), None).await,
                    Some(certificates) => {
                        let served = certificates.served().borrow().clone();
                        let stream = TlsAcceptor::from(served.config.clone()).accept(stream).await?;
                        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                        let identity = shown.map(|shown| identity(shown).ok_or(io::ErrorKind::InvalidData));
                        let peer = Peer { address: from.into(), identity: identity.transpose()? };
                        Introduced::over(stream, peer, Some(served)).await
                    }
                }
            }
            Stream::Unix(stream) => {
                stream.readable().await?;
                place.spoke();
                let address = PeerAddress::Unix { user: stream.peer_cred()?.uid() };
                Introduced::over(stream, Peer::anonymous(address), None).await
            }
        }
    }

    async fn asked_to_leave(&self, place: &Place, by: Option<Arc<Served>>, limits: &AdminLimits) -> Leave {
        tokio::select! {
            () = self.stopping.cancelled() => Leave::WhenDone,
            () = place.asked_to_leave() => Leave::Soon,
            () = place.idle_for(limits.idle) => Leave::Soon,
            () = tokio::time::sleep(limits.age) => Leave::WhenDone,
            () = other_authorities(self.certificates.as_ref().map(Certificates::served), by) => Leave::Soon,
        }
    }
}

impl Introduced {
    /// Reads what a client of HTTP/2 says first.
    async fn over(mut io: impl Io + 'static, peer: Peer, by: Option<Arc<Served>>) -> io::Result<Self> {
        let mut said = [0; PREFACE.len()];
        io.read_exact(&mut said).await?;
        if said != *PREFACE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
        }
        Ok(Self { io: Box::new(io), peer, by })
    }
}

/// When other authorities than those which let a client in are trusted; never for a connection that was not asked.
async fn other_authorities(served: Option<watch::Receiver<Arc<Served>>>, by: Option<Arc<Served>>) {
    if let (Some(mut served), Some(by)) = (served, by)
        && served.wait_for(|now| now.authorities != by.authorities).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn http2(streams: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(PEER_FAULTS);
    builder
}

fn told(peer: &Peer, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(peer = %peer.address, %error, cause, "a connection to the admin server broke");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use http::{Request, Response};
    use http_body::{Body as HttpBody, Frame};
    use http_body_util::{BodyExt, Full};
    use prost::Message;
    use runtime_core::error::ErrorCode;
    use tokio::net::{TcpListener, TcpStream};
    use tonic::body::Body;
    use tonic::client::Grpc;
    use tonic::server::NamedService;
    use tonic::service::Routes;
    use tonic::transport::{Channel, Endpoint};
    use tonic::{Code, Status};
    use tonic_prost::ProstCodec;
    use tonic_types::StatusExt;
    use tower_service::Service;

    use super::*;
    use crate::places::Places;

    /// Does what its method says; what it knows of the peer comes back as the text of a refusal.
    #[derive(Clone)]
    struct Probe;

    impl NamedService for Probe {
        const NAME: &'static str = "probe";
    }

    impl Service<Request<Body>> for Probe {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            Box::pin(async move {
                match request.uri().path() {
                    "/probe/panic" => panic!("canary"),
                    "/probe/hang" => std::future::pending().await,
                    "/probe/panic-later" => Ok(Response::new(Body::new(PanickingBody))),
                    "/probe/large" => Ok(large()),
                    _ => {
                        let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
                        Ok(Status::not_found(peer.unwrap_or_default()).into_http())
                    }
                }
            })
        }
    }

    /// As a service answers with one message of this many bytes.
    fn large() -> Response<Body> {
        let message = "x".repeat(LARGE).encode_to_vec();
        let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
        let answer = Bytes::from([&[0][..], &length, &message].concat());
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let body = Full::new(answer).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
        let mut response = Response::new(Body::new(body));
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    }

    const LARGE: usize = 1024 * 1024;

    /// Calls whose answers nobody reads, each as it was refused or not.
    async fn ask_and_not_read(
        endpoint: &str,
        calls: usize,
    ) -> Vec<Result<tonic::Response<tonic::Streaming<String>>, Status>> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an address");
        let channel = endpoint.initial_stream_window_size(Some(1_024)).connect().await.expect("a server");
        let mut answers = Vec::new();
        for _ in 0..calls {
            let mut client = Grpc::new(channel.clone());
            client.ready().await.expect("a connection");
            let path = http::uri::PathAndQuery::from_static("/probe/large");
            let codec = ProstCodec::<String, String>::default();
            answers.push(client.server_streaming(tonic::Request::new(String::new()), path, codec).await);
            // Whatever fits the window has come.
            tokio::task::yield_now().await;
        }
        answers
    }

    /// The answer has begun when it breaks.
    struct PanickingBody;

    impl HttpBody for PanickingBody {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            panic!("canary")
        }
    }

    /// A server of the probe within these limits, and a client of it.
    async fn probe(calls: usize, patience: Duration) -> (Grpc<Channel>, Arc<Places>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let hour = Duration::from_hours(1);
        let limits = LiveLimits::new(AdminLimits {
            calls,
            request_bytes: 0,
            handshakes: 9,
            connections: 9,
            handshake: hour,
            idle: hour,
            age: hour,
            ..AdminLimits::default()
        });
        let host = Arc::new(Host {
            calls: Calls::new(Routes::new(Probe), limits.clone(), patience),
            certificates: None,
            limits: limits.clone(),
            leave: hour,
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        let places = Places::new(limits);
        tokio::spawn({
            let places = places.clone();
            async move {
                while let Ok((stream, from)) = listener.accept().await {
                    let (host, place) = (host.clone(), places.arrive());
                    tokio::spawn(async move { host.serve(Stream::Tcp(stream, from), place).await });
                }
            }
        });
        let endpoint = format!("http://{address}");
        (connect(&endpoint).await, places, endpoint)
    }

    async fn connect(endpoint: &str) -> Grpc<Channel> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an address");
        Grpc::new(endpoint.connect().await.expect("a server"))
    }

    async fn call(client: &Grpc<Channel>, method: &'static str, payload: usize) -> Status {
        let mut client = client.clone();
        client.ready().await.expect("a connection");
        let request = tonic::Request::new("x".repeat(payload));
        let codec = ProstCodec::<String, String>::default();
        let path = http::uri::PathAndQuery::from_static(method);
        client.unary(request, path, codec).await.map(drop).expect_err("the probe refuses")
    }

    fn reason(status: &Status) -> Option<String> {
        status.get_details_error_info().map(|info| info.reason)
    }

    const PATIENT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_call_knows_its_peer() {
        let (client, ..) = probe(9, PATIENT).await;
        let status = call(&client, "/probe/who", 0).await;
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().starts_with("127.0.0.1:"), "{status:?}");
    }

    #[tokio::test]
    async fn a_panic_is_told_as_a_defect_and_the_connection_goes_on() {
        let (client, ..) = probe(9, PATIENT).await;
        let status = call(&client, "/probe/panic", 0).await;
        assert_eq!(
            (status.code(), reason(&status).as_deref()),
            (Code::Internal, Some(ErrorCode::Internal.as_str()))
        );
        assert!(!format!("{status:?}").contains("canary"));
        assert_eq!(call(&client, "/probe/who", 0).await.code(), Code::NotFound);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_begin_is_given_up() {
        let (client, ..) = probe(9, Duration::from_millis(20)).await;
        let status = call(&client, "/probe/hang", 0).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(reason(&status).as_deref(), Some(ErrorCode::NoAnswer.as_str()));
    }

    #[tokio::test]
    async fn more_calls_than_may_go_on_are_shed_but_never_the_only_one_of_a_connection() {
        let (client, places, endpoint) = probe(1, PATIENT).await;
        let hanging = tokio::spawn({
            let client = client.clone();
            async move { call(&client, "/probe/hang", 0).await }
        });
        while places.calls() == 0 {
            tokio::task::yield_now().await;
        }
        let status = call(&client, "/probe/who", 0).await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status).as_deref(), Some(ErrorCode::Overloaded.as_str()));
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
        assert_eq!(call(&connect(&endpoint).await, "/probe/who", 0).await.code(), Code::NotFound);
        hanging.abort();
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_have_a_share_of_memory_and_no_more() {
        let (_, places, endpoint) = probe(999, PATIENT).await;
        let answers = ask_and_not_read(&endpoint, 80).await;
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!((1..=20).contains(&refused.len()), "{} of 80", refused.len());
        for status in refused {
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(reason(status).as_deref(), Some(ErrorCode::Overloaded.as_str()));
        }
        drop(answers);
        while places.calls() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(ask_and_not_read(&endpoint, 20).await.iter().all(Result::is_ok), "there is room again");
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_cut_off() {
        let (client, places, endpoint) = probe(9, Duration::from_millis(20)).await;
        let answers = ask_and_not_read(&endpoint, 1).await;
        let answer = answers.into_iter().next().expect("one").expect("it began");
        while places.calls() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(answer.into_inner().message().await.is_err(), "cut off in the middle");
        assert_eq!(call(&client, "/probe/who", 0).await.code(), Code::NotFound, "others are not");
    }

    #[tokio::test]
    async fn a_peer_that_says_something_else_is_sent_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (client, server) =
            tokio::join!(TcpStream::connect(listener.local_addr().expect("an address")), listener.accept());
        let (mut client, (server, from)) = (client.expect("connected"), server.expect("accepted"));
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            .await
            .expect("said");
        let error = Introduced::over(server, Peer::anonymous(from), None).await.err().expect("sent away");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
