//! Servers elsewhere, for drivers that send records to them: addresses, and streams that end every step at a deadline and
//! lose nothing that the kernel knows not to have arrived.

mod line;
mod parcel;
mod peer;
mod progress;

pub use line::{Dial, Line, Patience, Socket, Trouble};
pub use parcel::Parcel;
pub use peer::{Peer, decoded, first_of};
pub use progress::Progress;
