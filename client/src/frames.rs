//! Output of containers without a terminal: eight bytes before each piece say which stream it is of and how long it is.

use std::io::{self, ErrorKind, Read, Write};

const STDERR: u8 = 2;
/// What the engine itself has to say, in the midst of the streams.
const SYSTEM: u8 = 3;

/// Copies pieces to where they belong until the end.
pub fn copy_frames(source: &mut impl Read, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 32 << 10];
    loop {
        let mut header = [0; 8];
        if !read_header(source, &mut header)? {
            return Ok(());
        }
        let [stream, _, _, _, a, b, c, d] = header;
        let mut left = u32::from_be_bytes([a, b, c, d]) as usize;
        if stream > SYSTEM {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("no stream has the number {stream}")));
        }
        while left > 0 {
            let most = left.min(piece.len());
            let count = source.read(&mut piece[..most])?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match stream {
                STDERR | SYSTEM => err.write_all(&piece[..count])?,
                _ => out.write_all(&piece[..count])?,
            }
            left -= count;
        }
        out.flush()?;
    }
}

/// False at the end.
fn read_header(source: &mut impl Read, header: &mut [u8; 8]) -> io::Result<bool> {
    let mut read = 0;
    while read < header.len() {
        match source.read(&mut header[read..]) {
            Ok(0) if read == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_where_they_belong() {
        let text = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01e\x01\0\0\0\0\0\0\x01c";
        let (mut out, mut err) = (Vec::new(), Vec::new());
        copy_frames(&mut &text[..], &mut out, &mut err).expect("whole");
        assert_eq!((out.as_slice(), err.as_slice()), (&b"abc"[..], &b"e"[..]));
        for at in [1, 9, 15] {
            assert!(copy_frames(&mut &text[..at], &mut Vec::new(), &mut Vec::new()).is_err(), "{at}");
        }
        assert!(copy_frames(&mut &b"hello out"[..], &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
