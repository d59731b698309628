//! The server's life: options, listeners, clients, signals.

use crate::app::{App, THREADS};
use crate::client::{Client, on_behalf};
use crate::door;
use crate::listen::{self, Listener};
use crate::options;
use crate::stream::Stream;
use crate::tls;
use gantry_engine::request::Settings;
use gantry_engine::rootless;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Clients at the same time; more of them wait to be accepted.
const CLIENTS: usize = 1024;
/// Header of a request, in bytes and in time.
const MOST_HEADER: usize = 64 << 10;
const HEADER_TIME: Duration = Duration::from_secs(30);
/// Threads with nothing to do go after this time.
const IDLE: Duration = Duration::from_secs(2);

/// Serves until a signal ends it.
pub fn main(words: impl Iterator<Item = String>) -> Result<(), String> {
    let options = options::parse(words)?;
    let settings = Settings::gather(&options.given).map_err(|faults| faults.to_string())?;
    gantry_engine::tell_warnings(|text| eprintln!("gantry: {text}"));
    let default = socket(&settings);
    // While this is the only thread.
    rootless::come_to_delegated_cgroups();
    rootless::enter(&settings).map_err(|error| error.to_string())?;
    raise_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .thread_keep_alive(IDLE)
        .build()
        .map_err(|error| format!("cannot begin: {error}"))?;
    let app = Arc::new(App::new(options.given.clone(), settings, options.read_only));
    let served = runtime.block_on(async {
        let listeners = listen::open(&options, &default)?;
        ready();
        run(app, listeners).await
    });
    // Calls that block are left to themselves: a driver that hangs must not keep the server.
    runtime.shutdown_background();
    served
}

/// Where the server listens when nothing else was said: an ordinary user's beside the directory of his state, where other
/// programs look for sockets.
fn socket(settings: &Settings) -> PathBuf {
    let user = rootless::is_needed().then(|| std::env::var_os("XDG_RUNTIME_DIR")).flatten().map(PathBuf::from);
    user.filter(|dir| dir.is_absolute()).unwrap_or_else(|| settings.state.clone()).join("gantry.sock")
}

/// Every client and every stream takes a few descriptors.
fn raise_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Tells a manager that clients may come.
fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = (|| {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)
    })();
    if let Err(error) = sent {
        eprintln!("gantry: cannot tell that we are ready: {error}");
    }
}

async fn run(app: Arc<App>, listeners: Vec<Listener>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot catch signals: {error}");
    let mut ends = [signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?];
    let mut reload = signal(SignalKind::hangup()).map_err(failed)?;
    let clients = Arc::new(Semaphore::new(CLIENTS));
    tokio::spawn(Arc::clone(&app).rest());
    let doors: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(Arc::clone(&app), listener, Arc::clone(&clients))))
        .collect();
    let [terminate, interrupt] = &mut ends;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => match app.reload() {
                Ok(()) => eprintln!("gantry: configuration read again"),
                Err(faults) => eprintln!("gantry: the configuration stays as it was: {faults}"),
            },
        }
    }
    for door in doors {
        door.abort();
        let _ = door.await;
    }
    Ok(())
}

async fn accept(app: Arc<App>, listener: Listener, clients: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                let (app, tls) = (Arc::clone(&app), listener.tls());
                tokio::spawn(async move {
                    client(app, stream, tls).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("gantry: cannot accept a client: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn client(app: Arc<App>, stream: Stream, tls: Option<TlsAcceptor>) {
    let stream = match (stream, tls) {
        (Stream::Tcp(tcp), Some(acceptor)) => match tls::greet(&acceptor, tcp).await {
            Some(stream) => Stream::Tls(Box::new(stream)),
            None => return,
        },
        (stream, _) => stream,
    };
    let service = service_fn(move |request| door::answer(Arc::clone(&app), request));
    let client = Client::of(&stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MOST_HEADER)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = on_behalf(client, connection).await {
        tracing::debug!("a client went: {error}");
    }
}
