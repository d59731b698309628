//! `login` and `logout`.

use super::{Command, Context, Outcome, failed};
use crate::args::registry::{self as args, LoginArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out::failure::Failure;
use crate::{out, terminal};
use gantry_engine::image::{Login, Saved};
use std::io::{self, BufRead, Read};

pub static LOGIN: Command<LoginArgs> = Command { info: args::LOGIN, flags: &[args::LOGIN_FLAGS], run: login };
pub static LOGOUT: Command<NoArgs> = Command { info: args::LOGOUT, flags: &[NO_FLAGS], run: logout };

/// How the default registry is called in what is said.
const HUB: &str = "https://index.docker.io/v1/";
/// Bytes of a password.
const PASSWORD_BYTES: u64 = 64 << 10;

fn login(context: &Context, args: LoginArgs, servers: Vec<String>) -> Outcome {
    let server = servers.first().map_or("", String::as_str);
    let engine = context.engine()?;
    let nothing_given = args.user.is_none() && args.password.is_none() && !args.password_stdin;
    if nothing_given && let Ok(Some(known)) = engine.log_in_again(server) {
        let name = if let Login::Basic { user, .. } = &known { format!(" [Username: {user}]") } else { String::new() };
        out::note(&format!("Authenticating with existing credentials...{name}"));
        return out::line("Login Succeeded").map(|()| 0);
    }
    let (user, password) = credentials(&args)?;
    match engine.log_in(server, &user, &password).map_err(failed)? {
        Saved::File(path) => out::note(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this \
             warning.\n",
            path.display()
        )),
        Saved::Helper(_) => {}
    }
    out::line("Login Succeeded").map(|()| 0)
}

fn credentials(args: &LoginArgs) -> Result<(String, String), Failure> {
    let refuse = |text: &str| Err(Failure::error(text));
    match (&args.password, args.password_stdin, &args.user) {
        (Some(_), true, _) => refuse("--password and --password-stdin are mutually exclusive"),
        (None, true, None) => refuse("Must provide --username with --password-stdin"),
        (None, true, Some(user)) => Ok((user.clone(), piped_password()?)),
        (Some(password), false, user) => {
            out::note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
            Ok((user_or_ask(user.as_deref())?, password.clone()))
        }
        (None, false, user) => {
            let user = user_or_ask(user.as_deref())?;
            let password = terminal::ask_secret("Password: ").map_err(|error| unreadable(&error))?;
            out::note("");
            if password.is_empty() { refuse("password is required") } else { Ok((user, password)) }
        }
    }
}

fn user_or_ask(user: Option<&str>) -> Result<String, Failure> {
    if let Some(user) = user.filter(|user| !user.is_empty()) {
        return Ok(user.to_owned());
    }
    if !terminal::is_input() {
        return Err(Failure::error("Cannot perform an interactive login from a non TTY device"));
    }
    out::print("Username: ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| unreadable(&error))?;
    match line.trim() {
        "" => Err(Failure::error("username is required")),
        user => Ok(user.to_owned()),
    }
}

fn piped_password() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(PASSWORD_BYTES).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Unsupported => Failure::error("Cannot perform an interactive login from a non TTY device"),
        _ => Failure::error(format!("cannot read standard input: {error}")),
    }
}

fn logout(context: &Context, _: NoArgs, servers: Vec<String>) -> Outcome {
    let server = servers.first().map_or("", String::as_str);
    let shown = if server.is_empty() { HUB } else { server };
    let known = context.engine()?.log_out(server).map_err(failed)?;
    let said = if known { "Removing login credentials for" } else { "Not logged in to" };
    out::line(&format!("{said} {shown}")).map(|()| 0)
}
