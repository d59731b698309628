//! Registries for tests: Debian's docker-registry in three kinds, and one of our own that lies as it is told.

use crate::World;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether the programs are installed; says so when not.
pub fn able() -> bool {
    let there = |name: &str| ["/usr/bin", "/usr/local/bin"].iter().any(|dir| Path::new(dir).join(name).is_file());
    let missing: Vec<_> = ["docker-registry", "openssl", "htpasswd"].into_iter().filter(|name| !there(name)).collect();
    if !missing.is_empty() {
        eprintln!("skipped: needs {}", missing.join(", "));
    }
    missing.is_empty()
}

/// A docker-registry on a port of its own, ended when dropped.
pub struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    /// Without encryption, open to all.
    pub fn plain(world: &World) -> Registry {
        Self::start(world, "plain", "")
    }

    /// With TLS and the user `u`, password `p`. Its authority is `ca.pem` in the world.
    pub fn guarded(world: &World) -> Registry {
        certificates(world);
        let users = run("htpasswd", &["-Bbn", "u", "p"]);
        let users = world.file("htpasswd", users);
        let (cert, key) = (world.text("srv.pem"), world.text("srv.key"));
        Self::start(
            world,
            "guarded",
            &format!("  tls: {{certificate: {cert}, key: {key}}}\nauth: {{htpasswd: {{realm: r, path: {users}}}}}\n"),
        )
    }

    /// Asking for tokens of a token server.
    pub fn with_tokens(world: &World, tokens: &Tokens) -> Registry {
        let realm = format!("http://127.0.0.1:{}/token", tokens.server.port);
        let bundle = world.text("tok.pem");
        Self::start(
            world,
            "tokens",
            &format!(
                "auth: {{token: {{realm: \"{realm}\", service: regsvc, issuer: tests, rootcertbundle: {bundle}}}}}\n"
            ),
        )
    }

    fn start(world: &World, name: &str, more: &str) -> Registry {
        let port = free_port();
        let data = world.text(&format!("registry-{name}"));
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: x\n{more}"
        );
        let config = world.file(&format!("{name}.yml"), config);
        let mut command = Command::new("docker-registry");
        command.args(["serve", &config]).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::create(world.path(&format!("{name}.log"))).expect("our own directory is writable");
        let child = command.stderr(log).spawn().expect("docker-registry runs");
        let registry = Registry { child, port };
        let up = crate::within(Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert!(up, "docker-registry does not listen");
        registry
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("bound").port()
}

/// An authority, and a certificate of it for this machine.
fn certificates(world: &World) {
    let path = |name: &str| world.text(name);
    let extension = world.file("ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=ca",
        "-keyout",
        &path("ca.key"),
        "-out",
        &path("ca.pem"),
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &path("srv.key"),
        "-out",
        &path("srv.csr"),
    ]);
    let (csr, ca, key, out) = (path("srv.csr"), path("ca.pem"), path("ca.key"), path("srv.pem"));
    openssl(&[
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        &ca,
        "-CAkey",
        &key,
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        &extension,
        "-out",
        &out,
    ]);
}

fn openssl(words: &[&str]) {
    run("openssl", words);
}

fn run(program: &str, words: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().expect("it is installed");
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A request as a server of ours sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// What a server of ours answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
    /// Instead of the body's own length.
    pub length: Option<usize>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A small HTTP server; ends with the test program.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (handler, noted): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, noted) = (Arc::clone(&handler), Arc::clone(&noted));
                std::thread::spawn(move || serve(stream, &*handler, &noted));
            }
        });
        Server { port, seen }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that was asked.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

fn serve(stream: TcpStream, handler: &Handler, noted: &Mutex<Vec<Request>>) {
    let Ok(mut output) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some(request) = read_request(&mut input) {
        noted.lock().expect("nobody panics with it").push(request.clone());
        let answer = handler(&request);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        let length = answer.length.unwrap_or(answer.body.len());
        head += &format!("content-length: {length}\r\n");
        answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let body = if request.method == "HEAD" { &[][..] } else { &answer.body };
        let sent = &body[..answer.cut.unwrap_or(body.len()).min(body.len())];
        let written = output.write_all((head + "\r\n").as_bytes()).and_then(|()| output.write_all(sent));
        if written.is_err() || answer.cut.is_some() || answer.length.is_some() {
            let _ = output.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn read_request(input: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// A token server for the user `u`, password `p`; nobody may pull `public/…`.
pub struct Tokens {
    pub server: Server,
}

impl Tokens {
    pub fn start(world: &World) -> Tokens {
        let (key, cert) = (world.text("tok.key"), world.text("tok.pem"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=tokens",
            "-keyout",
            &key,
            "-out",
            &cert,
        ]);
        let pem = fs::read_to_string(&cert).expect("just made");
        let chain: String = pem.lines().filter(|line| !line.contains("-----")).collect();
        Tokens { server: Server::start(move |request| answer_token(request, &key, &chain)) }
    }
}

/// `u:p`.
const USER: &str = "Basic dTpw";

fn answer_token(request: &Request, key: &str, chain: &str) -> Answer {
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let pairs: Vec<(String, String)> =
        [query, &form].iter().flat_map(|text| text.split('&')).filter_map(pair).collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let known = match request.headers.get("authorization") {
        Some(auth) if auth == USER => true,
        Some(_) => return Answer::new(401, r#"{"details":"incorrect username or password"}"#),
        None if request.method == "POST" && value("refresh_token") == "lasting" => true,
        None if request.method == "POST" => return Answer::new(401, r#"{"details":"unknown token"}"#),
        None => false,
    };
    let scopes = pairs.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
    let access: Vec<_> = scopes.filter_map(|scope| granted(scope, known)).collect();
    let token = sign(key, chain, value("service"), &access);
    let lasting = if value("offline_token") == "true" { r#","refresh_token":"lasting""# } else { "" };
    Answer::new(200, format!(r#"{{"token":"{token}","expires_in":300{lasting}}}"#))
}

fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    Some((key.to_owned(), String::from_utf8(bytes).ok()?))
}

fn granted(scope: &str, known: bool) -> Option<String> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let may = |action: &&str| known || (*action == "pull" && name.starts_with("public/"));
    let actions: Vec<_> = actions.split(',').filter(may).map(|action| format!("\"{action}\"")).collect();
    Some(format!(r#"{{"type":"{kind}","name":"{name}","actions":[{}]}}"#, actions.join(",")))
}

/// A JSON web token as docker-registry wants it, signed by openssl.
fn sign(key: &str, chain: &str, service: &str, access: &[String]) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let head = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{chain}"]}}"#);
    let claims = format!(
        r#"{{"iss":"tests","sub":"u","aud":"{service}","exp":{},"nbf":{},"iat":{now},"jti":"{now}","access":[{}]}}"#,
        now + 300,
        now - 10,
        access.join(",")
    );
    let signed = format!("{}.{}", base64url(head.as_bytes()), base64url(claims.as_bytes()));
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().expect("piped").write_all(signed.as_bytes()).expect("openssl reads");
    let signature = child.wait_with_output().expect("openssl ends").stdout;
    format!("{signed}.{}", base64url(&signature))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..=chunk.len()).map(|at| DIGITS[(number >> (18 - 6 * at) & 63) as usize]);
        out.extend(digits.map(char::from));
    }
    out
}
