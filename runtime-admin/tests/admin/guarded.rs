//! A server that asks everybody who they are, and its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runtime_admin::{AdminClient, AdminLimits, AdminServerConfig, Authentication, new_token};
use runtime_core::access::{Grant, Principal, PrincipalKind, Token, TokenText};
use runtime_core::audit::AuditEntry;
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use runtime_core::limits::StoreLimits;
use runtime_core::store::{AuditFilter, Store};
use runtime_stores::MemoryStore;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::control::{InMemoryControl, NOW};
use crate::raw::call;
use crate::world::{Served, access_to, config, serve};

/// Time that moves only when told.
pub(crate) struct HandClock(pub(crate) AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).expect("a moment")
    }
}

/// A server that asks everybody who they are, and its store.
pub(crate) struct Guarded {
    pub(crate) served: Served,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) channel: Channel,
    pub(crate) bootstrap: TokenText,
    config: AdminServerConfig,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        // What the tree in memory does not answer need not be waited for.
        Self::with_patience(Duration::from_millis(100)).await
    }

    /// One that waits so long for requests and answers.
    pub(crate) async fn with_patience(patience: Duration) -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(NOW)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default()));
        Self::over(store, clock, AdminServerConfig { request_timeout: patience, ..config() }).await
    }

    /// One within these limits.
    pub(crate) async fn within(limits: AdminLimits) -> Self {
        let world = Self::start().await;
        world.config.limits.set(limits);
        world
    }

    async fn over(store: Arc<dyn Store>, clock: Arc<HandClock>, config: AdminServerConfig) -> Self {
        let bootstrap = new_token().expect("chance");
        let authentication = Authentication::Required { bootstrap: Some(bootstrap.hash()) };
        let access = access_to(store.clone(), clock.clone(), authentication);
        let served = serve(config.clone(), InMemoryControl::new(), access).await;
        let channel = Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
        Self { served, store, clock, channel, bootstrap, config }
    }

    /// The same server anew, so that it reads who is known now.
    pub(crate) async fn again(self) -> Self {
        let Self { store, clock, config, .. } = self;
        Self::over(store, clock, config).await
    }

    pub(crate) async fn principal(&self, name: &str, grants: &[&str]) -> Principal {
        let principal = Principal {
            grants: grants.iter().map(|text| text.parse::<Grant>().expect("a grant")).collect(),
            ..Principal::almighty(name.parse().expect("a name"), PrincipalKind::Person, self.clock.now())
        };
        self.store.put_principal(principal.clone(), None).await.expect("the store takes it");
        principal
    }

    pub(crate) async fn token(&self, principal: &str, good_for_secs: Option<i64>) -> TokenText {
        let text = new_token().expect("chance");
        let end =
            |secs| Timestamp::from_second(self.clock.0.load(Ordering::SeqCst) + secs).expect("a moment");
        let token = Token {
            id: text.id().clone(),
            principal: principal.parse().expect("a name"),
            name: format!("token-{}", text.id()).parse().expect("a name"),
            hash: text.hash(),
            created_at: self.clock.now(),
            expires_at: good_for_secs.map(end),
            revoked_at: None,
        };
        self.store.put_token(token).await.expect("the store takes it");
        text
    }

    /// A principal with these grants, and a token of its.
    pub(crate) async fn with_grants(self, principals: &[(&str, &[&str])]) -> (Self, Vec<TokenText>) {
        let mut tokens = Vec::new();
        for (name, grants) in principals {
            self.principal(name, grants).await;
            tokens.push(self.token(name, None).await);
        }
        (self.again().await, tokens)
    }

    pub(crate) async fn call(
        &self,
        token: &TokenText,
        path: &str,
        message: impl Message,
    ) -> Result<(), Status> {
        let authorization = format!("Bearer {}", token.expose());
        call(&self.channel, path, Some(&authorization), message.encode_to_vec()).await.map(drop)
    }

    pub(crate) async fn client(&self, token: &TokenText) -> AdminClient {
        let client = AdminClient::connect(&self.served.endpoint()).await.expect("a server");
        client.with_token(token.expose()).expect("a token")
    }

    pub(crate) async fn audit(&self) -> Vec<AuditEntry> {
        self.store
            .audit_entries(AuditFilter::default(), None, 1_000)
            .await
            .expect("the store answers")
            .entries
    }
}

pub(crate) fn reason(status: &Status) -> ErrorCode {
    let info = status.get_details_error_info().expect("ErrorInfo");
    info.reason.parse().expect("a code of the list")
}
