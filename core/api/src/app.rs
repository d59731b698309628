//! What all requests share: engines that are open, how many calls may run, who waits for what.

use crate::attach::Expected;
use crate::body::Out;
use crate::client;
use crate::early::Supervisors;
use crate::execs::Execs;
use crate::fault::Fault;
use crate::reply::{Outcome, with};
use gantry_engine::Engine;
use gantry_engine::container::Listing;
use gantry_engine::events::act_for;
use gantry_engine::model::event::Doer;
use gantry_engine::request::Settings;
use gantry_engine::settings::Given;
use hyper::StatusCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Short calls at the same time; more of them wait.
const QUICK: usize = 32;
/// Calls and streams that may take their time; more of them are refused.
const SLOW: usize = 400;
/// Threads for all of them.
pub const THREADS: usize = QUICK + SLOW + 16;
/// A pause that counts as rest: longer than threads without work live.
const REST: Duration = Duration::from_secs(4);
/// Open engines that are kept for the next call.
const SPARE: usize = 4;

/// The server.
pub struct App {
    given: Given,
    settings: Mutex<Arc<Settings>>,
    spare: Mutex<Vec<(Arc<Settings>, Engine)>>,
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// Told after each request.
    pub worked: Notify,
    /// Only what changes nothing is answered.
    pub read_only: bool,
    /// Who waits for containers to start.
    pub expected: Expected,
    /// Supervisors of containers whose start is expected.
    pub early: Supervisors,
    /// What the last lists of containers showed.
    pub listing: Mutex<Listing>,
    /// Processes executed in containers through us.
    pub execs: Execs,
}

impl App {
    pub fn new(given: Given, settings: Settings, read_only: bool) -> App {
        let execs = Execs::new(&settings.state);
        App {
            given,
            settings: Mutex::new(Arc::new(settings)),
            spare: Mutex::default(),
            quick: Arc::new(Semaphore::new(QUICK)),
            slow: Arc::new(Semaphore::new(SLOW)),
            worked: Notify::new(),
            read_only,
            expected: Expected::default(),
            early: Supervisors::default(),
            listing: Mutex::default(),
            execs,
        }
    }

    /// Reads the configuration again; what is at work goes on with the old one.
    pub fn reload(&self) -> Result<(), String> {
        let settings = Settings::gather(&self.given).map_err(|faults| faults.to_string())?;
        *locked(&self.settings) = Arc::new(settings);
        locked(&self.spare).clear();
        *locked(&self.listing) = Listing::default();
        Ok(())
    }

    /// Gives back what is free whenever nobody has asked for a while. A server that nobody asks is not woken.
    pub async fn rest(self: Arc<App>) {
        loop {
            self.worked.notified().await;
            while tokio::time::timeout(REST, self.worked.notified()).await.is_ok() {}
            let spare = std::mem::take(&mut *locked(&self.spare));
            let give_back = move || {
                drop(spare);
                gantry_sys::memory::trim();
                gantry_sys::memory::let_go_of_code();
            };
            let _ = tokio::task::spawn_blocking(give_back).await;
        }
    }

    /// A short call of the engine.
    pub async fn quick<T: Send + 'static>(
        self: &Arc<App>,
        act: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = Arc::clone(&self.quick).acquire_owned().await.map_err(|_| stopping())?;
        self.call(permit, act).await
    }

    /// A call that may take its time.
    pub async fn slow<T: Send + 'static>(
        self: &Arc<App>,
        act: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = self.permit()?;
        self.call(permit, act).await
    }

    /// The right to take a thread for long.
    pub fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let busy = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too many calls and streams at once; try again");
        Arc::clone(&self.slow).try_acquire_owned().map_err(|_| busy())
    }

    async fn call<T: Send + 'static>(
        self: &Arc<App>,
        permit: OwnedSemaphorePermit,
        act: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (app, client) = (Arc::clone(self), client::current());
        let work = move || {
            let _permit = permit;
            app.with_engine(client, act)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Fault::internal("the call panicked")))
    }

    /// Answers with a stream that a thread writes. What goes wrong before its first byte becomes a refusal, what goes
    /// wrong later is given to `late`.
    pub async fn stream(
        self: &Arc<App>,
        headers: &[(&'static str, &str)],
        work: impl FnOnce(&Engine, &mut Out) -> Result<(), Fault> + Send + 'static,
        late: fn(&mut Out, &Fault),
    ) -> Outcome {
        let permit = self.permit()?;
        let (body, beginning, mut out) = Out::new();
        let (app, client) = (Arc::clone(self), client::current());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match app.with_engine(client, |engine| work(engine, &mut out)) {
                Ok(()) => out.begin(),
                Err(fault) if out.has_begun() => late(&mut out, &fault),
                Err(fault) => out.refuse(fault),
            }
        });
        beginning.await.map_err(|_| Fault::internal("the call panicked"))??;
        Ok(with(StatusCode::OK, body, headers))
    }

    /// Runs a call with an engine of its own, on a client's behalf. One that panics takes its engine along.
    pub fn with_engine<T>(
        &self,
        client: Option<Doer>,
        act: impl FnOnce(&Engine) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let settings = Arc::clone(&locked(&self.settings));
        let spare = locked(&self.spare).pop().filter(|(of, _)| Arc::ptr_eq(of, &settings));
        let engine = match spare {
            Some((_, engine)) => engine,
            None => Engine::open(Settings::clone(&settings))?,
        };
        act_for(client);
        let result = act(&engine);
        act_for(None);
        let mut spare = locked(&self.spare);
        if spare.len() < SPARE {
            spare.push((settings, engine));
        }
        result
    }
}

fn stopping() -> Fault {
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
}

/// A lock whose data is whole even if its holder panicked: none is changed in two steps.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
