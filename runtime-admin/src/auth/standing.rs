//! A caller's right to an answer that goes on: looked at again whenever somebody is changed, and when a token or a certificate ends. An
//! answer of many messages ends with the right to it, so that who is shut out hears nothing more over a stream that was open already.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use runtime_core::access::Target;
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use tonic::Status;
use tonic::body::Body;

use super::caller::Caller;
use super::directory::{Directory, NotLetIn};
use super::methods::MethodRule;
use super::reading::Asked;
use super::target::may;
use crate::door::Door;
use crate::status::refused;

/// What a caller was let in by, and for what.
pub(super) struct Standing {
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) door: Door,
    pub(super) caller: Caller,
    pub(super) rule: &'static MethodRule,
    /// What it asked for; absent for methods of other packages, which are passed on unread.
    pub(super) asked: Option<Asked>,
}

impl Standing {
    /// Who is known changes less often than this, and time is looked at no less often.
    const LOOK_EVERY: Duration = Duration::from_secs(60);

    /// Waits until the right is gone, and says how.
    async fn lost(mut self) -> Status {
        let mut changes = self.directory.changes();
        loop {
            changes.mark_unchanged();
            let now = self.clock.now();
            let caller = match self.directory.again(&self.caller, now) {
                Ok(caller) => caller,
                Err(why) => return not_let_in(why),
            };
            // Whoever is still the same may still do the same, and nobody need be asked for names.
            if caller.principal != self.caller.principal && !self.holds(&caller).await {
                let what = format!("{} may not do this any more", caller.principal.name);
                return refused(ErrorCode::PermissionDenied, what);
            }
            self.caller = caller;
            let left = self.directory.ends(&self.caller).map(|end| end.duration_since(now).unsigned_abs());
            let wait = left.map_or(Self::LOOK_EVERY, |left| left.min(Self::LOOK_EVERY));
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn holds(&self, caller: &Caller) -> bool {
        let Self { rule, asked, door, .. } = self;
        match asked {
            None => caller.principal.may(rule.role, &Target::Nothing),
            Some(asked) => {
                (caller.principal.read_payloads || !rule.reads_payloads)
                    && may(&caller.principal, rule.role, rule.about, asked, door).await
            }
        }
    }

    /// An answer that lasts as long as the right to it.
    pub(super) fn over(self, answer: Response<Body>) -> Response<Body> {
        let lost: BoxFuture<'static, Status> = Box::pin(self.lost());
        answer.map(|body| Body::new(Lasting { open: Some((body, lost)) }))
    }
}

/// How a caller is told that nothing lets it in.
pub(super) fn not_let_in(why: NotLetIn) -> Status {
    refused(ErrorCode::Unauthenticated, why.to_string())
}

/// The body of such an answer; nothing once its end was told.
struct Lasting {
    open: Option<(Body, BoxFuture<'static, Status>)>,
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some((body, lost)) = &mut self.open else { return Poll::Ready(None) };
        if let Poll::Ready(status) = lost.as_mut().poll(context) {
            // Whoever makes the answer sees that nobody listens.
            self.open = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.open.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }
}
