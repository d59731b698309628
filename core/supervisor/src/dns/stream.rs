//! Messages on a stream: each behind its length. For those who ask by TCP, and for servers that are asked so.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// A stream that never waits.
pub struct Framed {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The other side says nothing more.
    pub ended: bool,
}

impl Framed {
    /// Of a stream that does not block.
    pub fn new(stream: TcpStream) -> Framed {
        Framed { stream, input: Vec::new(), output: Vec::new(), ended: false }
    }

    /// The stream itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// True when something waits to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends a message, at once or when there is room.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Ok(length) = u16::try_from(message.len()) else { return Ok(()) };
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(message);
        self.flush()
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The messages that are complete by now.
    pub fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut buffer = [0; 4096];
        while self.input.len() < super::message::LONGEST + 2 {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::iter::from_fn(|| take(&mut self.input)).collect())
    }
}

fn take(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*input.first_chunk::<2>()?));
    if input.len() < length + 2 {
        return None;
    }
    let message = input[2..length + 2].to_vec();
    input.drain(..length + 2);
    Some(message)
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::NotConnected)
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn messages_come_in_pieces() {
        let mut input = vec![0, 3, 1, 2];
        assert_eq!(take(&mut input), None);
        input.extend_from_slice(&[3, 0, 0, 0]);
        assert_eq!(take(&mut input), Some(vec![1, 2, 3]));
        assert_eq!(take(&mut input), Some(vec![]));
        assert_eq!((take(&mut input), input), (None, vec![0]));
    }
}
