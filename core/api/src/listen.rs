//! Where clients come in: sockets of our own, and those that systemd passes.

use crate::options::{Host, Options};
use crate::stream::Stream;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use nix::unistd::{Group, chown};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// One open door.
pub enum Listener {
    Unix(UnixListener, #[expect(dead_code, reason = "its drop takes the file away")] Option<Left>),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// A socket's file, which goes with the server unless another has put its own there.
pub struct Left {
    path: PathBuf,
    inode: u64,
}

impl Drop for Left {
    fn drop(&mut self) {
        if inode(&self.path) == Some(self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

impl Listener {
    /// The next client. Errors of single clients are passed over.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Listener::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// How the client's side is proved, for TCP.
    pub fn tls(&self) -> Option<TlsAcceptor> {
        match self {
            Listener::Unix(..) => None,
            Listener::Tcp(_, tls) => tls.clone(),
        }
    }
}

/// Opens all.
pub fn open(options: &Options, default: &Path) -> Result<Vec<Listener>, String> {
    let tls = crate::tls::acceptor(options)?;
    let hosts = match options.hosts.is_empty() {
        true => vec![Host::Unix(default.to_owned())],
        false => options.hosts.clone(),
    };
    let mut listeners = Vec::new();
    for host in hosts {
        match host {
            Host::Unix(path) => listeners.push(unix(&path, options)?),
            Host::Tcp(address) => listeners.push(tcp(&address, options, tls.clone())?),
            Host::Passed => listeners.extend(passed(options, tls.as_ref())?),
        }
    }
    Ok(listeners)
}

fn unix(path: &Path, options: &Options) -> Result<Listener, String> {
    let failed = |act: &str, error: &dyn std::fmt::Display| format!("cannot {act} {}: {error}", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| failed("make the directory of", &error))?;
    }
    clear(path)?;
    // Nobody gets in between its making and the change of its mode: the directory's owner alone could, and the bind is
    // done under a name of its own.
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft).map_err(|error| failed("listen at", &error))?;
    let group = options.group.as_deref().map(group_id).transpose()?;
    chown(&draft, None, group).map_err(|error| failed("give the group to", &error))?;
    let mode = options.mode.unwrap_or(if group.is_some() { 0o660 } else { 0o600 });
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).map_err(|error| failed("set the mode of", &error))?;
    fs::rename(&draft, path).map_err(|error| failed("listen at", &error))?;
    let left = inode(path).map(|inode| Left { path: path.to_owned(), inode });
    Ok(Listener::Unix(listener, left))
}

/// Takes a dead server's socket away; a live one's, and whatever is no socket, stays.
fn clear(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(format!("{} exists and is no socket", path.display()));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(format!("another program listens at {}", path.display()));
    }
    Ok(())
}

fn group_id(name: &str) -> Result<nix::unistd::Gid, String> {
    if let Ok(number) = name.parse::<u32>() {
        return Ok(nix::unistd::Gid::from_raw(number));
    }
    let found = Group::from_name(name).map_err(|error| format!("cannot look up group {name}: {error}"))?;
    found.map(|group| group.gid).ok_or_else(|| format!("there is no group {name}"))
}

fn tcp(address: &str, options: &Options, tls: Option<TlsAcceptor>) -> Result<Listener, String> {
    check_tcp(options, tls.as_ref())?;
    let failed = |error: io::Error| format!("cannot listen at {address}: {error}");
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Listener::Tcp(TcpListener::from_std(listener).map_err(failed)?, tls))
}

/// Whoever reaches the API is root: TCP is not opened to everybody by mistake.
fn check_tcp(options: &Options, tls: Option<&TlsAcceptor>) -> Result<(), String> {
    if tls.is_some() || options.insecure {
        return Ok(());
    }
    Err("TCP needs --tlscacert, --tlscert and --tlskey: whoever reaches the API is root on this host (--insecure-tcp \
         opens it to everybody all the same)"
        .to_owned())
}

/// The sockets of `LISTEN_FDS`.
fn passed(options: &Options, tls: Option<&TlsAcceptor>) -> Result<Vec<Listener>, String> {
    const FIRST: i32 = 3;
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    if number("LISTEN_PID").is_some_and(|pid| pid != std::process::id() as i32) {
        return Err("the passed sockets are meant for another process".to_owned());
    }
    let count = number("LISTEN_FDS").filter(|count| (1..=64).contains(count));
    let count = count.ok_or("fd:// needs sockets that systemd passes (LISTEN_FDS)")?;
    (FIRST..FIRST + count).map(|fd| adopt(fd, options, tls)).collect()
}

fn adopt(number: i32, options: &Options, tls: Option<&TlsAcceptor>) -> Result<Listener, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot use the passed socket {number}: {error}");
    let fd = gantry_sys::process::duplicate_number(number).map_err(|error| failed(&error))?;
    let address: SockaddrStorage = getsockname(fd.as_raw_fd()).map_err(|error| failed(&error))?;
    match address.family() {
        Some(AddressFamily::Unix) => {
            let listener = std::os::unix::net::UnixListener::from(fd);
            listener.set_nonblocking(true).map_err(|error| failed(&error))?;
            Ok(Listener::Unix(UnixListener::from_std(listener).map_err(|error| failed(&error))?, None))
        }
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            check_tcp(options, tls)?;
            let listener = std::net::TcpListener::from(fd);
            listener.set_nonblocking(true).map_err(|error| failed(&error))?;
            Ok(Listener::Tcp(TcpListener::from_std(listener).map_err(|error| failed(&error))?, tls.cloned()))
        }
        _ => Err(failed(&"it is neither a unix nor a TCP socket")),
    }
}
