//! The port of principals and their tokens: few documents, each with a revision.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Revision, StoreError};
use crate::access::{Principal, Token, TokenId};
use crate::name::PrincipalName;

/// A principal as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPrincipal {
    /// What it is.
    pub principal: Principal,
    /// How often it was written.
    pub revision: Revision,
}

/// What became of a write of one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutPrincipal {
    /// It is written, and has this revision now.
    Written(Revision),
    /// The stored principal has another revision, is there although none was expected, or is gone. Nothing was written.
    Conflict,
}

/// What became of a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutToken {
    /// It is written.
    Written,
    /// Its principal is not there.
    NoPrincipal,
    /// Its principal has one of this name that was not revoked.
    NameTaken,
    /// Its id is taken.
    IdTaken,
}

/// Who may call, and by which tokens.
#[async_trait]
pub trait Principals: Send + Sync {
    /// All principals, by name.
    async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError>;

    /// Makes a principal (`expected` is `None`: there must be none of its name) or replaces the one of this revision.
    async fn put_principal(
        &self,
        principal: Principal,
        expected: Option<Revision>,
    ) -> Result<PutPrincipal, StoreError>;

    /// Forgets the principal of this revision, and all its tokens with it. `false` when it has another revision or is gone.
    async fn delete_principal(&self, name: PrincipalName, expected: Revision) -> Result<bool, StoreError>;

    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Makes a token.
    async fn put_token(&self, token: Token) -> Result<PutToken, StoreError>;

    /// Takes a token back, and says how it stands now; one that was taken back before stays as it is. `None` when there is none.
    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<Token>, StoreError>;
}
