//! `POST /containers/{}/wait`: the reply's head at once, its body at the end. No thread waits.

use crate::app::App;
use crate::ask::Ask;
use crate::attach::Ended;
use crate::body::Body;
use crate::early;
use crate::fault::Fault;
use crate::ready::Ready;
use crate::reply::with;
use crate::route::Answer;
use gantry_engine::Waiting;
use gantry_engine::container::Watch;
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often a container that does not run is looked at: one that is started through this server is heard of at once.
const LOOK: Duration = Duration::from_millis(500);
const SOON: Duration = Duration::from_millis(50);

/// Until when is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    NotRunning,
    NextExit,
    Removed,
}

impl Condition {
    fn parse(text: Option<&str>) -> Result<Condition, Fault> {
        match text {
            None | Some("not-running") => Ok(Condition::NotRunning),
            Some("next-exit") => Ok(Condition::NextExit),
            Some("removed") => Ok(Condition::Removed),
            Some(other) => Err(Fault::bad(format!("invalid condition: {other:?}"))),
        }
    }
}

pub fn wait(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let condition = Condition::parse(ask.call.query.text("condition"))?;
        let name = ask.call.name().to_owned();
        let watched = app.quick(move |engine| Ok(engine.watch_end(&name)?)).await?;
        // Noted before the head goes out: the client starts the container as soon as it has that.
        if condition != Condition::NotRunning && matches!(watched.end, Watch::Stopped { .. }) {
            early::begin(&app, &watched.id);
        }
        let next = (condition != Condition::NotRunning).then(|| app.expected.end(&watched.id));
        let (sender, receiver) = mpsc::channel(1);
        let (id, started_ns) = (watched.id, watched.started_ns);
        let waiter = Waiter { app, id, started_ns, condition, next, cleaned: None };
        tokio::spawn(async move {
            tokio::select! {
                code = waiter.end(watched.end) => {
                    let text = json!({ "StatusCode": code }).to_string() + "\n";
                    let _ = sender.send(text.into()).await;
                }
                () = sender.closed() => {}
            }
        });
        Ok(with(StatusCode::OK, Body::Stream(receiver), &[("content-type", "application/json")]))
    })
}

struct Waiter {
    app: Arc<App>,
    id: String,
    started_ns: u64,
    condition: Condition,
    next: Option<oneshot::Receiver<Ended>>,
    /// Closed when this server has cleaned up after the end.
    cleaned: Option<watch::Receiver<()>>,
}

impl Waiter {
    async fn end(mut self, now: Watch) -> i32 {
        let code = self.exit(now).await;
        if self.condition == Condition::Removed {
            self.gone().await;
        }
        code
    }

    /// The exit code that is waited for; 0 when the container vanishes without having run.
    async fn exit(&mut self, mut now: Watch) -> i32 {
        let mut last = 0;
        loop {
            let heard = match now {
                Watch::Stopped { code, .. } if self.condition == Condition::NotRunning => return code,
                Watch::Stopped { code, .. } => {
                    last = code;
                    self.hear(LOOK).await
                }
                Watch::Running(waiting) => running(waiting).await,
                Watch::Unreachable => self.hear(SOON).await,
            };
            if let Some(code) = heard {
                return code;
            }
            let id = self.id.clone();
            let Ok(watched) = self.app.quick(move |engine| Ok(engine.watch_end(&id)?)).await else { return last };
            if let (Watch::Stopped { code, .. }, true) = (&watched.end, watched.started_ns != self.started_ns) {
                return *code;
            }
            now = watched.end;
        }
    }

    /// The end of a run that this server started, if it comes within a time.
    async fn hear(&mut self, patience: Duration) -> Option<i32> {
        let heard = match &mut self.next {
            Some(next) => tokio::time::timeout(patience, next).await.ok()?.ok(),
            None => None,
        };
        self.next = None;
        match heard {
            Some(ended) => {
                self.cleaned = Some(ended.cleaned);
                Some(ended.code)
            }
            None => {
                tokio::time::sleep(patience).await;
                None
            }
        }
    }

    async fn gone(&mut self) {
        if let Some(mut cleaned) = self.cleaned.take() {
            let _ = cleaned.changed().await;
        }
        let mut pause = Duration::from_millis(1);
        loop {
            let id = self.id.clone();
            if !self.app.quick(move |engine| Ok(engine.exists(&id))).await.unwrap_or(false) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK);
        }
    }
}

/// The end of a running container; `None` when its keeper had to be restarted.
async fn running(waiting: Waiting) -> Option<i32> {
    Ready::new(waiting.as_fd()).ok()?.wait().await;
    let end = tokio::task::spawn_blocking(|| waiting.end()).await.ok()?;
    match end {
        Ok(exit) => Some(exit.code),
        Err(_) => {
            tokio::time::sleep(SOON).await;
            None
        }
    }
}
