//! Principals and their tokens: documents that are read whole.

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::access::{Principal, Token, TokenId};
use runtime_core::name::PrincipalName;
use runtime_core::store::{Principals, PutPrincipal, PutToken, Revision, StoreError, StoredPrincipal};
use rusqlite::OptionalExtension;
use serde::de::DeserializeOwned;

use super::SqliteStore;
use super::fault::Fault;
use super::reader::Reader;
use super::schedules::{json, number};
use super::writer::Writer;
use crate::tokens;

#[async_trait]
impl Principals for SqliteStore {
    async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError> {
        self.0.readers.read(|reader, _| reader.principals()).await
    }

    async fn put_principal(
        &self,
        principal: Principal,
        expected: Option<Revision>,
    ) -> Result<PutPrincipal, StoreError> {
        self.command((principal, expected), |writer, asked| writer.put_principal(asked)).await
    }

    async fn delete_principal(&self, name: PrincipalName, expected: Revision) -> Result<bool, StoreError> {
        self.command((name, expected), |writer, asked| writer.delete_principal(asked)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.0.readers.read(|reader, _| reader.tokens()).await
    }

    async fn put_token(&self, token: Token) -> Result<PutToken, StoreError> {
        self.command(token, |writer, asked| writer.put_token(asked)).await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<Token>, StoreError> {
        self.command((id, at), |writer, asked| writer.revoke_token(asked)).await
    }
}

impl Writer<'_> {
    fn put_principal(
        &mut self,
        (principal, expected): &(Principal, Option<Revision>),
    ) -> Result<PutPrincipal, Fault> {
        let (name, document) = (principal.name.as_str(), json(principal)?);
        let written = match expected {
            None => {
                let sql = "INSERT INTO rt_principal (name, revision, document) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
                self.conn.prepare_cached(sql)?.execute((name, number(Revision::FIRST), document))?
            }
            Some(revision) => {
                let sql =
                    "UPDATE rt_principal SET revision = ?3, document = ?4 WHERE name = ?1 AND revision = ?2";
                let row = (name, number(*revision), number(revision.next()), document);
                self.conn.prepare_cached(sql)?.execute(row)?
            }
        };
        let revision = expected.map_or(Revision::FIRST, Revision::next);
        Ok(if written == 1 { PutPrincipal::Written(revision) } else { PutPrincipal::Conflict })
    }

    fn delete_principal(&mut self, (name, expected): &(PrincipalName, Revision)) -> Result<bool, Fault> {
        let sql = "DELETE FROM rt_principal WHERE name = ?1 AND revision = ?2";
        if self.conn.prepare_cached(sql)?.execute((name.as_str(), number(*expected)))? == 0 {
            return Ok(false);
        }
        self.conn.prepare_cached("DELETE FROM rt_token WHERE principal = ?1")?.execute([name.as_str()])?;
        Ok(true)
    }

    fn put_token(&mut self, token: &Token) -> Result<PutToken, Fault> {
        let principal = token.principal.as_str();
        let known = "SELECT 1 FROM rt_principal WHERE name = ?1";
        if !self.conn.prepare_cached(known)?.exists([principal])? {
            return Ok(PutToken::NoPrincipal);
        }
        let of_principal = "SELECT document FROM rt_token WHERE principal = ?1 ORDER BY number";
        let others = documents::<Token>(self.conn, of_principal, [principal])?;
        if tokens::is_name_taken(&others, token) {
            return Ok(PutToken::NameTaken);
        }
        for old in others.iter().filter(|other| tokens::is_forgotten(other, token.created_at)) {
            self.conn.prepare_cached("DELETE FROM rt_token WHERE id = ?1")?.execute([old.id.as_str()])?;
        }
        let sql =
            "INSERT INTO rt_token (id, principal, document) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
        let row = (token.id.as_str(), principal, json(token)?);
        let written = self.conn.prepare_cached(sql)?.execute(row)?;
        Ok(if written == 1 { PutToken::Written } else { PutToken::IdTaken })
    }

    fn revoke_token(&mut self, (id, at): &(TokenId, Timestamp)) -> Result<Option<Token>, Fault> {
        let sql = "SELECT document FROM rt_token WHERE id = ?1";
        let found: Option<String> =
            self.conn.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0)).optional()?;
        let Some(mut token) = found.map(|text| document::<Token>(&text)).transpose()? else {
            return Ok(None);
        };
        token.revoked_at = token.revoked_at.or(Some(*at));
        let sql = "UPDATE rt_token SET document = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute((id.as_str(), json(&token)?))?;
        Ok(Some(token))
    }
}

impl Reader {
    fn principals(&self) -> Result<Vec<StoredPrincipal>, Fault> {
        let sql = "SELECT revision, document FROM rt_principal ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut principals = Vec::new();
        while let Some(row) = rows.next()? {
            let (revision, text): (i64, String) = (row.get(0)?, row.get(1)?);
            let principal = document(&text)?;
            principals.push(StoredPrincipal { principal, revision: Revision(revision.unsigned_abs()) });
        }
        Ok(principals)
    }

    fn tokens(&self) -> Result<Vec<Token>, Fault> {
        documents(&self.conn, "SELECT document FROM rt_token ORDER BY number", [])
    }
}

fn documents<T: DeserializeOwned>(
    conn: &rusqlite::Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<T>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(document(&row.get::<_, String>(0)?)?);
    }
    Ok(documents)
}

fn document<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    // What stands there may be a hash: it is not repeated.
    serde_json::from_str(text).map_err(|_| Fault::corrupt("a principal or token cannot be read"))
}
