//! A real rsyslogd, with ports and sockets of its own, which writes down every field of what it gets.

use crate::certificates::Certificates;
use gantry_tests::within;
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// As long as a busy machine may need.
const LONG: Duration = Duration::from_secs(30);

/// See the module. Ends with its value.
pub struct Rsyslogd {
    dir: tempfile::TempDir,
    udp: u16,
    tcp: u16,
    tls: u16,
    pub certificates: Certificates,
    child: Option<Child>,
}

impl Rsyslogd {
    /// A running one; `None`, with a word, where there is none to run.
    pub fn start() -> Option<Rsyslogd> {
        if Command::new("rsyslogd").arg("-v").output().is_err() {
            eprintln!("skipped: needs rsyslogd");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let certificates = Certificates::make()?;
        let udp = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let (one, two) = (free_port(), free_port());
        let (tcp, tls) = (one.1, two.1);
        drop((one, two));
        let mut server = Rsyslogd { dir, udp, tcp, tls, certificates, child: None };
        fs::write(server.path("rsyslog.conf"), server.configuration()).expect("our own directory");
        server.resume();
        Some(server)
    }

    /// Its address for a transport.
    pub fn address(&self, transport: &str) -> String {
        match transport {
            "udp" => format!("udp://127.0.0.1:{}", self.udp),
            "tcp" => format!("tcp://127.0.0.1:{}", self.tcp),
            "tcp+tls" => format!("tcp+tls://localhost:{}", self.tls),
            "unix" => format!("unix://{}", self.path("stream").display()),
            "unixgram" => format!("unixgram://{}", self.path("datagrams").display()),
            other => panic!("no transport {other}"),
        }
    }

    /// Its certificate's authority and, if wanted, who we are, as options.
    pub fn tls_options(&self, identity: bool) -> Vec<String> {
        let option = |name: &str, file: &str| format!("syslog-tls-{name}={}", self.certificates.text(file));
        let mut options = vec![option("ca-cert", "ca.pem")];
        if identity {
            options.extend([option("cert", "client.pem"), option("key", "client.key")]);
        }
        options
    }

    /// Ends it, as a service manager does.
    pub fn pause(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our own child");
        if !within(LONG, || matches!(child.try_wait(), Ok(Some(_)))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again.
    pub fn resume(&mut self) {
        let log = fs::File::create(self.path("rsyslogd.log")).expect("our own directory");
        let mut command = Command::new("rsyslogd");
        command.arg("-n").arg("-f").arg(self.path("rsyslog.conf")).arg("-i").arg(self.path("pid"));
        let errors = log.try_clone().expect("a descriptor");
        self.child = Some(command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("rsyslogd starts"));
        let so = within(LONG, || {
            let ports = [self.tcp, self.tls].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok());
            ports && ["stream", "datagrams"].iter().all(|name| self.path(name).exists())
        });
        assert!(so, "rsyslogd does not listen: {}", self.complaints());
    }

    /// What it wrote down so far, in order.
    pub fn messages(&self) -> Vec<Value> {
        let bytes = fs::read(self.path("messages")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Messages of one program, when there are so many.
    #[track_caller]
    pub fn messages_of(&self, tag: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        within(LONG, || {
            found = self.messages();
            found.retain(|message| message["tag"].as_str().is_some_and(|t| t.split('[').next() == Some(tag)));
            found.len() >= count
        });
        assert!(found.len() >= count, "{} of {count} messages of {tag}: {found:#?} {}", found.len(), self.complaints());
        found
    }

    /// Every message's bytes, as they came but for what it does not let through.
    pub fn raw(&self) -> Vec<u8> {
        fs::read(self.path("raw")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.path("rsyslogd.log")).unwrap_or_default()
    }

    fn configuration(&self) -> String {
        let Rsyslogd { udp, tcp, tls, .. } = self;
        let at = |name: &str| self.path(name).display().to_string();
        let of = |name: &str| self.certificates.text(name);
        let (work, stream, datagrams) = (self.dir.path().display(), at("stream"), at("datagrams"));
        let (messages, raw) = (at("messages"), at("raw"));
        let (ca, certificate, key) = (of("ca.pem"), of("server.pem"), of("server.key"));
        format!(
            r#"
global(workDirectory="{work}" maxMessageSize="64k" net.enableDNS="off" localHostname="receiver"
       defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imudp") module(load="imtcp") module(load="imptcp") module(load="imuxsock" sysSock.use="off")
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imtcp" address="127.0.0.1" port="{tcp}")
input(type="imtcp" address="127.0.0.1" port="{tls}" streamDriver.name="gtls" streamDriver.mode="1"
      streamDriver.authMode="x509/certvalid")
input(type="imptcp" path="{stream}" unlink="on")
input(type="imuxsock" socket="{datagrams}" useSysTimeStamp="off" usePIDFromSystem="off" useSpecialParser="off"
      parseHostname="on" ignoreTimestamp="off")
template(name="json" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="seconds" name="timereported" dateFormat="unixtimestamp" format="jsonf")
  property(outname="fraction" name="timereported" dateFormat="subseconds" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="tag" name="syslogtag" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="pid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="input" name="inputname" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}}
template(name="raw" type="list") {{ property(name="rawmsg") constant(value="\n") }}
action(type="omfile" file="{messages}" template="json")
action(type="omfile" file="{raw}" template="raw")
"#
        )
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}
