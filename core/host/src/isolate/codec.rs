//! How data of drivers is written on a line: fields in order, numbers little-endian, lists and texts with their length.
//! Both sides are of one installation, so there is no tolerance: what does not fit exactly is garbage.

use gantry_plugin_api::log::{LogRecord, Stream};
use gantry_plugin_api::options::Options;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What can be written.
pub trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

/// What can be read back; `None`: garbage.
pub trait Take: Sized {
    fn take(from: &mut &[u8]) -> Option<Self>;
}

/// All of the bytes as one value.
pub fn whole<T: Take>(mut bytes: &[u8]) -> Option<T> {
    let value = T::take(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

/// The bytes of a value.
pub fn bytes(value: &(impl Put + ?Sized)) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

pub fn split<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(head)
}

fn count(from: &mut &[u8]) -> Option<usize> {
    Some(u32::take(from)? as usize)
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u32).put(out);
    out.extend_from_slice(bytes);
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

macro_rules! numbers {
    ($($t:ty),+) => {$(
        impl Put for $t {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl Take for $t {
            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(<$t>::from_le_bytes(*split(from, size_of::<$t>())?.first_chunk()?))
            }
        }
    )+};
}
numbers!(u16, u32, u64, i64);

impl Put for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Take for u8 {
    fn take(from: &mut &[u8]) -> Option<Self> {
        split(from, 1).map(|bytes| bytes[0])
    }
}

impl Put for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Take for bool {
    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Put for char {
    fn put(&self, out: &mut Vec<u8>) {
        u32::from(*self).put(out);
    }
}

impl Take for char {
    fn take(from: &mut &[u8]) -> Option<Self> {
        char::from_u32(u32::take(from)?)
    }
}

impl Put for () {
    fn put(&self, _: &mut Vec<u8>) {}
}

impl Take for () {
    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl Put for str {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
}

impl Put for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Take for String {
    fn take(from: &mut &[u8]) -> Option<Self> {
        let count = count(from)?;
        String::from_utf8(split(from, count)?.to_vec()).ok()
    }
}

impl Put for Path {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_os_str().as_bytes(), out);
    }
}

impl Put for PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_path().put(out);
    }
}

impl Take for PathBuf {
    fn take(from: &mut &[u8]) -> Option<Self> {
        let count = count(from)?;
        Some(std::ffi::OsString::from_vec(split(from, count)?.to_vec()).into())
    }
}

impl<T: Put> Put for [T] {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        self.iter().for_each(|item| item.put(out));
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_slice().put(out);
    }
}

impl<T: Take> Take for Vec<T> {
    fn take(from: &mut &[u8]) -> Option<Self> {
        (0..count(from)?).map(|_| T::take(from)).collect()
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }
}

impl<T: Take> Take for Option<T> {
    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Put, const N: usize> Put for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.put(out));
    }
}

impl<T: Take + Copy + Default, const N: usize> Take for [T; N] {
    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut list = [T::default(); N];
        for item in &mut list {
            *item = T::take(from)?;
        }
        Some(list)
    }
}

macro_rules! tuples {
    ($(($($n:ident),+))+) => {$(
        #[allow(non_snake_case)]
        impl<$($n: Put),+> Put for ($($n,)+) {
            fn put(&self, out: &mut Vec<u8>) {
                let ($($n,)+) = self;
                $($n.put(out);)+
            }
        }
        impl<$($n: Take),+> Take for ($($n,)+) {
            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(($($n::take(from)?,)+))
            }
        }
    )+};
}
tuples! { (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) }

impl Put for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            IpAddr::V4(address) => (4u8, address.octets()).put(out),
            IpAddr::V6(address) => (6u8, address.octets()).put(out),
        }
    }
}

impl Take for IpAddr {
    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::take(from)?).into()),
            6 => Some(Ipv6Addr::from(<[u8; 16]>::take(from)?).into()),
            _ => None,
        }
    }
}

impl Put for Options {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().collect::<Vec<_>>().put(out);
    }
}

impl Take for Options {
    fn take(from: &mut &[u8]) -> Option<Self> {
        Vec::<(String, String)>::take(from).map(Options::from_pairs)
    }
}

impl Put for LogRecord<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.timestamp_ns, self.sequence, self.partial_id).put(out);
        (self.partial_ordinal, self.stream.0, self.flags, self.reserved).put(out);
        put_bytes(self.bytes(), out);
    }
}

/// Records whose bytes stay where they are.
pub fn records<'a>(from: &mut &'a [u8]) -> Option<Vec<LogRecord<'a>>> {
    (0..count(from)?).map(|_| record(from)).collect()
}

fn record<'a>(from: &mut &'a [u8]) -> Option<LogRecord<'a>> {
    let (timestamp_ns, sequence, partial_id) = Take::take(from)?;
    let (partial_ordinal, stream, flags, reserved) = Take::take(from)?;
    let count = count(from)?;
    let line = split(from, count)?.into();
    Some(LogRecord {
        timestamp_ns,
        sequence,
        partial_id,
        line,
        partial_ordinal,
        stream: Stream(stream),
        flags,
        reserved,
    })
}

/// Structs by their fields, and numbers in a wrapper.
macro_rules! wire {
    ($($t:ident { $($f:ident),+ $(,)? })+) => {$(
        impl Put for $t {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$f.put(out);)+
            }
        }
        impl Take for $t {
            fn take(from: &mut &[u8]) -> Option<Self> {
                Some($t { $($f: Take::take(from)?),+ })
            }
        }
    )+};
    ($($t:ident),+) => {$(
        impl Put for $t {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
        }
        impl Take for $t {
            fn take(from: &mut &[u8]) -> Option<Self> {
                Take::take(from).map($t)
            }
        }
    )+};
}
pub(super) use wire;

#[cfg(test)]
mod tests {
    use super::*;

    type Odd = (Vec<(String, Option<u64>)>, bool, [u8; 3], PathBuf, IpAddr);

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let odd: Odd = (
            vec![("ä".into(), Some(7)), (String::new(), None)],
            true,
            [1, 2, 3],
            PathBuf::from(std::ffi::OsString::from_vec(b"/\xff".to_vec())),
            "fd00::1".parse().expect("an address"),
        );
        let written = bytes(&odd);
        assert_eq!(whole::<Odd>(&written), Some(odd));
        for length in 0..written.len() {
            assert_eq!(whole::<Odd>(&written[..length]), None, "cut at {length}");
        }
        assert_eq!(whole::<Odd>(&[written, vec![0]].concat()), None);
        assert_eq!(whole::<Vec<String>>(&[0xff; 12]), None, "a length that nothing backs");
    }

    #[test]
    fn records_borrow_their_bytes() {
        let lines: [&[u8]; 2] = [b"one\xff", b""];
        let batch: Vec<_> = lines.iter().map(|line| LogRecord::line(5, 6, Stream::STDERR, line)).collect();
        let written = bytes(&batch);
        let read = records(&mut written.as_slice()).expect("sound");
        assert_eq!(
            read.iter().map(|r| (r.sequence, r.stream, r.bytes())).collect::<Vec<_>>(),
            [(6, Stream::STDERR, lines[0]), (6, Stream::STDERR, lines[1])]
        );
        assert!(records(&mut &written[..written.len() - 1]).is_none_or(|read| read.len() < 2));
    }
}
