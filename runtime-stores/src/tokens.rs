//! What both stores know of a principal's tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime_core::access::Token;

/// How long a token that is no longer good can still be listed.
const LISTED_FOR: Duration = Duration::from_hours(90 * 24);

/// Whether one of the principal's tokens that is still good has the new one's name.
pub(crate) fn is_name_taken(others: &[Token], new: &Token) -> bool {
    others.iter().any(|other| other.name == new.name && ended_at(other, new.created_at).is_none())
}

/// Whether it has not been good for so long that it need not be listed any more.
pub(crate) fn is_forgotten(token: &Token, now: Timestamp) -> bool {
    let listed_for = SignedDuration::try_from(LISTED_FOR).unwrap_or(SignedDuration::MAX);
    ended_at(token, now).is_some_and(|end| now.duration_since(end) > listed_for)
}

/// When it stopped being good, if it did.
fn ended_at(token: &Token, now: Timestamp) -> Option<Timestamp> {
    token.revoked_at.or(token.expires_at.filter(|end| *end <= now))
}
