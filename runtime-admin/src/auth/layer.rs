//! The layer itself: lets requests through the gate to the services, and has the outcome of each mutation written before it is told.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use super::gate::{Gate, Passed};
use super::going_on::Whose;
use super::mutation::Mutation;
use super::standing::Standing;
use crate::status::broken;
use crate::turns::Turn;

/// Puts the gate in front of the services.
#[derive(Clone)]
pub(crate) struct GateLayer(pub(crate) Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, services: S) -> Gated<S> {
        Gated { gate: Arc::clone(&self.0), services }
    }
}

/// The services behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    gate: Arc<Gate>,
    services: S,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        let waiting = self.services.clone();
        let mut services = std::mem::replace(&mut self.services, waiting);
        Box::pin(async move {
            let whose = request.extensions().get::<Whose>().cloned();
            let (passed, turn) = match gate.pass(request).await {
                Ok(passed) => passed,
                Err(status) => return Ok(status.into_http()),
            };
            match passed {
                Passed::Look(request, standing) => {
                    let answer = match turn {
                        None => services.call(request).await?,
                        Some(turn) => in_turn(services, request, turn).await,
                    };
                    Ok(lasting(answer, standing))
                }
                Passed::Answered(answer) => Ok(answered(answer)),
                Passed::Change(request, mutation, standing) => {
                    let streams = standing.is_some();
                    // On its own: a caller who hangs up leaves no mutation without its outcome.
                    let changing = async move {
                        let _until_it_ends = (turn, whose);
                        match AssertUnwindSafe(services.call(request)).catch_unwind().await {
                            Ok(Ok(response)) if streams => told(response, mutation).await,
                            Ok(Ok(response)) => settled(response, &mutation).await,
                            Err(panic) => {
                                drop(mutation.end(&broken(), None).await);
                                resume_unwind(panic)
                            }
                        }
                    };
                    Ok(lasting(on_its_own(changing).await, standing))
                }
            }
        })
    }
}

/// A look that takes its turn. On its own: the tree goes on with it also when its caller hangs up, and as long the turn is taken. Whoever makes
/// the answer ends it ([`Turn`] among its extensions).
async fn in_turn<S>(mut services: S, request: Request<Body>, turn: Turn) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static,
{
    let looking = async move {
        let Ok(mut answer) = services.call(request).await;
        answer.extensions_mut().insert(Arc::new(turn));
        answer
    };
    on_its_own(looking).await
}

/// Goes on whether its caller waits for it or not. A panic is the caller's.
async fn on_its_own(answering: impl Future<Output = Response<Body>> + Send + 'static) -> Response<Body> {
    let answered = tokio::spawn(answering.in_current_span()).await;
    answered.unwrap_or_else(|ended| match ended.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => broken().into_http(),
    })
}

/// An answer, and its end when the right to it is lost. A refusal says all in its headers.
fn lasting(answer: Response<Body>, standing: Option<Standing>) -> Response<Body> {
    match standing {
        Some(standing) if Status::from_header_map(answer.headers()).is_none() => standing.over(answer),
        _ => answer,
    }
}

/// One answer, once the outcome is written.
async fn settled(response: Response<Body>, mutation: &Mutation) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let (answer, trailers) = match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes(), trailers)
        }
        Err(status) => (Bytes::new(), Some(trailers_of(&status))),
    };
    let status = status_of(&parts.headers, trailers.as_ref());
    match mutation.end(&status, Some(answer.clone())).await {
        Err(unwritten) => unwritten.into_http(),
        Ok(()) => Response::from_parts(
            parts,
            match trailers {
                // A refusal says all in its headers, and no frame may follow them.
                None => Body::empty(),
                Some(trailers) => {
                    Body::new(Full::new(answer).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) }))
                }
            },
        ),
    }
}

/// Many messages, and their end once the outcome is written. A caller who hangs up is noticed by the service behind, and its outcome is
/// that it was cancelled.
async fn told(response: Response<Body>, mutation: Mutation) -> Response<Body> {
    let (parts, body) = response.into_parts();
    if let Some(refused) = Status::from_header_map(&parts.headers) {
        return match mutation.end(&refused, None).await {
            Err(unwritten) => unwritten.into_http(),
            Ok(()) => Response::from_parts(parts, Body::empty()),
        };
    }
    let (tell, listen) = mpsc::channel::<Frame<Bytes>>(1);
    tokio::spawn(
        async move {
            let (status, trailers, last) = hand_on(body, &tell).await;
            let trailers = match mutation.end(&status, last).await {
                Ok(()) => trailers,
                Err(unwritten) => Some(trailers_of(&unwritten)),
            };
            if let Some(trailers) = trailers {
                drop(tell.send(Frame::trailers(trailers)).await);
            }
        }
        .in_current_span(),
    );
    let frames = unfold(listen, async |mut listen| listen.recv().await.map(|frame| (frame, listen)));
    Response::from_parts(parts, Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>))))
}

/// Hands every message on as it comes; how it ended, what is still to be told, and the last that was: it says how all of it ended, so it is
/// what a repetition of the request is to get.
async fn hand_on(
    mut body: Body,
    tell: &mpsc::Sender<Frame<Bytes>>,
) -> (Status, Option<HeaderMap>, Option<Bytes>) {
    let mut last = None;
    loop {
        let frame = tokio::select! {
            () = tell.closed() => return (Status::cancelled("the caller hung up"), None, None),
            frame = body.frame() => frame,
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return (status.clone(), Some(trailers_of(&status)), None),
            None => return (Status::unknown("the answer had no end"), None, None),
        };
        match frame.into_trailers() {
            Ok(trailers) => return (status_of(&HeaderMap::new(), Some(&trailers)), Some(trailers), last),
            Err(frame) => {
                last = frame.data_ref().cloned();
                if tell.send(frame).await.is_err() {
                    return (Status::cancelled("the caller hung up"), None, None);
                }
            }
        }
    }
}

/// The answer that a request had before.
fn answered(answer: Bytes) -> Response<Body> {
    let trailers = trailers_of(&Status::new(Code::Ok, ""));
    let body = Full::new(answer).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    let mut response = Response::new(Body::new(body));
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response
}

/// How an answer ended: an error alone says so in its headers, others in their trailers.
fn status_of(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Status {
    Status::from_header_map(headers)
        .or_else(|| trailers.and_then(Status::from_header_map))
        .unwrap_or_else(|| Status::unknown("the answer had no end"))
}

fn trailers_of(status: &Status) -> HeaderMap {
    let response: Response<()> = status.clone().into_http();
    let mut trailers = response.into_parts().0.headers;
    trailers.remove(http::header::CONTENT_TYPE);
    trailers
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::limits::{AdminLimits, LiveLimits};
    use crate::turns::Turns;

    /// Answers when it is told to.
    #[derive(Clone, Default)]
    struct Slow(Arc<Notify>);

    impl Service<Request<Body>> for Slow {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let told = Arc::clone(&self.0);
            Box::pin(async move {
                told.notified().await;
                Ok(Response::new(Body::empty()))
            })
        }
    }

    #[tokio::test]
    async fn who_hangs_up_keeps_its_turn_for_as_long_as_the_look_goes_on() {
        let turns = Turns::new(LiveLimits::new(AdminLimits { looks: 1, ..AdminLimits::default() }));
        let (whose, slow) = ("ann".parse().expect("a name"), Slow::default());
        let turn = turns.take(&whose).await.expect("a turn");
        let mut caller = Box::pin(in_turn(slow.clone(), Request::new(Body::empty()), turn));
        assert!(caller.as_mut().now_or_never().is_none());
        drop(caller);
        let mut next = Box::pin(turns.take(&whose));
        tokio::task::yield_now().await;
        assert!(next.as_mut().now_or_never().is_none(), "the look goes on without its caller");
        slow.0.notify_one();
        next.await.expect("its turn came");
    }
}
