//! `internal finish`, `restart` and `collect`: what a container's keeper, or the engine itself, executes when nobody waits.

use super::{Command, Context, Outcome, failed};
use crate::args::system::{
    COLLECT as COLLECT_INFO, COMPLETE_LAYERS as COMPLETE_INFO, FINISH as FINISH_INFO, GC as GC_INFO, LAZY as LAZY_INFO,
    LOGS as LOGS_INFO, RENEW as RENEW_INFO, RESTART as RESTART_INFO, SETTLE as SETTLE_INFO, THAW as THAW_INFO,
    UNHEALTHY as UNHEALTHY_INFO,
};
use crate::args::{NO_FLAGS, NoArgs};

pub static COLLECT: Command<NoArgs> = Command { info: COLLECT_INFO, flags: &[NO_FLAGS], run: collect };
pub static FINISH: Command<NoArgs> = Command { info: FINISH_INFO, flags: &[NO_FLAGS], run: finish };
pub static RESTART: Command<NoArgs> = Command { info: RESTART_INFO, flags: &[NO_FLAGS], run: restart };

pub static THAW: Command<NoArgs> = Command { info: THAW_INFO, flags: &[NO_FLAGS], run: thaw };

fn thaw(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_thaw(&names[0]).map(|()| 0).map_err(failed)
}

pub static UNHEALTHY: Command<NoArgs> = Command { info: UNHEALTHY_INFO, flags: &[NO_FLAGS], run: unhealthy };
pub static SETTLE: Command<NoArgs> = Command { info: SETTLE_INFO, flags: &[NO_FLAGS], run: settle };

pub static GC: Command<NoArgs> = Command { info: GC_INFO, flags: &[NO_FLAGS], run: gc };

pub static LOGS: Command<NoArgs> = Command { info: LOGS_INFO, flags: &[NO_FLAGS], run: logs };

fn logs(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    context.engine()?.cap_logs().map(|_| 0).map_err(failed)
}

pub static RENEW: Command<NoArgs> = Command { info: RENEW_INFO, flags: &[NO_FLAGS], run: renew };

fn renew(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_renew(&names[0]).map(|()| 0).map_err(failed)
}

pub static LAZY: Command<NoArgs> = Command { info: LAZY_INFO, flags: &[NO_FLAGS], run: lazy };

fn lazy(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    context.engine()?.internal_lazy(&words[0], &words[1], &words[2..]).map(|()| 0).map_err(failed)
}

pub static COMPLETE: Command<NoArgs> = Command { info: COMPLETE_INFO, flags: &[NO_FLAGS], run: complete };

fn complete(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    context.engine()?.internal_complete(&words[0], &words[1..]).map(|()| 0).map_err(failed)
}

fn gc(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    context.engine()?.collect_by_watermarks(false).map(|_| 0).map_err(failed)
}

fn settle(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    context.engine()?.settle().map(|()| 0).map_err(failed)
}

fn unhealthy(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    context.engine()?.internal_unhealthy(&words[0], &words[1]).map(|()| 0).map_err(failed)
}

fn collect(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    context.engine()?.internal_collect().map(|()| 0).map_err(failed)
}

fn finish(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_finish(&names[0]).map(|()| 0).map_err(failed)
}

fn restart(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_restart(&names[0]).map(|()| 0).map_err(failed)
}
