//! One address of a registry: which scheme it speaks, what it granted us, and the patience we have with it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::WWW_AUTHENTICATE;

use crate::auth::{Asker, Granted};
use crate::challenge::Challenge;
use crate::credentials::{Credentials, Login};
use crate::error::{Error, Result};
use crate::http::{Answer, Request, send};
use crate::settings::{HostSettings, Settings, address_of, is_loopback};
use crate::tls;

/// The first pause before another try; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, also when a registry asks for more.
const LONGEST: Duration = Duration::from_secs(60);

/// One address.
pub(crate) struct Endpoint {
    /// The registry as users call it; of a mirror its own name.
    pub(crate) host: String,
    /// `scheme://address[/path]` to be tried, the best first.
    candidates: Vec<String>,
    base: OnceLock<String>,
    agent: Agent,
    granted: Granted,
    login: OnceLock<Option<Login>>,
    credentials: Credentials,
    verify: bool,
    retries: u32,
    reached: AtomicBool,
}

impl Endpoint {
    /// The registry itself.
    pub(crate) fn of_host(host: &str, settings: &Settings, credentials: &Credentials) -> Result<Self> {
        let own = settings.host(host);
        // As Docker has it, this machine itself needs no certificate; one that is settled is demanded all the same.
        let lax = own.insecure || (is_loopback(host) && own.ca.is_empty());
        let address = address_of(host);
        let mut candidates = vec![format!("https://{address}")];
        candidates.extend(lax.then(|| format!("http://{address}")));
        Self::new(host, candidates, &own, !lax, settings, credentials)
    }

    /// A mirror by its address.
    pub(crate) fn of_mirror(address: &str, settings: &Settings, credentials: &Credentials) -> Result<Self> {
        let wrong = || Error::Address { address: address.to_owned() };
        let base = address.trim_end_matches('/');
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://")).ok_or_else(wrong)?;
        let host = rest.split('/').next().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let own = settings.host(host);
        let verify = !own.insecure;
        Self::new(host, vec![base.to_owned()], &own, verify, settings, credentials)
    }

    fn new(
        host: &str,
        candidates: Vec<String>,
        own: &HostSettings,
        verify: bool,
        settings: &Settings,
        credentials: &Credentials,
    ) -> Result<Self> {
        Ok(Self {
            host: host.to_owned(),
            candidates,
            base: OnceLock::new(),
            agent: tls::agent(host, own, verify, settings.timeout)?,
            granted: Granted::default(),
            login: OnceLock::new(),
            credentials: credentials.clone(),
            verify,
            retries: settings.retries,
            reached: AtomicBool::new(false),
        })
    }

    /// The same address for somebody else.
    pub(crate) fn with_login(self, login: Login) -> Self {
        Self { login: OnceLock::from(Some(login)), ..self }
    }

    /// `scheme://address[/path]`, found out by trying when there is a choice.
    pub(crate) fn base(&self) -> Result<&str> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let found = self.probe()?;
        Ok(self.base.get_or_init(|| found))
    }

    fn probe(&self) -> Result<String> {
        let (first, others) = match self.candidates.split_first() {
            Some((only, [])) => return Ok(only.clone()),
            Some(split) => split,
            None => return Err(Error::Address { address: self.host.clone() }),
        };
        let answers = |base: &str| {
            let request = Request::get(format!("{base}/v2/"), "speak to it");
            send(&self.agent, &request, &self.host, None).map(drop)
        };
        let Err(first_error) = answers(first) else { return Ok(first.clone()) };
        let found = others.iter().find(|base| answers(base).is_ok());
        found.cloned().ok_or(first_error)
    }

    /// An address below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Result<String> {
        Ok(format!("{}/v2/{path}", self.base()?))
    }

    /// Sends a request, again and again while what fails may pass.
    pub(crate) fn call(&self, request: &Request<'_>) -> Result<Answer> {
        let mut tried = 0;
        loop {
            let outcome = self.authorised(request);
            let wait = match &outcome {
                Ok(answer) if crate::error::is_passing(answer.status) => answer.retry_after().map(Duration::from_secs),
                Err(error) if self.may_pass(error) => None,
                _ => return outcome,
            };
            if tried >= self.retries {
                return outcome;
            }
            let pause = wait.unwrap_or_else(|| pause(tried)).min(LONGEST);
            tracing::debug!(host = %self.host, "{} failed, trying again in {pause:?}", request.act);
            std::thread::sleep(pause);
            tried += 1;
        }
    }

    /// Sends a request once; the caller knows better how to go on after a failure.
    pub(crate) fn once(&self, request: &Request<'_>) -> Result<Answer> {
        self.authorised(request)
    }

    /// Sends a request as nobody.
    pub(crate) fn anonymous(&self, request: &Request<'_>) -> Result<Answer> {
        send(&self.agent, request, &self.host, None)
    }

    /// A host that never answered is not worth waiting for.
    fn may_pass(&self, error: &Error) -> bool {
        match error {
            Error::Connect { .. } => self.reached.load(Ordering::Relaxed),
            other => other.is_passing(),
        }
    }

    /// How often something is tried again.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    fn authorised(&self, request: &Request<'_>) -> Result<Answer> {
        let known = self.granted.header(&request.scopes);
        let answer = send(&self.agent, request, &self.host, known.as_deref())?;
        self.reached.store(true, Ordering::Relaxed);
        if answer.status != 401 {
            return Ok(answer);
        }
        let Some(challenge) = challenge(&answer) else { return Ok(answer) };
        match self.asker()?.answer(&challenge, &request.scopes, &self.granted)? {
            Some(header) if known.as_deref() != Some(&header) => send(&self.agent, request, &self.host, Some(&header)),
            _ => Ok(answer),
        }
    }

    /// Whoever asks for rights here.
    pub(crate) fn asker(&self) -> Result<Asker<'_>> {
        if self.login.get().is_none() {
            let found = self.credentials.find(&self.host)?;
            let _ = self.login.set(found);
        }
        let guarded = self.verify && self.base()?.starts_with("https://");
        Ok(Asker { agent: &self.agent, host: &self.host, login: self.login.get().and_then(Option::as_ref), guarded })
    }
}

/// What an answer asks for.
pub(crate) fn challenge(answer: &Answer) -> Option<Challenge> {
    Challenge::of(answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()))
}

/// Twice as long each time, and not the same for all who wait.
pub(crate) fn pause(tried: u32) -> Duration {
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    let jitter = Duration::from_millis(u64::from(nanos % 100));
    (PAUSE.saturating_mul(1 << tried.min(8)) + jitter).min(LONGEST)
}
