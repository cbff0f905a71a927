//! Bearer tokens: `rt_<id>_<secret>`. The id finds the token; of the secret only a hash is kept.
//!
//! The secret is 256 bits of chance, so there is nothing to guess from a list of likely ones: a fast hash keeps it as well as a slow one,
//! and costs an attacker's flood nothing to refuse.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::etag::Etag;
use crate::name::{PrincipalName, TokenName};

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Separates this hash from every other use of the same bytes.
const HASH_CONTEXT: &str = "runtime 2026-11 secret of an admin bearer token";

/// What a token is found by: 16 hexadecimal digits. No secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Arc<str>);

impl TokenId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no token, or no id of one. What it was is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It does not look like one.
    #[error("the token is malformed")]
    Malformed,
    /// It is not known: it was never made, or its principal is gone.
    #[error("the token is not known")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Somebody took it back.
    #[error("the token was revoked")]
    Revoked,
    /// Its principal is disabled.
    #[error("the token's principal is disabled")]
    Disabled,
}

impl FromStr for TokenId {
    type Err = TokenRefused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_hex(text, ID_BYTES) { Ok(Self(text.into())) } else { Err(TokenRefused::Malformed) }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for TokenId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A whole token, secret and all. It does not print itself; [`TokenText::expose`] is for the one who is to have it.
#[derive(Clone)]
pub struct TokenText {
    text: Box<str>,
    id: TokenId,
}

impl TokenText {
    /// How many bytes of chance a token is made of.
    pub const CHANCE: usize = ID_BYTES + SECRET_BYTES;
    /// What every token begins with.
    pub const PREFIX: &str = "rt_";
    /// Bytes of a token's text.
    pub const LENGTH: usize = Self::PREFIX.len() + 2 * Self::CHANCE + 1;

    /// A token of these bytes, which nobody must be able to guess.
    pub fn of_chance(chance: [u8; Self::CHANCE]) -> Self {
        let (id, secret) = chance.split_at(ID_BYTES);
        let id = TokenId(hex(id).into());
        Self { text: format!("{}{id}_{}", Self::PREFIX, hex(secret)).into(), id }
    }

    /// A text in which every token keeps its id and loses its secret: for what repeats what somebody typed.
    pub fn redacted(text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(Self::PREFIX) {
            let (before, from) = rest.split_at(at);
            shown.push_str(before);
            let token = from.get(..Self::LENGTH).and_then(|token| token.parse::<Self>().ok());
            let (said, taken) = match &token {
                Some(token) => (format!("{token:?}"), Self::LENGTH),
                None => (Self::PREFIX.to_owned(), Self::PREFIX.len()),
            };
            shown.push_str(&said);
            rest = &from[taken..];
        }
        shown + rest
    }

    /// What it is found by.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The hash to keep.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.text)
    }

    /// The text, for the one who is to have it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl FromStr for TokenText {
    type Err = TokenRefused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or(TokenRefused::Malformed)?;
        if !is_hex(secret, SECRET_BYTES) {
            return Err(TokenRefused::Malformed);
        }
        Ok(Self { text: text.into(), id: id.parse()? })
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}_…", Self::PREFIX, self.id)
    }
}

/// What is kept of a secret. Two of them are compared in constant time: `blake3::Hash` knows no other comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(blake3::Hash);

impl TokenHash {
    /// The hash of a secret text: a token, or whatever else is as hard to guess.
    pub fn of(secret: &str) -> Self {
        Self(blake3::derive_key(HASH_CONTEXT, secret.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it is found by.
    pub id: TokenId,
    /// Whose it is.
    pub principal: PrincipalName,
    /// What it is for, in its principal's words.
    pub name: TokenName,
    /// What is kept of its secret.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not taken any more; `None` never ends.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether this text is the token, and the token is still good. The secret is looked at first: whoever does not have it learns
    /// nothing about the token.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn opened_by(&self, text: &TokenText, now: Timestamp) -> Result<(), TokenRefused> {
        if self.hash != text.hash() {
            return Err(TokenRefused::Unknown);
        }
        self.is_good(now)
    }

    /// What operators can change of it: whether it was taken back. That its time ends was said when it was made.
    pub fn etag(&self) -> Etag {
        Etag::of_name(if self.revoked_at.is_some() { "revoked" } else { "good" })
    }

    /// Whether it is still taken, from whoever has it.
    ///
    /// # Errors
    /// [`TokenRefused::Revoked`] and [`TokenRefused::Expired`].
    pub fn is_good(&self, now: Timestamp) -> Result<(), TokenRefused> {
        if self.revoked_at.is_some() {
            return Err(TokenRefused::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(TokenRefused::Expired);
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn token(text: &TokenText) -> Token {
        Token {
            id: text.id().clone(),
            principal: "deploy".parse().expect("a name"),
            name: "ci".parse().expect("a name"),
            hash: text.hash(),
            created_at: at(0),
            expires_at: Some(at(10)),
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_does_not_print_its_secret() {
        let made = TokenText::of_chance([0xab; TokenText::CHANCE]);
        let text = made.expose().to_owned();
        assert_eq!(text, format!("rt_{}_{}", "ab".repeat(8), "ab".repeat(32)));
        let read: TokenText = text.parse().expect("a token");
        assert_eq!((read.id(), read.hash()), (made.id(), made.hash()));
        let kept = token(&made);
        for shown in [format!("{made:?}"), format!("{kept:?}"), serde_json::to_string(&kept).unwrap()] {
            assert!(!shown.contains(&"ab".repeat(32)), "{shown}");
        }
        let back: Token = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert_eq!(back, kept);
    }

    #[test]
    fn a_text_loses_the_secrets_of_its_tokens_and_nothing_else() {
        let token = TokenText::of_chance([0xab; TokenText::CHANCE]);
        let text = format!("rt_ 'rt_x' {0}, {0}ü rt_", token.expose());
        let shown = format!("rt_ 'rt_x' {0}, {0}ü rt_", format_args!("rt_{}_…", token.id()));
        assert_eq!(TokenText::redacted(&text), shown);
        assert_eq!(TokenText::redacted("no token"), "no token");
    }

    #[test]
    fn what_does_not_look_like_a_token_is_refused() {
        let (id, secret) = ("ab".repeat(8), "ab".repeat(32));
        for bad in [
            String::new(),
            "rt_".into(),
            format!("{id}_{secret}"),
            format!("rt_{id}"),
            format!("rt_{id}_"),
            format!("rt_{id}_{secret}0"),
            format!("rt_{id}_{}", secret.to_uppercase()),
            format!("rt_{id}0_{secret}"),
            format!(" rt_{id}_{secret}"),
            format!("rt_{id}_{secret}\n"),
        ] {
            assert_eq!(bad.parse::<TokenText>().unwrap_err(), TokenRefused::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_taken_until_it_expires_or_is_revoked_and_by_its_secret_alone() {
        let text = TokenText::of_chance([1; TokenText::CHANCE]);
        let token = token(&text);
        assert_eq!(token.opened_by(&text, at(9)), Ok(()));
        assert_eq!(token.opened_by(&text, at(10)), Err(TokenRefused::Expired));
        let revoked = Token { revoked_at: Some(at(1)), ..token.clone() };
        assert_eq!(revoked.opened_by(&text, at(2)), Err(TokenRefused::Revoked));
        assert_ne!(revoked.etag(), token.etag());
        let mut chance = [1; TokenText::CHANCE];
        chance[TokenText::CHANCE - 1] = 2;
        let other = TokenText::of_chance(chance);
        assert_eq!(other.id(), text.id());
        assert_eq!(
            revoked.opened_by(&other, at(2)),
            Err(TokenRefused::Unknown),
            "and says no more than that"
        );
    }
}
