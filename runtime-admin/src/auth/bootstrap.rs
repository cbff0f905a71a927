//! A token for whoever has the store at hand: the way in when no other token is there.

use jiff::Timestamp;
use runtime_core::access::{Principal, PrincipalKind, Token, TokenText};
use runtime_core::audit::{AuditKind, AuditOutcome, AuditSubject};
use runtime_core::name::{PrincipalName, TokenName};
use runtime_core::store::{AuditLog, Begun, Principals, PutPrincipal, PutToken, Remembered, StoreError};

use super::caller::new_token;
use super::directory::{BOOTSTRAP, LOCAL};

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalToken {
    /// Whose. A principal that is not there is made, and may do anything; one that is there stays as it is.
    pub principal: PrincipalName,
    /// What it is for.
    pub name: TokenName,
    /// From when on it is not taken any more.
    pub expires_at: Option<Timestamp>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum LocalTokenError {
    /// The name is one of ours.
    #[error("{0} is the name of nobody in particular: choose another one")]
    Reserved(PrincipalName),
    /// The principal has a token of this name.
    #[error("{principal} has a token {name}: choose another name, or revoke that one")]
    NameTaken {
        /// Whose.
        principal: PrincipalName,
        /// Its name.
        name: TokenName,
    },
    /// The system gives no chance.
    #[error("the system gave no random bytes")]
    Chance(#[from] getrandom::Error),
    /// Somebody else writes at the same time.
    #[error("somebody else changes principals at the same time")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LocalTokenError {
    /// For the audit log: nothing was made.
    fn outcome(&self) -> AuditOutcome {
        let canonical = match self {
            Self::NameTaken { .. } => "FAILED_PRECONDITION",
            Self::Conflict => "ABORTED",
            Self::Reserved(_) => "INVALID_ARGUMENT",
            Self::Chance(_) | Self::Store(_) => "INTERNAL",
        };
        AuditOutcome { canonical: canonical.to_owned(), error: None }
    }
}

impl LocalToken {
    /// Makes the token, and its principal when there is none. It is in the audit log as any other.
    ///
    /// # Errors
    /// [`LocalTokenError`]; no token was made.
    pub async fn make(
        &self,
        principals: &dyn Principals,
        audit: &dyn AuditLog,
        now: Timestamp,
    ) -> Result<TokenText, LocalTokenError> {
        if is_reserved(&self.principal) {
            return Err(LocalTokenError::Reserved(self.principal.clone()));
        }
        let position = match audit.begin_mutation(self.subject(), [0; 32]).await? {
            Begun::Written(position) => position,
            Begun::Answered(_) | Begun::Conflict | Begun::Undecided => return Err(LocalTokenError::Conflict),
        };
        let made = self.write(principals, now).await;
        let outcome = match &made {
            Ok(_) => AuditOutcome::ok(),
            // Whether it was written is not known.
            Err(LocalTokenError::Store(_)) => return made,
            Err(error) => error.outcome(),
        };
        audit.end_mutation(position, outcome, Remembered::Nothing).await?;
        made
    }

    async fn write(&self, principals: &dyn Principals, now: Timestamp) -> Result<TokenText, LocalTokenError> {
        let Self { principal, name, expires_at } = self;
        let text = new_token()?;
        let known = principals.principals().await?;
        if !known.iter().any(|stored| stored.principal.name == *principal) {
            let almighty = Principal::almighty(principal.clone(), PrincipalKind::Person, now);
            if principals.put_principal(almighty, None).await? == PutPrincipal::Conflict {
                return Err(LocalTokenError::Conflict);
            }
        }
        let token = Token {
            id: text.id().clone(),
            principal: principal.clone(),
            name: name.clone(),
            hash: text.hash(),
            created_at: now,
            expires_at: *expires_at,
            revoked_at: None,
        };
        match principals.put_token(token).await? {
            PutToken::Written => Ok(text),
            PutToken::NameTaken => {
                Err(LocalTokenError::NameTaken { principal: principal.clone(), name: name.clone() })
            }
            PutToken::NoPrincipal | PutToken::IdTaken => Err(LocalTokenError::Conflict),
        }
    }

    fn subject(&self) -> AuditSubject {
        AuditSubject {
            kind: AuditKind::Mutation,
            principal: LOCAL.parse().ok(),
            token: None,
            method: "PrincipalService/CreateToken".to_owned(),
            resource: format!("principals/{}", self.principal),
            reason: "with the store at hand".to_owned(),
            request_id: None,
            peer: String::new(),
            trace_id: None,
            unwritten: 0,
        }
    }
}

/// Whether a name stands for nobody in particular.
pub(crate) fn is_reserved(name: &PrincipalName) -> bool {
    [LOCAL, BOOTSTRAP].contains(&name.as_str())
}
