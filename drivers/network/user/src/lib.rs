//! The network driver `user`: containers of ordinary users, who may not change the machine's network.
//!
//! A program of the user's, pasta or slirp4netns, holds an interface in the container's namespace and does on the host what
//! any program may do: it opens connections, and listens for published ports. There is one such process for each endpoint,
//! noted before it is started, ended with the endpoint. The programs are not ours; what they can do is asked of none but
//! them.

mod driver;
mod error;
mod forward;
mod inside;
mod notes;
mod options;
mod pasta;
mod process;
mod slirp;
mod work;

pub use driver::UserNetwork;
