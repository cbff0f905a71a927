//! PrincipalService. What it changes is read again before it answers, so that it holds from the answer on.

mod telling;

use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::access::{Principal, Token, has_way_in};
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Changes, Entry, EventType, Subject};
use runtime_core::name::PrincipalName;
use runtime_core::store::{PutPrincipal, PutToken, Revision, StoreError, StoredPrincipal};
use runtime_proto::v1;
use runtime_proto::v1::principal_service_server::PrincipalService;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use crate::auth::{Access, Caller, Directory, is_reserved, new_token};
use crate::convert;
use crate::door::Door;
use crate::page::page_of;
use crate::status::{Resource, invalid, refusal};

const LOCKED_OUT: &str = "nobody who may do anything could come in any more: let another admin in first, by a token or a certificate";

/// Who may call, and by which tokens.
pub(crate) struct Principals {
    access: Access,
    directory: Arc<Directory>,
    door: Door,
    /// One change at a time: two admins who take the keys from each other at once would leave nobody.
    changing: Mutex<()>,
}

impl Principals {
    pub(crate) fn new(access: Access, directory: Arc<Directory>, door: Door) -> Self {
        Self { access, directory, door, changing: Mutex::default() }
    }

    /// Refuses a change after which nobody could come in who may do anything, if somebody can now. Whoever is in without being one of these
    /// principals may do so: there is another way in.
    async fn leaves_a_way_in(
        &self,
        caller: &Caller,
        about: &Resource,
        change: impl FnOnce(&mut Vec<Principal>, &mut Vec<Token>),
    ) -> Result<(), Status> {
        if caller.needs_no_principal() {
            return Ok(());
        }
        let mut principals: Vec<_> = self.all().await?.into_iter().map(|stored| stored.principal).collect();
        let tokens = self.access.principals.tokens().await;
        let mut tokens = tokens.map_err(|error| failed(error, &Resource::system()))?;
        let now = self.access.clock.now();
        let before = has_way_in(&principals, &tokens, now);
        change(&mut principals, &mut tokens);
        if before && !has_way_in(&principals, &tokens, now) {
            return Err(refused(LOCKED_OUT, about));
        }
        Ok(())
    }

    async fn all(&self) -> Result<Vec<StoredPrincipal>, Status> {
        self.access.principals.principals().await.map_err(|error| failed(error, &Resource::system()))
    }

    async fn find(&self, name: &PrincipalName, about: &Resource) -> Result<StoredPrincipal, Status> {
        let known = self.all().await?.into_iter().find(|stored| stored.principal.name == *name);
        known.ok_or_else(|| missing(name, about))
    }

    /// Writes a principal over the revision that is expected, none for one that is new. With `validate_only` it only says how it would be.
    async fn put(
        &self,
        principal: Principal,
        before: Option<(&Principal, Revision)>,
        validate_only: bool,
        about: &Resource,
        door: &Door,
    ) -> Result<v1::Principal, Status> {
        let expected = before.map(|(_, revision)| revision);
        let conflict = || match expected {
            None => refused("there is a principal of this name", about),
            Some(_) => changed_meanwhile(about),
        };
        if validate_only {
            let known = self.all().await?.into_iter().find(|known| known.principal.name == principal.name);
            let revision = known.map(|known| known.revision);
            return match (revision == expected, revision.unwrap_or(Revision(0))) {
                (true, revision) => Ok(convert::principal(&StoredPrincipal { principal, revision })),
                (false, _) => Err(conflict()),
            };
        }
        let put = self.access.principals.put_principal(principal.clone(), expected).await;
        match put.map_err(|error| failed(error, about))? {
            PutPrincipal::Conflict => Err(conflict()),
            PutPrincipal::Written(revision) => {
                let kind =
                    if before.is_some() { EventType::PrincipalUpdated } else { EventType::PrincipalCreated };
                let changes = telling::principal(before.map(|(before, _)| before), &principal);
                self.tell(door, kind, Subject::Principal(principal.name.clone()), changes);
                self.changed(about).await?;
                Ok(convert::principal(&StoredPrincipal { principal, revision }))
            }
        }
    }

    /// Tells those who watch, on behalf of whoever changed it.
    fn tell(&self, door: &Door, kind: EventType, subject: Subject, changes: Changes) {
        door.note(Entry::new(self.access.clock.now(), kind, subject, changes), "change");
    }

    /// What was changed holds from here on.
    async fn changed(&self, about: &Resource) -> Result<(), Status> {
        self.directory.refresh().await.map_err(|error| failed(error, about))
    }
}

fn failed(error: StoreError, about: &Resource) -> Status {
    refusal(&CommandError::from(error), about)
}

fn missing(name: &PrincipalName, about: &Resource) -> Status {
    refusal(&CommandError::not_found(format!("no principal {name}")), about)
}

fn refused(what: impl Into<String>, about: &Resource) -> Status {
    refusal(&CommandError::precondition(what), about)
}

fn changed_meanwhile(about: &Resource) -> Status {
    refusal(&CommandError::changed("the principal was changed since it was read: read it again"), about)
}

fn is_required<T>(field: &str, value: Option<T>) -> Result<T, Status> {
    value.ok_or_else(|| invalid(field, "is required"))
}

#[async_trait]
impl PrincipalService for Principals {
    async fn list_principals(
        &self,
        request: Request<v1::ListPrincipalsRequest>,
    ) -> Result<Response<v1::ListPrincipalsResponse>, Status> {
        let v1::ListPrincipalsRequest { page_size, page_token } = request.get_ref();
        let event_cursor = self.door.event_cursor();
        let all = self.all().await?;
        let name = |stored: &StoredPrincipal| stored.principal.name.clone();
        let mut all: Vec<_> = all.into_iter().map(|stored| (name(&stored), stored)).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (page, next_page_token) =
            page_of("principals", all, |(name, _)| name.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListPrincipalsResponse {
            principals: page.iter().map(|(_, stored)| convert::principal(stored)).collect(),
            next_page_token,
            event_cursor,
        }))
    }

    async fn create_principal(
        &self,
        request: Request<v1::CreatePrincipalRequest>,
    ) -> Result<Response<v1::CreatePrincipalResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let door = self.door.for_call(&request);
        let v1::CreatePrincipalRequest { principal_id, principal, validate_only, .. } = request.into_inner();
        let name: PrincipalName = convert::parsed("principal_id", &principal_id)?;
        if is_reserved(&name) {
            return Err(invalid("principal_id", "stands for nobody in particular: choose another one"));
        }
        let about = Resource::new("principal", convert::principal_name(&name));
        let wire = is_required("principal", principal)?;
        let principal = convert::new_principal(name, &wire, self.access.clock.now())?;
        let _changing = self.changing.lock().await;
        // Whoever claims the certificate of another takes it from both.
        self.leaves_a_way_in(&caller, &about, |principals, _| principals.push(principal.clone())).await?;
        let made = self.put(principal, None, validate_only, &about, &door).await?;
        Ok(Response::new(v1::CreatePrincipalResponse { principal: Some(made) }))
    }

    async fn update_principal(
        &self,
        request: Request<v1::UpdatePrincipalRequest>,
    ) -> Result<Response<v1::UpdatePrincipalResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let door = self.door.for_call(&request);
        let v1::UpdatePrincipalRequest { principal, validate_only, .. } = request.into_inner();
        let wire = is_required("principal", principal)?;
        let (name, about) = convert::principal_from_wire("principal.name", &wire.name)?;
        let _changing = self.changing.lock().await;
        let known = self.find(&name, &about).await?;
        let expected = convert::principal_revision("principal.etag", &wire.etag)?.unwrap_or(known.revision);
        let principal = convert::new_principal(name, &wire, known.principal.created_at)?;
        self.leaves_a_way_in(&caller, &about, |principals, _| {
            principals.retain(|other| other.name != principal.name);
            principals.push(principal.clone());
        })
        .await?;
        let now =
            self.put(principal, Some((&known.principal, expected)), validate_only, &about, &door).await?;
        Ok(Response::new(v1::UpdatePrincipalResponse { principal: Some(now) }))
    }

    async fn delete_principal(
        &self,
        request: Request<v1::DeletePrincipalRequest>,
    ) -> Result<Response<v1::DeletePrincipalResponse>, Status> {
        let v1::DeletePrincipalRequest { name, etag, validate_only, .. } = request.get_ref();
        let (name, about) = convert::principal_from_wire("name", name)?;
        let _changing = self.changing.lock().await;
        let known = self.find(&name, &about).await?;
        let expected = convert::principal_revision("etag", etag)?.unwrap_or(known.revision);
        self.leaves_a_way_in(Caller::of(&request)?, &about, |principals, _| {
            principals.retain(|other| other.name != name);
        })
        .await?;
        if *validate_only {
            let fits = expected == known.revision;
            return if fits {
                Ok(Response::new(v1::DeletePrincipalResponse {}))
            } else {
                Err(changed_meanwhile(&about))
            };
        }
        let deleted = self.access.principals.delete_principal(name.clone(), expected).await;
        if !deleted.map_err(|error| failed(error, &about))? {
            return Err(changed_meanwhile(&about));
        }
        let door = self.door.for_call(&request);
        self.tell(&door, EventType::PrincipalDeleted, Subject::Principal(name), Changes::of([]));
        self.changed(&about).await?;
        Ok(Response::new(v1::DeletePrincipalResponse {}))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let door = self.door.for_call(&request);
        let v1::CreateTokenRequest { principal, label, expires_at, .. } = request.into_inner();
        let (principal, about) = convert::principal_from_wire("principal", &principal)?;
        let created_at = self.access.clock.now();
        let expires_at = convert::moment("expires_at", expires_at)?;
        if expires_at.is_some_and(|end| end <= created_at) {
            return Err(invalid("expires_at", "is past"));
        }
        let text = new_token().map_err(|error| {
            refusal(&CommandError::new(ErrorCode::Internal, format!("no random bytes: {error}")), &about)
        })?;
        let token = Token {
            id: text.id().clone(),
            principal: principal.clone(),
            name: convert::parsed("label", &label)?,
            hash: text.hash(),
            created_at,
            expires_at,
            revoked_at: None,
        };
        let put = self.access.principals.put_token(token.clone()).await;
        match put.map_err(|error| failed(error, &about))? {
            PutToken::Written => {}
            PutToken::NoPrincipal => return Err(missing(&principal, &about)),
            PutToken::NameTaken => {
                return Err(refused(format!("{principal} has a token {label} that is still good"), &about));
            }
            PutToken::IdTaken => return Err(refused("chance made a token that is there: ask again", &about)),
        }
        let changes = telling::token(&token);
        self.tell(&door, EventType::TokenCreated, Subject::Token(token.id.clone()), changes);
        self.changed(&about).await?;
        let text = text.expose().to_owned();
        Ok(Response::new(v1::CreateTokenResponse { token: Some(convert::token(&token)), text }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let v1::ListTokensRequest { principal, page_size, page_token } = request.get_ref();
        let of = match principal.as_str() {
            "" => None,
            name => Some(convert::principal_from_wire("principal", name)?.0),
        };
        let event_cursor = self.door.event_cursor();
        let tokens = self.access.principals.tokens().await;
        let tokens = tokens.map_err(|error| failed(error, &Resource::system()))?;
        let is_asked_for = |token: &Token| of.as_ref().is_none_or(|of| token.principal == *of);
        // By time, and by id where that is the same: a place that stays the same when others are forgotten.
        let place = |token: &Token| format!("{:020}{}", token.created_at.as_microsecond(), token.id);
        let mut tokens: Vec<(String, Token)> =
            tokens.into_iter().filter(is_asked_for).map(|token| (place(&token), token)).collect();
        tokens.sort_by(|(one, _), (other, _)| one.cmp(other));
        let list = format!("tokens {principal}");
        let (page, next_page_token) =
            page_of(&list, tokens, |(place, _)| place.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListTokensResponse {
            tokens: page.iter().map(|(_, token)| convert::token(token)).collect(),
            next_page_token,
            event_cursor,
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let v1::RevokeTokenRequest { name, etag, .. } = request.get_ref();
        let (id, about) = convert::token_from_wire(name)?;
        let terms = convert::terms(etag, false);
        let _changing = self.changing.lock().await;
        let tokens = self.access.principals.tokens().await.map_err(|error| failed(error, &about))?;
        if tokens.iter().any(|token| token.id == id && !terms.fit(&token.etag())) {
            let changed = CommandError::changed("the token was taken back since it was read");
            return Err(refusal(&changed, &about));
        }
        self.leaves_a_way_in(Caller::of(&request)?, &about, |_, tokens| {
            tokens.retain(|token| token.id != id)
        })
        .await?;
        let revoked = self.access.principals.revoke_token(id.clone(), self.access.clock.now()).await;
        let revoked = revoked.map_err(|error| failed(error, &about))?;
        let revoked =
            revoked.ok_or_else(|| refusal(&CommandError::not_found(format!("no token {id}")), &about))?;
        let door = self.door.for_call(&request);
        let changes = telling::token(&revoked);
        self.tell(&door, EventType::TokenRevoked, Subject::Token(revoked.id.clone()), changes);
        self.changed(&about).await?;
        Ok(Response::new(v1::RevokeTokenResponse { token: Some(convert::token(&revoked)) }))
    }
}
