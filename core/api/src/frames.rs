//! The eight bytes in front of each piece of output of a container without a terminal.

/// stdin, stdout, stderr, as they are numbered on the wire.
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;

/// The header of a piece.
pub fn header(stream: u8, length: usize) -> [u8; 8] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [stream, 0, 0, 0, a, b, c, d]
}

/// The content type of a stream with these headers, or of a terminal's bytes.
pub fn content_type(tty: bool, minor: u16) -> &'static str {
    if tty || minor < 42 { "application/vnd.docker.raw-stream" } else { "application/vnd.docker.multiplexed-stream" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(header(STDERR, 0x0102), [2, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(content_type(false, 41), content_type(true, 48));
        assert_eq!(content_type(false, 42), "application/vnd.docker.multiplexed-stream");
    }
}
