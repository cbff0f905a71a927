//! Who asks.

use std::sync::Arc;

use runtime_core::access::{Principal, TokenId, TokenText};
use runtime_core::error::ErrorCode;
use tonic::Status;

use crate::peer::PeerIdentity;
use crate::status::refused;

/// Who asks. Every request that reaches a service has it among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) principal: Arc<Principal>,
    /// By what.
    pub(super) known_by: KnownBy,
}

/// By what somebody is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KnownBy {
    /// By nothing: nobody is asked.
    Nothing,
    /// By the token that the configuration names.
    Configuration,
    /// By this token.
    Token(TokenId),
    /// By a certificate that the listener has verified.
    Certificate(PeerIdentity),
}

impl Caller {
    /// The token by which it is known; `None` for a certificate, and where nobody is asked who they are.
    pub(crate) fn token(&self) -> Option<&TokenId> {
        match &self.known_by {
            KnownBy::Token(id) => Some(id),
            KnownBy::Nothing | KnownBy::Configuration | KnownBy::Certificate(_) => None,
        }
    }

    /// Whether it is in whatever becomes of those whom the store knows.
    pub(crate) fn needs_no_principal(&self) -> bool {
        matches!(self.known_by, KnownBy::Nothing | KnownBy::Configuration)
    }

    /// Who asked this.
    ///
    /// # Errors
    /// The request did not come through the layer: nobody knows who asked, so nothing is done.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        let nobody = || refused(ErrorCode::Unauthenticated, "nobody knows who asked");
        request.extensions().get().ok_or_else(nobody)
    }
}

/// A new token, of the system's chance.
///
/// # Errors
/// What the system said when it had none to give.
pub fn new_token() -> Result<TokenText, getrandom::Error> {
    let mut chance = [0; TokenText::CHANCE];
    getrandom::fill(&mut chance)?;
    Ok(TokenText::of_chance(chance))
}

/// Whether somewhere in these bytes stands what looks like a token.
pub(super) fn has_token(bytes: &[u8]) -> bool {
    bytes
        .windows(TokenText::PREFIX.len())
        .enumerate()
        .filter(|(_, window)| *window == TokenText::PREFIX.as_bytes())
        .any(|(at, _)| {
            let text =
                bytes.get(at..at + TokenText::LENGTH).and_then(|token| std::str::from_utf8(token).ok());
            text.is_some_and(|text| text.parse::<TokenText>().is_ok())
        })
}
