//! Packets of a session, between the pump and whoever follows a container's streams: one packet is a 16-byte header and
//! up to 32 KiB of bytes. Each carries its place in the stream, so that a client that lives through a restart of the
//! pump can tell what it has seen. Unknown kinds are skipped.

/// Bytes before the data.
pub const HEADER: usize = 16;
/// The most data in one packet.
pub const MOST_DATA: usize = 32 * 1024;
/// How much standard input a client may send ahead of the pump's acknowledgement.
pub const STDIN_WINDOW: u64 = 64 * 1024;
const MAGIC: u8 = b'G';
const MAJOR: u8 = 1;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(pub u8);

impl Kind {
    /// Output; `position` is that of its first byte.
    pub const DATA: Kind = Kind(1);
    /// The container has ended; the data is the JSON of an `Exit`.
    pub const EXIT: Kind = Kind(2);
    /// `position` bytes of this connection's standard input are passed on.
    pub const TAKEN: Kind = Kind(3);
    /// Standard input.
    pub const STDIN: Kind = Kind(16);
    /// No more standard input.
    pub const STDIN_END: Kind = Kind(17);
    /// `position` is rows times 65,536 plus columns.
    pub const RESIZE: Kind = Kind(18);
    /// `position` is a signal's number.
    pub const SIGNAL: Kind = Kind(19);
}

/// A packet's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub kind: Kind,
    /// 0 stdout, 1 stderr.
    pub stream: u8,
    pub position: u64,
}

impl Header {
    /// As it travels.
    pub fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&[MAGIC, MAJOR, self.kind.0, self.stream]);
        bytes[8..].copy_from_slice(&self.position.to_le_bytes());
        bytes
    }
}

/// Takes a packet apart; `None` when it is of another major version or cut off.
pub fn decode(packet: &[u8]) -> Option<(Header, &[u8])> {
    let (header, data) = packet.split_first_chunk::<HEADER>()?;
    let (fixed, position) = header.split_last_chunk::<8>()?;
    if fixed[0] != MAGIC || fixed[1] != MAJOR {
        return None;
    }
    let header = Header { kind: Kind(fixed[2]), stream: fixed[3], position: u64::from_le_bytes(*position) };
    Some((header, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_strangers_do_not() {
        let header = Header { kind: Kind::DATA, stream: 1, position: u64::MAX - 3 };
        let mut packet = header.encode().to_vec();
        packet.extend_from_slice(b"abc");
        assert_eq!(decode(&packet), Some((header, b"abc".as_slice())));
        assert_eq!(decode(&packet[..9]), None);
        packet[1] = 9;
        assert_eq!(decode(&packet), None);
    }
}
