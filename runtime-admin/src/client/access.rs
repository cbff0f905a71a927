//! Calls about who may do what, and who did.

use jiff::Timestamp;
use runtime_core::access::TokenId;
use runtime_core::name::{PrincipalName, TokenName};
use runtime_proto::v1;
use runtime_proto::v1::audit_service_client::AuditServiceClient;
use runtime_proto::v1::principal_service_client::PrincipalServiceClient;

use super::{AdminClient, Channel, ClientError, present};
use crate::convert::{principal_name, timestamp, token_name};
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Every principal, by name.
    pub async fn principals(&self) -> Result<Vec<v1::Principal>, ClientError> {
        let (mut principals, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = self.request(v1::ListPrincipalsRequest { page_size: 0, page_token });
            let page = self.principal_service().list_principals(request).await?.into_inner();
            principals.extend(page.principals);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(principals);
            }
        }
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
    pub async fn tokens(&self, principal: Option<&PrincipalName>) -> Result<Vec<v1::Token>, ClientError> {
        let principal = principal.map(principal_name).unwrap_or_default();
        let (mut tokens, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListTokensRequest { principal: principal.clone(), page_size: 0, page_token };
            let page = self.principal_service().list_tokens(self.request(request)).await?.into_inner();
            tokens.extend(page.tokens);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(tokens);
            }
        }
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, id: &TokenId, reason: &str) -> Result<v1::Token, ClientError> {
        let request =
            v1::RevokeTokenRequest { name: token_name(id), reason: reason.to_owned(), ..Default::default() };
        present(self.change(request).await?.token, "token")
    }

    /// The newest entries of the audit log that fit `filter`, at most `limit`, over as many pages as that takes.
    pub async fn audit(&self, filter: &str, limit: usize) -> Result<Vec<v1::AuditEntry>, ClientError> {
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        while entries.len() < limit {
            let page_size =
                u32::try_from((limit - entries.len()).min(crate::page::MAX_PAGE_SIZE)).unwrap_or(0);
            let request = v1::ListAuditEntriesRequest { filter: filter.to_owned(), page_size, page_token };
            let page = self.audit_service().list_audit_entries(self.request(request)).await?.into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(entries)
    }

    fn principal_service(&self) -> PrincipalServiceClient<Channel> {
        PrincipalServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn audit_service(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
