//! Calls about who may do what, and who did.

use jiff::Timestamp;
use runtime_core::access::TokenId;
use runtime_core::name::{PrincipalName, TokenName};
use runtime_proto::v1;
use runtime_proto::v1::audit_service_client::AuditServiceClient;
use runtime_proto::v1::principal_service_client::PrincipalServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, present};
use crate::convert::{principal_name, timestamp, token_name};
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Every principal, by name.
    pub async fn principals(&self) -> Result<Seen<Vec<v1::Principal>>, ClientError> {
        pages(None, |page_size, page_token| async move {
            let request = self.request(v1::ListPrincipalsRequest { page_size, page_token });
            let page = self.principal_service().list_principals(request).await?.into_inner();
            let v1::ListPrincipalsResponse { principals: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// Makes a principal. It has no token yet.
    pub async fn create_principal(
        &self,
        name: &PrincipalName,
        principal: v1::Principal,
    ) -> Result<v1::Principal, ClientError> {
        let request = v1::CreatePrincipalRequest {
            principal_id: name.to_string(),
            principal: Some(principal),
            ..Default::default()
        };
        present(self.change(request).await?.principal, "principal")
    }

    /// Changes a principal to this; with its etag, only when nobody else has changed it since.
    pub async fn update_principal(
        &self,
        principal: v1::Principal,
        reason: &str,
    ) -> Result<v1::Principal, ClientError> {
        let request = v1::UpdatePrincipalRequest {
            principal: Some(principal),
            reason: reason.to_owned(),
            ..Default::default()
        };
        present(self.change(request).await?.principal, "principal")
    }

    /// Forgets a principal and all its tokens.
    pub async fn delete_principal(&self, name: &PrincipalName, reason: &str) -> Result<(), ClientError> {
        let request = v1::DeletePrincipalRequest {
            name: principal_name(name),
            reason: reason.to_owned(),
            ..Default::default()
        };
        self.change(request).await?;
        Ok(())
    }

    /// Makes a token. Its text is in the answer, this once.
    pub async fn create_token(
        &self,
        principal: &PrincipalName,
        label: &TokenName,
        expires_at: Option<Timestamp>,
    ) -> Result<v1::CreateTokenResponse, ClientError> {
        let request = v1::CreateTokenRequest {
            principal: principal_name(principal),
            label: label.to_string(),
            expires_at: expires_at.map(timestamp),
            ..Default::default()
        };
        self.change(request).await
    }

    /// Tokens without their secrets, oldest first; of one principal, or of all.
    pub async fn tokens(
        &self,
        principal: Option<&PrincipalName>,
    ) -> Result<Seen<Vec<v1::Token>>, ClientError> {
        let principal = &principal.map(principal_name).unwrap_or_default();
        pages(None, |page_size, page_token| async move {
            let request = v1::ListTokensRequest { principal: principal.clone(), page_size, page_token };
            let page = self.principal_service().list_tokens(self.request(request)).await?.into_inner();
            let v1::ListTokensResponse { tokens: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, id: &TokenId, reason: &str) -> Result<v1::Token, ClientError> {
        let request =
            v1::RevokeTokenRequest { name: token_name(id), reason: reason.to_owned(), ..Default::default() };
        present(self.change(request).await?.token, "token")
    }

    /// The newest entries of the audit log that fit `filter`, at most `limit`, over as many pages as that takes.
    pub async fn audit(&self, filter: &str, limit: usize) -> Result<Vec<v1::AuditEntry>, ClientError> {
        let entries = pages(Some(limit), |page_size, page_token| async move {
            let request = v1::ListAuditEntriesRequest { filter: filter.to_owned(), page_size, page_token };
            let page = self.audit_service().list_audit_entries(self.request(request)).await?.into_inner();
            let v1::ListAuditEntriesResponse { entries: items, next_page_token } = page;
            Ok(Page { items, next_page_token, event_cursor: String::new() })
        });
        Ok(entries.await?.what)
    }

    fn principal_service(&self) -> PrincipalServiceClient<Channel> {
        PrincipalServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn audit_service(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
