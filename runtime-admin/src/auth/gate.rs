//! Decides over each request: who asks, whether it may, and how often; and has it written down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use http::request::Parts;
use jiff::Timestamp;
use runtime_core::access::{Target, TokenRefused};
use runtime_core::audit::{AuditKind, AuditSubject};
use runtime_core::control::{Asked as AskedBy, Origin};
use runtime_core::error::ErrorCode;
use runtime_core::journal::TraceId;
use runtime_core::name::{PrincipalName, RequestId};
use runtime_core::store::Begun;
use runtime_core::trace::TraceContext;
use tonic::Status;
use tonic::body::Body;

use super::caller::Caller;
use super::denials::{Denials, Denied};
use super::directory::{Directory, NotLetIn};
use super::going_on::{GoingOn, Whose};
use super::methods::{self, MethodRule, Much};
use super::mutation::{Mutation, outcome};
use super::rates::Rates;
use super::reading::{Asked, Shapes};
use super::standing::{Standing, not_let_in};
use super::target::{may, resource};
use super::{Access, Authentication};
use crate::door::Door;
use crate::limits::LiveLimits;
use crate::peer::Peer;
use crate::status::{invalid, overloaded, refused, refused_until};
use crate::turns::{TooMany, Turn, Turns};

/// Longest reason in bytes: the log keeps it, and so does each task that is discarded.
const MAX_REASON_BYTES: usize = 1_024;
/// Longest resource in bytes that the log keeps: a filter may be longer.
const MAX_RESOURCE_BYTES: usize = 1_024;

/// What every request goes through.
pub(crate) struct Gate {
    access: Access,
    directory: Arc<Directory>,
    rules: &'static [MethodRule],
    shapes: Shapes,
    limits: LiveLimits,
    rates: Rates<PrincipalName>,
    going_on: GoingOn,
    turns: Turns,
    denials: Denials,
    door: Door,
    patience: Duration,
}

/// A request that may go on; with the right to its answer, where that has many messages.
pub(super) enum Passed {
    /// It only looks.
    Look(Request<Body>, Option<Standing>),
    /// It changes something, once its entry is written.
    Change(Request<Body>, Mutation, Option<Standing>),
    /// It was made before, and this was its answer.
    Answered(Bytes),
}

/// What is known of a request before it is read.
struct Call {
    method: String,
    peer: Option<Peer>,
    trace_id: Option<String>,
}

impl Call {
    fn of(parts: &Parts) -> Self {
        let traceparent = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace = traceparent.map(|text| TraceContext { traceparent: text.to_owned(), tracestate: None });
        Self {
            method: shortened(methods::short(parts.uri.path()), 256),
            peer: parts.extensions.get().cloned(),
            trace_id: trace.as_ref().and_then(TraceContext::trace_id).map(str::to_owned),
        }
    }

    fn subject(&self, caller: Option<&Caller>, resource: &str) -> AuditSubject {
        AuditSubject {
            kind: AuditKind::Mutation,
            principal: caller.map(|caller| caller.principal.name.clone()),
            token: caller.and_then(Caller::token).cloned(),
            method: self.method.clone(),
            resource: shortened(resource, MAX_RESOURCE_BYTES),
            reason: String::new(),
            request_id: None,
            peer: self.peer.as_ref().map(|peer| peer.address.to_string()).unwrap_or_default(),
            trace_id: self.trace_id.clone(),
            unwritten: 0,
        }
    }
}

impl Gate {
    pub(crate) fn new(
        access: Access,
        directory: Arc<Directory>,
        rules: &'static [MethodRule],
        door: Door,
        patience: Duration,
        limits: LiveLimits,
    ) -> Self {
        Self {
            rates: Rates::default(),
            going_on: GoingOn::default(),
            denials: Denials::new(Arc::clone(&access.audit), limits.clone()),
            turns: Turns::new(limits.clone()),
            limits,
            shapes: Shapes::of_the_api(),
            access,
            directory,
            rules,
            door,
            patience,
        }
    }

    /// Lets a request on, with the turn that it has to keep until it is answered, or says why not. What is refused was written down, if it
    /// was denied.
    pub(super) async fn pass(&self, request: Request<Body>) -> Result<(Passed, Option<Turn>), Status> {
        let now = self.access.clock.now();
        let (mut parts, body) = request.into_parts();
        let call = Call::of(&parts);
        self.up_to_date().await?;
        let caller = match self.authenticate(&parts, call.peer.as_ref(), now) {
            Ok(caller) => caller,
            Err(status) => return Err(self.deny(&call, None, "", status, now).await),
        };
        let shape = self.shapes.get(parts.uri.path());
        let Some(rule) = methods::find(self.rules, parts.uri.path()) else {
            return Err(match shape {
                None => refused(ErrorCode::Unimplemented, format!("there is no method {}", call.method)),
                Some(_) => {
                    let status = denied("the method has no row in the method table");
                    self.deny(&call, Some(&caller), "", status, now).await
                }
            });
        };
        if !caller.principal.may(rule.role, &Target::Nothing) {
            let status =
                denied(format!("{} may not do this: it needs the role {}", caller.principal.name, rule.role));
            return Err(self.deny(&call, Some(&caller), "", status, now).await);
        }
        self.pace(&caller, now)?;
        self.count(&parts, &caller)?;
        let Some(shape) = shape else {
            let standing = self.standing(rule, caller.clone(), None);
            parts.extensions.insert(caller);
            return Ok((Passed::Look(Request::from_parts(parts, body), Some(standing)), None));
        };
        let asked = Asked::read(body, shape, self.patience).await?;
        let looks_at_much = match rule.looks_at_much {
            Much::Never => false,
            Much::Always => true,
            Much::When(field) => asked.flag(field),
        };
        let turn = if looks_at_much { Some(self.turn(&caller).await?) } else { None };
        // It may have come slowly, or waited, and whoever sends it may have been shut out meanwhile.
        self.up_to_date().await?;
        let caller = match self.directory.again(&caller, self.access.clock.now()) {
            Ok(caller) => caller,
            Err(why) => return Err(self.deny(&call, Some(&caller), "", not_let_in(why), now).await),
        };
        let resource = resource(rule.about, &asked);
        if let Err(status) = self.may_do(rule, &caller, &asked, &resource).await {
            return Err(self.deny(&call, Some(&caller), &resource, status, now).await);
        }
        let said = Said::of(&asked)?;
        let body = asked.body();
        if !rule.changes || asked.flag("validate_only") || (rule.needs_force && !asked.flag("force")) {
            parts.extensions.insert(caller.clone());
            let standing = shape.streams.then(|| self.standing(rule, caller, Some(asked)));
            return Ok((Passed::Look(Request::from_parts(parts, body), standing), turn));
        }
        let Said { reason, request_id } = said;
        if rule.needs_reason && reason.trim().is_empty() {
            return Err(invalid("reason", "is required: whoever looks for the cause will ask"));
        }
        let subject = AuditSubject { reason, request_id, ..call.subject(Some(&caller), &resource) };
        let origin = origin(&subject);
        match self.begin(rule, subject, &asked).await? {
            Ok(mutation) => {
                parts.extensions.insert(caller.clone());
                parts.extensions.insert(origin);
                let standing = shape.streams.then(|| self.standing(rule, caller, Some(asked)));
                Ok((Passed::Change(Request::from_parts(parts, body), mutation, standing), turn))
            }
            Err(answer) => Ok((Passed::Answered(answer), None)),
        }
    }

    fn authenticate(&self, parts: &Parts, peer: Option<&Peer>, now: Timestamp) -> Result<Caller, Status> {
        if self.access.authentication == Authentication::Off {
            return Ok(self.directory.local());
        }
        if let Some(value) = parts.headers.get(AUTHORIZATION) {
            let token = value.to_str().ok().and_then(bearer);
            let token = token.ok_or(NotLetIn::Token(TokenRefused::Malformed));
            return token.and_then(|token| self.directory.by_token(token, now)).map_err(not_let_in);
        }
        match peer.and_then(|peer| peer.identity.as_ref()) {
            Some(identity) => self.directory.by_certificate(identity, now).map_err(not_let_in),
            None => Err(refused(ErrorCode::Unauthenticated, "a bearer token or a certificate is needed")),
        }
    }

    async fn up_to_date(&self) -> Result<(), Status> {
        self.directory.up_to_date().await.map_err(|error| {
            tracing::error!(error_code = %error.code(), %error, "nobody is let in: the store does not say who may call");
            refused(error.code(), "the store does not say who may call")
        })
    }

    fn standing(&self, rule: &'static MethodRule, caller: Caller, asked: Option<Asked>) -> Standing {
        Standing {
            directory: Arc::clone(&self.directory),
            clock: Arc::clone(&self.access.clock),
            door: self.door.clone(),
            caller,
            rule,
            asked,
        }
    }

    async fn may_do(
        &self,
        rule: &MethodRule,
        caller: &Caller,
        asked: &Asked,
        resource: &str,
    ) -> Result<(), Status> {
        let name = &caller.principal.name;
        if !may(&caller.principal, rule.role, rule.about, asked, &self.door).await {
            let what = if resource.is_empty() { "the runtime as a whole" } else { resource };
            let what = shortened(what, MAX_RESOURCE_BYTES);
            return Err(denied(format!(
                "{name} may not do this to {what}: no grant of the role {} covers it",
                rule.role
            )));
        }
        if rule.reads_payloads && !caller.principal.read_payloads {
            return Err(denied(format!("{name} may not read payloads")));
        }
        Ok(())
    }

    /// Takes a token of the caller's bucket.
    fn pace(&self, caller: &Caller, now: Timestamp) -> Result<(), Status> {
        let Some(limit) = self.limits.now().rate_per_principal else { return Ok(()) };
        if !self.access.authentication.is_required() {
            return Ok(());
        }
        let name = &caller.principal.name;
        self.rates.take(name.clone(), limit, now).map_err(|at| {
            let what = format!("{name} asks more often than it may");
            refused_until(ErrorCode::RateLimited, what, at.0, now)
        })
    }

    /// Counts the call as one of its caller's, for as long as it goes on.
    fn count(&self, parts: &Parts, caller: &Caller) -> Result<(), Status> {
        let (Some(call), true) = (parts.extensions.get::<Whose>(), self.access.authentication.is_required())
        else {
            return Ok(());
        };
        let name = &caller.principal.name;
        if self.going_on.count(call, name, self.limits.now().calls_of_each) {
            Ok(())
        } else {
            Err(overloaded(&format!("{name} has as many calls and streams under way as one principal may")))
        }
    }

    /// Waits until the caller may look at much.
    async fn turn(&self, caller: &Caller) -> Result<Turn, Status> {
        let name = &caller.principal.name;
        self.turns.take(name).await.map_err(|TooMany| {
            overloaded(&format!("{name} has as many lists, counts and the like under way as it may"))
        })
    }

    /// Writes the entry of a mutation; or finds the answer that its request had before.
    async fn begin(
        &self,
        rule: &MethodRule,
        subject: AuditSubject,
        asked: &Asked,
    ) -> Result<Result<Mutation, Bytes>, Status> {
        let mut content = blake3::Hasher::new();
        content.update(rule.method.as_bytes()).update(&[0]).update(asked.bytes());
        let begun = self.access.audit.begin_mutation(subject, *content.finalize().as_bytes()).await;
        let begun = begun.map_err(|error| {
            tracing::error!(error_code = %error.code(), %error, "the audit log cannot be written, mutations are refused");
            refused(ErrorCode::AuditUnavailable, "the audit log cannot be written: nothing was done")
        })?;
        let (code, what) = match begun {
            Begun::Written(position) => {
                let (audit, answers_once) = (Arc::clone(&self.access.audit), rule.answers_once);
                return Ok(Ok(Mutation { audit, position, answers_once }));
            }
            Begun::Answered(answer) => return Ok(Err(answer.into())),
            Begun::Conflict => {
                (ErrorCode::RequestIdConflict, "the request id stands for another request: nothing was done")
            }
            Begun::Undecided => (
                ErrorCode::RequestUndecided,
                "the request was made before, and how it ended is not known, or not to be told again: it was not done a second time",
            ),
        };
        Err(refused(code, what))
    }

    /// Writes a denial down, and hands it back to be told.
    async fn deny(
        &self,
        call: &Call,
        caller: Option<&Caller>,
        resource: &str,
        status: Status,
        now: Timestamp,
    ) -> Status {
        let whom = match caller {
            Some(caller) => Denied::Principal(caller.principal.name.clone()),
            None => Denied::Peer(call.peer.as_ref().and_then(Peer::ip)),
        };
        self.denials.write(whom, call.subject(caller, resource), outcome(&status), now).await;
        status
    }
}

fn denied(what: impl Into<String>) -> Status {
    refused(ErrorCode::PermissionDenied, what)
}

/// The token of an authorization header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What every change may say beside what it is about. A preview is refused for what is wrong with it as well.
struct Said {
    reason: String,
    request_id: Option<RequestId>,
}

impl Said {
    fn of(asked: &Asked) -> Result<Self, Status> {
        let reason = asked.text("reason");
        if reason.len() > MAX_REASON_BYTES {
            return Err(invalid("reason", format!("a reason has at most {MAX_REASON_BYTES} bytes")));
        }
        let request_id = crate::convert::optional("request_id", &asked.text("request_id"))?;
        Ok(Self { reason, request_id })
    }
}

/// On whose behalf a mutation is carried out: as its entry says.
fn origin(subject: &AuditSubject) -> Origin {
    Origin::of(AskedBy {
        principal: subject.principal.clone(),
        method: subject.method.clone(),
        reason: subject.reason.clone(),
        request_id: subject.request_id.clone(),
        trace: subject.trace_id.as_deref().and_then(TraceId::parse),
    })
}

/// The beginning of a text.
fn shortened(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
