//! `hubwire replay`: a recording's server, for a client to meet.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::args::replay::ReplayArgs;
use super::failure::{Failure, Kind, exit_code_of};
use super::signal::Signals;
use super::trace::Trace;
use super::{listening, output, shown};
use crate::trace::Tap;
use crate::trace::replay::{self, Conversation, Replay, Step};
use crate::words::counted;

/// Bytes of a recording. A longer one is not read.
const MAX_LEN: u64 = 256 * 1024 * 1024;
/// Room for one read.
const READ_LEN: usize = 64 * 1024;
/// A client that leaves what it is sent unread for so long is given up.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Runs the command; the exit code.
pub(super) async fn run(args: ReplayArgs) -> u8 {
    exit_code_of(played(&args).await.map(|()| 0))
}

async fn played(args: &ReplayArgs) -> Result<(), Failure> {
    if args.trace.writes_to(&args.file) {
        let text = format!("{} is the recording that is played; write the trace into another file", shown(&args.file));
        return Err(Failure::input(text));
    }
    let conversations = conversations(&args.file, args.connection)?;
    let trace = Trace::start(&args.trace)?;
    let failed = |error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let played = tokio::select! {
        played = play_all(args, conversations, &trace) => played,
        kind = signals.next() => Err(Failure::new(kind, "ended by a signal before all was played")),
    };
    trace.finish().await;
    played
}

fn conversations(file: &Path, only: Option<u64>) -> Result<Vec<Conversation>, Failure> {
    let name = shown(file);
    let bytes =
        bytes_of(file).map_err(|error| Failure::input(format!("cannot read {name}: {error}; check the path")))?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(Failure::input(format!("{name} is longer than 256 MiB; record less, or a single connection")));
    }
    let read = replay::read(&bytes).map_err(|error| Failure::input(format!("{name}: {error}")))?;
    let wanted: Vec<_> = read.into_iter().filter(|one| only.is_none_or(|only| one.number == only)).collect();
    if wanted.is_empty() {
        return Err(Failure::input(format!("{name} has no such connection; leave --connection out to play all")));
    }
    Ok(wanted)
}

/// No more of them than tell that they are too many: what is no file has no length to ask for.
fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One connection after the other, as they come.
async fn play_all(args: &ReplayArgs, conversations: Vec<Conversation>, trace: &Trace) -> Result<(), Failure> {
    let listener = listening::on_loopback(&args.listen).await?;
    introduce(args, &listener, conversations.len())?;
    for conversation in conversations {
        let (number, is_closed) = (conversation.number, conversation.is_closed);
        let wait = timeout(args.patience, listener.accept()).await;
        let owes = || {
            Failure::new(
                Kind::Unreachable,
                format!("no client came for connection {number}; start one, or wait longer: --patience"),
            )
        };
        let (stream, _) = wait
            .map_err(|_| owes())?
            .map_err(|error| Failure::configuration(format!("cannot accept a connection: {error}; try again")))?;
        let _ = stream.set_nodelay(true);
        let mut replay = Replay::new(conversation);
        let ended = play(args, &mut replay, Tap::wrap_if(trace.tap.as_ref(), stream, None)).await;
        let (said, all) = replay.progress();
        let ending = if is_closed { "" } else { ", and cut, as it was then" };
        match ended {
            Ok(()) => output::note(format_args!(
                "connection {number}: played {}{ending}",
                counted(all as u64, "frame", "frames")
            )),
            Err(why) => {
                let text = format!("connection {number}: played {said} of {all} frames: {why}");
                return Err(Failure::new(Kind::Unreachable, text));
            }
        }
    }
    Ok(())
}

/// What a client connects with, and the line that scripts wait for.
fn introduce(args: &ReplayArgs, listener: &TcpListener, count: usize) -> Result<(), Failure> {
    let local = listener.local_addr().map_err(|error| Failure::configuration(error.to_string()))?;
    output::note(format_args!("{} in {}", counted(count as u64, "connection", "connections"), shown(&args.file)));
    output::note(listening::connection_string(local, None));
    output::note(format_args!("hubwire replay ready on {local}"));
    Ok(())
}

/// Plays one connection; why it could not be played to its end.
async fn play<S>(args: &ReplayArgs, replay: &mut Replay, mut stream: S) -> Result<(), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = vec![0; READ_LEN];
    let mut owed_since = Instant::from_std(crate::clock::now());
    loop {
        match replay.next() {
            Step::Say(bytes, wait) => {
                let wait = if args.fast { Duration::ZERO } else { wait };
                listen_for(replay, &mut stream, &mut buffer, wait).await?;
                let written = timeout(WRITE_WITHIN, stream.write_all(&bytes)).await;
                written.map_err(|_| "the client reads nothing".to_owned())?.map_err(|error| error.to_string())?;
                owed_since = Instant::from_std(crate::clock::now());
            }
            Step::Await(owed) => {
                // What it does not owe it may say for ever.
                let heard = timeout_at(owed_since + args.patience, stream.read(&mut buffer)).await;
                let heard = heard.map_err(|_| format!("the client owes {owed}, and does not say it; wait longer with --patience, or play one alone with --connection"))?;
                match heard.map_err(|error| error.to_string())? {
                    0 => return Err(format!("the client left, and owes {owed}")),
                    len => replay.hear(&buffer[..len]),
                }
            }
            Step::Leave(owed) => return Err(format!("the client says goodbye, and owes {owed}")),
            Step::End => return Ok(()),
        }
    }
}

/// Waits as the server did then, and listens.
async fn listen_for<S>(replay: &mut Replay, stream: &mut S, buffer: &mut [u8], wait: Duration) -> Result<(), String>
where
    S: tokio::io::AsyncRead + Unpin,
{
    if wait.is_zero() {
        return Ok(());
    }
    let until = Instant::from_std(crate::clock::now()) + wait;
    loop {
        tokio::select! {
            biased;
            () = sleep_until(until) => return Ok(()),
            read = stream.read(buffer) => match read {
                Ok(0) => return Err("the client left".to_owned()),
                Ok(len) => replay.hear(&buffer[..len]),
                Err(error) => return Err(error.to_string()),
            },
        }
    }
}
