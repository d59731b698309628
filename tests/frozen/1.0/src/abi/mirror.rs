//! Author-side data and its `#[repr(C)]` mirror. Both directions copy: only rare calls carry such data; the hot path
//! (log records) crosses as it is.

use abi_stable::StableAbi;
use abi_stable::std_types::{RNone, ROption, RSome, RString, RVec, Tuple2};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A type with a mirror.
pub trait Mirror: Sized {
    /// The mirror.
    type Abi: StableAbi;
    /// Copies into the mirror.
    fn to_abi(&self) -> Self::Abi;
    /// Copies out of the mirror.
    fn from_abi(abi: &Self::Abi) -> Self;
}

macro_rules! same {
    ($($t:ty),+) => {$(
        impl Mirror for $t {
            type Abi = $t;
            fn to_abi(&self) -> $t { *self }
            fn from_abi(abi: &$t) -> $t { *abi }
        }
    )+};
}
same!((), bool, u8, u16, u32, u64, [u8; 6], [u64; 4]);
same!(crate::log::ResumeToken, crate::log::ReadState);

/// Newtypes over numbers cross as the number.
macro_rules! number {
    ($($t:ident = $n:ty),+) => {$(
        impl $crate::abi::mirror::Mirror for $t {
            type Abi = $n;
            fn to_abi(&self) -> $n { self.0 }
            fn from_abi(abi: &$n) -> $t { $t(*abi) }
        }
    )+};
}
pub(crate) use number;

/// Declares the mirror of a struct with the same field names. `+ ext` adds room for data that later versions send.
macro_rules! mirror {
    ($(struct $abi:ident for $t:ident $(+ $ext:ident)? { $($f:ident: $ft:ty),+ $(,)? })+) => {$(
        #[repr(C)]
        #[derive(abi_stable::StableAbi)]
        pub struct $abi {
            $(pub $f: <$ft as $crate::abi::mirror::Mirror>::Abi,)+
            $(pub $ext: abi_stable::std_types::RVec<$crate::abi::mirror::Pair>,)?
        }
        impl $crate::abi::mirror::Mirror for $t {
            type Abi = $abi;
            fn to_abi(&self) -> $abi {
                $abi { $($f: self.$f.to_abi(),)+ $($ext: abi_stable::std_types::RVec::new(),)? }
            }
            fn from_abi(abi: &$abi) -> $t {
                $t { $($f: $crate::abi::mirror::Mirror::from_abi(&abi.$f),)+ }
            }
        }
    )+};
}
pub(crate) use mirror;

/// Structs of booleans cross as bits, numbered in the order given: append only.
macro_rules! bits {
    ($t:ident, $($f:ident),+) => {
        fn to_bits(caps: &$t) -> u64 {
            [$(caps.$f),+].iter().enumerate().map(|(bit, set)| u64::from(*set) << bit).sum()
        }
        fn from_bits(bits: u64) -> $t {
            let mut caps = $t::default();
            for (bit, field) in [$(&mut caps.$f),+].into_iter().enumerate() {
                *field = bits >> bit & 1 == 1;
            }
            caps
        }
    };
}
pub(crate) use bits;

/// A key and a value.
pub type Pair = Tuple2<RString, RString>;

impl Mirror for String {
    type Abi = RString;
    fn to_abi(&self) -> RString {
        RString::from(self.as_str())
    }
    fn from_abi(abi: &RString) -> String {
        abi.as_str().to_owned()
    }
}

impl Mirror for PathBuf {
    type Abi = RVec<u8>;
    fn to_abi(&self) -> RVec<u8> {
        RVec::from(self.as_os_str().as_bytes().to_vec())
    }
    fn from_abi(abi: &RVec<u8>) -> PathBuf {
        std::ffi::OsString::from_vec(abi.to_vec()).into()
    }
}

impl Mirror for char {
    type Abi = u32;
    fn to_abi(&self) -> u32 {
        u32::from(*self)
    }
    fn from_abi(abi: &u32) -> char {
        char::from_u32(*abi).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type Abi = RVec<T::Abi>;
    fn to_abi(&self) -> Self::Abi {
        self.iter().map(T::to_abi).collect::<Vec<_>>().into()
    }
    fn from_abi(abi: &Self::Abi) -> Self {
        abi.iter().map(T::from_abi).collect()
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type Abi = ROption<T::Abi>;
    fn to_abi(&self) -> Self::Abi {
        match self {
            Some(value) => RSome(value.to_abi()),
            None => RNone,
        }
    }
    fn from_abi(abi: &Self::Abi) -> Self {
        abi.as_ref().map(T::from_abi).into_option()
    }
}

impl<A: Mirror, B: Mirror> Mirror for (A, B) {
    type Abi = Tuple2<A::Abi, B::Abi>;
    fn to_abi(&self) -> Self::Abi {
        Tuple2(self.0.to_abi(), self.1.to_abi())
    }
    fn from_abi(abi: &Self::Abi) -> Self {
        (A::from_abi(&abi.0), B::from_abi(&abi.1))
    }
}

/// An IP address: 4 or 16 bytes of `bytes` count.
#[repr(C)]
#[derive(StableAbi)]
pub struct IpAbi {
    pub len: u8,
    pub bytes: [u8; 16],
}

impl Mirror for IpAddr {
    type Abi = IpAbi;
    fn to_abi(&self) -> IpAbi {
        match self {
            IpAddr::V6(v6) => IpAbi { len: 16, bytes: v6.octets() },
            IpAddr::V4(v4) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&v4.octets());
                IpAbi { len: 4, bytes }
            }
        }
    }
    fn from_abi(abi: &IpAbi) -> IpAddr {
        let [a, b, c, d, ..] = abi.bytes;
        if abi.len == 4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(abi.bytes).into() }
    }
}
