//! What holds for every call, whatever it calls: it is shed when too many go on, has a deadline, and cannot take the server with it.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::peer::Peer;
use crate::places::{Place, UnderWay};
use crate::status::{broken, no_answer, overloaded};

/// Bytes of a request that are always taken. What is beyond comes out of the common share.
const FREE_BYTES: usize = 32 * 1024;

/// How many calls may go on, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallLimits {
    /// Calls at once, of all connections. A connection without any may always have one.
    pub(crate) calls: usize,
    /// Bytes of requests at once, beyond the first [`FREE_BYTES`] of each.
    pub(crate) request_bytes: usize,
    /// How long until the answer begins.
    pub(crate) patience: Duration,
}

/// What answers a call.
type Services =
    Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> + Send + Sync>;

/// Every call of every connection goes through here.
#[derive(Clone)]
pub(crate) struct Calls {
    services: Services,
    limits: CallLimits,
    going_on: Arc<AtomicUsize>,
    request_bytes: Arc<Semaphore>,
}

impl Calls {
    pub(crate) fn new<S>(services: S, limits: CallLimits) -> Self
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
        let request_bytes = Arc::new(Semaphore::new(limits.request_bytes));
        Self { services, limits, going_on: Arc::default(), request_bytes }
    }

    /// Answers one call of the peer at `place`. The answer's body may go on for long.
    pub(crate) async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: Peer,
        place: Arc<Place>,
    ) -> Result<Response<Body>, Infallible> {
        let call = Arc::new(Call::begin(&self.going_on, &place));
        if call.before >= self.limits.calls && call.under_way.others > 0 {
            return Ok(overloaded("as many calls go on as may").into_http());
        }
        let method = request.uri().path().to_owned();
        request.extensions_mut().insert(peer);
        let request = request.map(|body| {
            let (share, call) = (self.request_bytes.clone(), call.clone());
            Body::new(RequestBody { body, free: FREE_BYTES, share, call })
        });
        let answering = AssertUnwindSafe(async move { (self.services)(request).await }).catch_unwind();
        Ok(match tokio::time::timeout(self.limits.patience, answering).await {
            Ok(Ok(Ok(answer))) => {
                answer.map(|body| Body::new(AnswerBody { body, method, broken: false, _call: call }))
            }
            Ok(Err(panic)) => broke(&method, &*panic).into_http(),
            Err(_) => no_answer(self.limits.patience).into_http(),
        })
    }
}

/// A call that goes on, with all it holds.
struct Call {
    going_on: Arc<AtomicUsize>,
    /// Calls that went on when it began.
    before: usize,
    under_way: UnderWay,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Call {
    fn begin(going_on: &Arc<AtomicUsize>, place: &Place) -> Self {
        let before = going_on.fetch_add(1, Ordering::Relaxed);
        Self { going_on: going_on.clone(), before, under_way: place.call(), held: Mutex::default() }
    }

    /// Takes so many bytes of the common share, when they are there.
    fn hold(&self, share: &Arc<Semaphore>, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = share.clone().try_acquire_many_owned(bytes) else { return false };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.going_on.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a caller sends, as long as there is room for it.
struct RequestBody {
    body: Incoming,
    free: usize,
    share: Arc<Semaphore>,
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
        if beyond > 0 && !this.call.hold(&this.share, beyond) {
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
