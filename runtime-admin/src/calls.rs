//! What holds for every call, whatever it calls: it is shed when too many go on, has a deadline, and cannot take the server with it.
//!
//! Looks at much take turns ([`crate::turns`]): a turn ends here, when the answer is made.
//!
//! Neither can a caller who does not read. Each answer is made at once, so that its size is known, and all answers together have a share
//! of memory; whoever takes too long over one is cut off.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::auth::Whose;
use crate::limits::LiveLimits;
use crate::peer::Peer;
use crate::places::{Place, UnderWay};
use crate::status::{broken, no_answer, overloaded};
use crate::turns::Turn;

/// Bytes of a request, and of an answer, that are always taken. What is beyond comes out of the common share.
const FREE_BYTES: usize = 32 * 1024;

/// Most bytes of answers that wait for their callers to read them, beyond [`FREE_BYTES`] of each.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of an answer that are handed on at once.
const PIECE_BYTES: usize = 8 * 1024;

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
    requests: Arc<Share>,
    answers: Arc<Share>,
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
        let [requests, answers] = Default::default();
        Self { services, limits, patience, going_on: Arc::default(), requests, answers }
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
        request.extensions_mut().insert(call.whose.clone());
        let limits = self.limits.clone();
        let request =
            request.map(|body| Body::new(RequestBody { body, free: FREE_BYTES, limits, call: call.clone() }));
        let answering = AssertUnwindSafe(async move { (self.services)(request).await }).catch_unwind();
        Ok(match tokio::time::timeout(self.patience, answering).await {
            Ok(Ok(Ok(answer))) => {
                let (mut parts, body) = answer.into_parts();
                let turn = parts.extensions.remove::<Arc<Turn>>();
                let made = AnswerBody::begin(body, method, call, self.patience, &place);
                drop(turn);
                match made {
                    Ok(body) => Response::from_parts(parts, Body::new(body)),
                    Err(full) => full.into_http(),
                }
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
    whose: Whose,
    request: Held,
    answer: Held,
}

/// Bytes that all calls hold together, beyond the first [`FREE_BYTES`] of each.
#[derive(Default)]
struct Share {
    taken: AtomicUsize,
}

/// What one call holds of a share.
struct Held {
    share: Arc<Share>,
    bytes: AtomicUsize,
}

impl Held {
    fn nothing_of(share: &Arc<Share>) -> Self {
        Self { share: share.clone(), bytes: AtomicUsize::new(0) }
    }

    /// Takes so many bytes more, when they are there.
    fn take(&self, bytes: usize, most: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        let fits = self.share.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.share.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

impl Call {
    fn begin(calls: &Calls, place: &Place) -> Self {
        Self {
            before: calls.going_on.fetch_add(1, Ordering::Relaxed),
            going_on: calls.going_on.clone(),
            under_way: place.call(),
            whose: Whose::default(),
            request: Held::nothing_of(&calls.requests),
            answer: Held::nothing_of(&calls.answers),
        }
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
    limits: LiveLimits,
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
        if beyond > 0 && !this.call.request.take(beyond, this.limits.now().request_bytes) {
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
    /// What is made of it and was not taken yet.
    made: VecDeque<Result<Frame<Bytes>, Status>>,
    call: Arc<Call>,
    /// Says that the whole answer was taken.
    _taken: Option<DropGuard>,
}

impl AnswerBody {
    /// Makes the answer, when it is one message; of many only what is there at once.
    ///
    /// # Errors
    /// When there is no room for it.
    fn begin(
        body: Body,
        method: String,
        call: Arc<Call>,
        patience: Duration,
        place: &Arc<Place>,
    ) -> Result<Self, Status> {
        let made = VecDeque::new();
        let mut answer = Self { body, method, broken: false, made, call, _taken: None };
        let Some(bytes) = answer.make() else { return Ok(answer) };
        if !answer.call.answer.take(bytes.saturating_sub(FREE_BYTES), ANSWER_BYTES) {
            return Err(overloaded("answers that nobody reads take all the memory there is for answers"));
        }
        let (taken, place) = (CancellationToken::new(), place.clone());
        answer._taken = Some(taken.clone().drop_guard());
        tokio::spawn(async move {
            if tokio::time::timeout(patience, taken.cancelled()).await.is_err() {
                tracing::warn!(?patience, "cutting off an admin client that does not read its answer");
                place.end();
            }
        });
        Ok(answer)
    }

    /// Makes the first message and what follows it at once. The bytes of the whole, when that was all.
    fn make(&mut self) -> Option<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let mut bytes = 0;
        for _ in 0..2 {
            match self.poll_body(&mut context) {
                Poll::Pending => return None,
                Poll::Ready(None) => return Some(bytes),
                Poll::Ready(Some(frame)) => {
                    let data = frame.as_ref().ok().and_then(Frame::data_ref);
                    bytes += data.map_or(0, Bytes::len);
                    let is_last = data.is_none();
                    self.made.push_back(frame);
                    if is_last {
                        return Some(bytes);
                    }
                }
            }
        }
        None
    }

    /// As much of a frame as is handed on at once; the rest waits. The library takes whatever it is given, read or not, so it is given a piece
    /// for each that left. A copy: none of them keeps the whole.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PIECE_BYTES => {
                let piece = Bytes::copy_from_slice(&data.split_to(PIECE_BYTES));
                self.made.push_front(Ok(Frame::data(data)));
                Frame::data(piece)
            }
            Ok(data) => Frame::data(Bytes::copy_from_slice(&data)),
            Err(frame) => frame,
        }
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.broken {
            return Poll::Ready(None);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(context)));
        polled.unwrap_or_else(|panic| {
            self.broken = true;
            let mut trailers = HeaderMap::new();
            let told = broke(&self.method, &*panic).add_header(&mut trailers);
            Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
        })
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.made.pop_front() {
            Some(made) => Poll::Ready(Some(made.map(|frame| self.piece(frame)))),
            None => self.poll_body(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.made.is_empty() && (self.broken || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.made.is_empty() { self.body.size_hint() } else { SizeHint::default() }
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
