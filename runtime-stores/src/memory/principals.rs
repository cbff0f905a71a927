//! Principals and their tokens.

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::access::{Principal, Token, TokenId};
use runtime_core::name::PrincipalName;
use runtime_core::store::{Principals, PutPrincipal, PutToken, Revision, StoreError, StoredPrincipal};

use super::MemoryStore;
use super::state::State;
use crate::tokens;

#[async_trait]
impl Principals for MemoryStore {
    async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError> {
        Ok(self.look()?.principals.values().cloned().collect())
    }

    async fn put_principal(
        &self,
        principal: Principal,
        expected: Option<Revision>,
    ) -> Result<PutPrincipal, StoreError> {
        self.change(|state| state.put_principal(principal, expected))
    }

    async fn delete_principal(&self, name: PrincipalName, expected: Revision) -> Result<bool, StoreError> {
        self.change(|state| state.delete_principal(&name, expected))
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        Ok(self.look()?.tokens.clone())
    }

    async fn put_token(&self, token: Token) -> Result<PutToken, StoreError> {
        self.change(|state| state.put_token(token))
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<Token>, StoreError> {
        self.change(|state| {
            let token = state.tokens.iter_mut().find(|token| token.id == id)?;
            token.revoked_at = token.revoked_at.or(Some(at));
            Some(token.clone())
        })
    }
}

impl State {
    fn has_principal(&self, name: &PrincipalName, revision: Revision) -> bool {
        self.principals.get(name).is_some_and(|stored| stored.revision == revision)
    }

    fn put_principal(&mut self, principal: Principal, expected: Option<Revision>) -> PutPrincipal {
        let fits = match expected {
            None => !self.principals.contains_key(&principal.name),
            Some(revision) => self.has_principal(&principal.name, revision),
        };
        if !fits {
            return PutPrincipal::Conflict;
        }
        let revision = expected.map_or(Revision::FIRST, Revision::next);
        self.principals.insert(principal.name.clone(), StoredPrincipal { principal, revision });
        PutPrincipal::Written(revision)
    }

    fn delete_principal(&mut self, name: &PrincipalName, expected: Revision) -> bool {
        if !self.has_principal(name, expected) {
            return false;
        }
        self.tokens.retain(|token| token.principal != *name);
        self.principals.remove(name).is_some()
    }

    fn put_token(&mut self, token: Token) -> PutToken {
        if !self.principals.contains_key(&token.principal) {
            return PutToken::NoPrincipal;
        }
        let is_his = |other: &&Token| other.principal == token.principal;
        let others: Vec<Token> = self.tokens.iter().filter(is_his).cloned().collect();
        if tokens::is_name_taken(&others, &token) {
            return PutToken::NameTaken;
        }
        self.tokens.retain(|other| {
            other.principal != token.principal || !tokens::is_forgotten(other, token.created_at)
        });
        if self.tokens.iter().any(|other| other.id == token.id) {
            return PutToken::IdTaken;
        }
        self.tokens.push(token);
        PutToken::Written
    }
}
