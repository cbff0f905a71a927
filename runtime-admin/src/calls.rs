//! What holds for every call, whatever it calls: it is shed when too many go on, has a deadline, and cannot take the server with it.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::limits::LiveLimits;
use crate::peer::Peer;
use crate::places::{Place, UnderWay};
use crate::status::{broken, no_answer, overloaded};

/// Bytes of a request that are always taken. What is beyond comes out of the common share.
const FREE_BYTES: usize = 32 * 1024;

/// What answers a call.
type Services =
    Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> + Send + Sync>;

/// Every call of every connection goes through here.
#[derive(Clone)]
pub(crate) struct Calls {
    services: Services,
    limits: LiveLimits,
    /// How long until an answer begins.
    patience: Duration,
    going_on: Arc<AtomicUsize>,
    share: Arc<Share>,
}

impl Calls {
    pub(crate) fn new<S>(services: S, limits: LiveLimits, patience: Duration) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let services: Services = Arc::new(move |request| {
            let mut services = services.clone();
            Box::pin(async move { services.call(request).await })
        });
        let share = Arc::new(Share { limits: limits.clone(), taken: AtomicUsize::new(0) });
        Self { services, limits, patience, going_on: Arc::default(), share }
    }

    /// Answers one call of the peer at `place`. The answer's body may go on for long.
    pub(crate) async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: Peer,
        place: Arc<Place>,
    ) -> Result<Response<Body>, Infallible> {
        let call = Arc::new(Call::begin(&self, &place));
        if call.before >= self.limits.now().calls && call.under_way.others > 0 {
            return Ok(overloaded("as many calls go on as may").into_http());
        }
        let method = request.uri().path().to_owned();
        request.extensions_mut().insert(peer);
        let request =
            request.map(|body| Body::new(RequestBody { body, free: FREE_BYTES, call: call.clone() }));
        let answering = AssertUnwindSafe(async move { (self.services)(request).await }).catch_unwind();
        Ok(match tokio::time::timeout(self.patience, answering).await {
            Ok(Ok(Ok(answer))) => {
                answer.map(|body| Body::new(AnswerBody { body, method, broken: false, _call: call }))
            }
            Ok(Err(panic)) => broke(&method, &*panic).into_http(),
            Err(_) => no_answer(self.patience).into_http(),
        })
    }
}

/// A call that goes on, with all it holds.
struct Call {
    going_on: Arc<AtomicUsize>,
    /// Calls that went on when it began.
    before: usize,
    under_way: UnderWay,
    share: Arc<Share>,
    /// Bytes of the share.
    held: AtomicUsize,
}

/// The bytes of requests that all calls hold together, beyond the first [`FREE_BYTES`] of each.
struct Share {
    limits: LiveLimits,
    taken: AtomicUsize,
}

impl Call {
    fn begin(calls: &Calls, place: &Place) -> Self {
        Self {
            before: calls.going_on.fetch_add(1, Ordering::Relaxed),
            going_on: calls.going_on.clone(),
            under_way: place.call(),
            share: calls.share.clone(),
            held: AtomicUsize::new(0),
        }
    }

    /// Takes so many bytes of the common share, when they are there.
    fn hold(&self, bytes: usize) -> bool {
        let most = self.share.limits.now().request_bytes;
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        let fits = self.share.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if fits {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.going_on.fetch_sub(1, Ordering::Relaxed);
        self.share.taken.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
    }
}

/// What a caller sends, as long as there is room for it.
struct RequestBody {
    body: Incoming,
    free: usize,
    call: Arc<Call>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let beyond = bytes.saturating_sub(this.free);
        this.free -= bytes - beyond;
        if beyond > 0 && !this.call.hold(beyond) {
            let status = overloaded("the requests under way take all the memory there is for requests");
            return Poll::Ready(Some(Err(status.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a caller gets. The call goes on until it has ended.
struct AnswerBody {
    body: Body,
    method: String,
    broken: bool,
    _call: Arc<Call>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.broken {
            return Poll::Ready(None);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(context)));
        polled.unwrap_or_else(|panic| {
            this.broken = true;
            let mut trailers = HeaderMap::new();
            let told = broke(&this.method, &*panic).add_header(&mut trailers);
            Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A defect of ours: told in full to the log, and to the caller that it is one.
fn broke(method: &str, panic: &(dyn Any + Send)) -> Status {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
    let status = broken();
    tracing::error!(error_code = %runtime_core::error::ErrorCode::Internal, method, panic = text, "a call broke");
    status
}
