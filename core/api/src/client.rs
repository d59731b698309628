//! Who asks: events and `why` name the client of a request, not the server that did what it was asked for.

use crate::certificate;
use crate::stream::Stream;
use gantry_engine::events;
use gantry_engine::model::event::Doer;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

tokio::task_local! {
    static CLIENT: Arc<Client>;
}

/// The other end of a connection.
pub struct Client {
    peer: Peer,
    /// Looked up for the first request that does something.
    doer: OnceLock<Doer>,
}

enum Peer {
    Process {
        pid: i32,
        uid: u32,
    },
    Address(SocketAddr),
    /// The name in its certificate.
    Named(String, SocketAddr),
    Unknown,
}

impl Client {
    /// The client of a connection.
    pub fn of(stream: &Stream) -> Client {
        let peer = match stream {
            Stream::Unix(unix) => unix
                .peer_cred()
                .map_or(Peer::Unknown, |peer| Peer::Process { pid: peer.pid().unwrap_or(0), uid: peer.uid() }),
            Stream::Tcp(tcp) => tcp.peer_addr().map_or(Peer::Unknown, Peer::Address),
            Stream::Tls(tls) => by_certificate(tls),
        };
        Client { peer, doer: OnceLock::new() }
    }

    fn doer(&self) -> Doer {
        let named = |command: String| Doer { command, ..Doer::default() };
        let find = || match self.peer {
            Peer::Process { pid, uid } => events::client(pid, uid),
            Peer::Address(address) => named(format!("a client at {address}")),
            Peer::Named(ref name, address) => named(format!("client {name} at {address}")),
            Peer::Unknown => named("a client".to_owned()),
        };
        self.doer.get_or_init(find).clone()
    }
}

fn by_certificate(tls: &TlsStream<TcpStream>) -> Peer {
    let (tcp, session) = tls.get_ref();
    let Ok(address) = tcp.peer_addr() else { return Peer::Unknown };
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    shown.and_then(|der| certificate::name(der)).map_or(Peer::Address(address), |name| Peer::Named(name, address))
}

/// Serves a connection on its client's behalf.
pub async fn on_behalf<T>(client: Client, serving: impl Future<Output = T>) -> T {
    CLIENT.scope(Arc::new(client), serving).await
}

/// The client of the request that this task answers.
pub fn current() -> Option<Doer> {
    CLIENT.try_with(|client| client.doer()).ok()
}
