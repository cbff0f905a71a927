//! Who may do what: principals, the grants they have, and the tokens by which they are known. Pure: nobody is asked, and time is handed in.
//!
//! ```text
//! token text ─▶ token ─▶ principal ─▶ grants: operator:apps/shop ─▶ does one cover the target in this role?
//! ```

mod grant;
mod principal;
mod token;
mod ways_in;

pub use grant::{Grant, InvalidGrant, ResourcePrefix, Role, Target};
pub use principal::{Principal, PrincipalKind};
pub use token::{Token, TokenHash, TokenId, TokenRefused, TokenText};
pub use ways_in::has_way_in;
