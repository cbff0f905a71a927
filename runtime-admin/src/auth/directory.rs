//! Who is known: principals and tokens as they were last read. There are few, so all of them are kept at hand, and nobody who calls waits
//! for the store.
//!
//! Whoever changes one has this read again before the change is answered, so a token that was revoked opens nothing from then on.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use runtime_core::access::{Principal, PrincipalKind, Token, TokenHash, TokenId, TokenRefused, TokenText};
use runtime_core::name::PrincipalName;
use runtime_core::store::{Principals, StoreError};
use tokio::sync::watch;

use super::Authentication;
use super::caller::{Caller, KnownBy};
use crate::peer::PeerIdentity;

/// Who everybody is where nobody is asked. No stored principal has this name.
pub(crate) const LOCAL: &str = "local";
/// Who bears the token that the configuration names. No stored principal has this name.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// Who is known.
pub(crate) struct Directory {
    store: Arc<dyn Principals>,
    local: Arc<Principal>,
    bootstrap: Option<(TokenHash, Arc<Principal>)>,
    known: RwLock<Known>,
    /// Somebody was changed since: nobody is let in before it was read who.
    stale: AtomicBool,
    /// One reads at a time: what was read first is not written last.
    reading: tokio::sync::Mutex<()>,
    /// Counts the readings.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    principals: BTreeMap<PrincipalName, Arc<Principal>>,
    tokens: HashMap<TokenId, Token>,
}

impl Directory {
    /// Reads who is known.
    ///
    /// # Errors
    /// What kept the store from saying so.
    pub(crate) async fn read(
        store: Arc<dyn Principals>,
        authentication: Authentication,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let almighty = |name: &str| {
            let name = name.parse().expect("a name of ours is a name");
            Arc::new(Principal::almighty(name, PrincipalKind::Service, now))
        };
        let bootstrap = match authentication {
            Authentication::Off => None,
            Authentication::Required { bootstrap } => bootstrap.map(|hash| (hash, almighty(BOOTSTRAP))),
        };
        let directory = Self {
            store,
            local: almighty(LOCAL),
            bootstrap,
            known: RwLock::default(),
            stale: AtomicBool::new(true),
            reading: Default::default(),
            changes: watch::Sender::default(),
        };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Somebody was changed: reads again.
    ///
    /// # Errors
    /// What kept the store from saying who is known; nobody is let in until it does.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        self.stale.store(true, Ordering::Release);
        self.up_to_date().await
    }

    /// Reads again, if somebody was changed since.
    ///
    /// # Errors
    /// As of [`Directory::refresh`].
    pub(crate) async fn up_to_date(&self) -> Result<(), StoreError> {
        if !self.stale.load(Ordering::Acquire) {
            return Ok(());
        }
        let _reading = self.reading.lock().await;
        // What is changed from here on makes it stale again.
        self.stale.store(false, Ordering::Release);
        let read = self.read_all().await;
        if read.is_err() {
            self.stale.store(true, Ordering::Release);
        }
        read
    }

    async fn read_all(&self) -> Result<(), StoreError> {
        let principals = self.store.principals().await?;
        let tokens = self.store.tokens().await?;
        let known = Known {
            principals: principals
                .into_iter()
                .map(|stored| (stored.principal.name.clone(), Arc::new(stored.principal)))
                .collect(),
            tokens: tokens.into_iter().map(|token| (token.id.clone(), token)).collect(),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.changes.send_modify(|readings| *readings += 1);
        Ok(())
    }

    /// Who everybody is where nobody is asked.
    pub(crate) fn local(&self) -> Caller {
        Caller { principal: Arc::clone(&self.local), known_by: KnownBy::Nothing }
    }

    /// Who bears this token.
    pub(crate) fn by_token(&self, text: &str, now: Timestamp) -> Result<Caller, NotLetIn> {
        if let Some((hash, principal)) = &self.bootstrap
            && *hash == TokenHash::of(text)
        {
            return Ok(Caller { principal: Arc::clone(principal), known_by: KnownBy::Configuration });
        }
        let text: TokenText = text.parse()?;
        let known = self.known();
        let token = known.tokens.get(text.id()).ok_or(TokenRefused::Unknown)?;
        token.opened_by(&text, now)?;
        known.bearer(token)
    }

    /// Who is known by this certificate. A certificate that several principals claim belongs to none of them.
    pub(crate) fn by_certificate(&self, identity: &PeerIdentity, now: Timestamp) -> Result<Caller, NotLetIn> {
        if identity.ends <= now {
            return Err(NotLetIn::CertificateEnded);
        }
        let known = self.known();
        let names = |certificate: &String| {
            !certificate.is_empty()
                && (*certificate == identity.subject || identity.names.contains(certificate))
        };
        let mut claims =
            known.principals.values().filter(|principal| principal.certificates.iter().any(names));
        match (claims.next(), claims.next()) {
            (Some(principal), None) if !principal.disabled => Ok(Caller {
                principal: Arc::clone(principal),
                known_by: KnownBy::Certificate(identity.clone()),
            }),
            _ => Err(NotLetIn::NoPrincipal),
        }
    }

    /// Who this is by now: what let somebody in may hold no longer, and its principal may be another.
    pub(super) fn again(&self, caller: &Caller, now: Timestamp) -> Result<Caller, NotLetIn> {
        match &caller.known_by {
            KnownBy::Nothing | KnownBy::Configuration => Ok(caller.clone()),
            KnownBy::Certificate(identity) => self.by_certificate(identity, now),
            KnownBy::Token(id) => {
                let known = self.known();
                let token = known.tokens.get(id).ok_or(TokenRefused::Unknown)?;
                token.is_good(now)?;
                known.bearer(token)
            }
        }
    }

    /// When what let somebody in ends by itself.
    pub(super) fn ends(&self, caller: &Caller) -> Option<Timestamp> {
        match &caller.known_by {
            KnownBy::Nothing | KnownBy::Configuration => None,
            KnownBy::Certificate(identity) => Some(identity.ends),
            KnownBy::Token(id) => self.known().tokens.get(id).and_then(|token| token.expires_at),
        }
    }

    /// Changes whenever who is known was read again.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whoever has a token that is good.
    fn bearer(&self, token: &Token) -> Result<Caller, NotLetIn> {
        let principal = self.principals.get(&token.principal).ok_or(TokenRefused::Unknown)?;
        if principal.disabled {
            return Err(TokenRefused::Disabled.into());
        }
        Ok(Caller { principal: Arc::clone(principal), known_by: KnownBy::Token(token.id.clone()) })
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotLetIn {
    /// For the token.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The certificate is good, and nobody's.
    #[error("the certificate is of no principal that may call")]
    NoPrincipal,
    /// It was good when the connection began.
    #[error("the certificate has ended")]
    CertificateEnded,
}
