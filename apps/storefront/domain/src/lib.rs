//! crate
mod money;
mod period;
mod recommendations;
mod reservations;
mod settlements;
mod truth;
mod zone;
pub use crate::money::*;
pub use crate::period::*;
pub use crate::recommendations::*;
pub use crate::reservations::*;
pub use crate::settlements::*;
pub use crate::truth::*;
pub use crate::zone::*;
