//! The macvlan network driver: containers with hardware addresses of their own on a network of the host's.
//!
//! Each mechanism has its module: the device below ([`parent`], which may be made by us: a VLAN sub-interface, or a
//! segment of its own for a network without a parent), a container's interface ([`endpoint`]), and the way by which host
//! and containers reach each other ([`access`]), which the kernel alone does not offer.

mod access;
mod driver;
mod endpoint;
mod error;
mod fault;
mod options;
mod parent;
#[cfg(test)]
mod tests;

pub use driver::Macvlan;
