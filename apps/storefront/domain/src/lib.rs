//! crate
mod memberships;
mod money;
mod period;
mod recommendations;
mod reservations;
mod rollups;
mod settlements;
mod truth;
mod zone;
pub use crate::memberships::*;
pub use crate::money::*;
pub use crate::period::*;
pub use crate::recommendations::*;
pub use crate::reservations::*;
pub use crate::rollups::*;
pub use crate::settlements::*;
pub use crate::truth::*;
pub use crate::zone::*;
