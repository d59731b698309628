//! Requests to journald: it is asked to write down what it has received, so that what was written before can be read.

use crate::places::Places;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A varlink call: JSON that ends with a zero byte, as does the answer.
const SYNCHRONIZE: &[u8] = b"{\"method\":\"io.systemd.Journal.Synchronize\",\"parameters\":{}}\0";

/// Waits until journald has taken in all messages sent so far, or `patience` is over. Only the superuser is heard, and an
/// old journald does not know the request; then readers see the messages a little later.
pub fn synchronize(places: &Places, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let mut stream = UnixStream::connect(places.control())?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(SYNCHRONIZE)?;
    let mut answer = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        let length = stream.read(&mut answer)?;
        if length == 0 || answer[..length].contains(&0) {
            return Ok(());
        }
    }
}
