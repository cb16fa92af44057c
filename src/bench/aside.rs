//! What runs beside the publisher in the same process: on threads of its own, so that its CPU is told apart.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::sink::{Counts, serve};
use super::target::Target;
use super::usage::Threads;
use crate::{ConnectionString, Options};

/// A runtime on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Aside {
    handle: Handle,
    threads: Threads,
    /// Its end: dropped first, and then waited for.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    /// Starts it.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, threads) = (runtime.handle().clone(), Threads::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (joined, is_counted) = (threads.clone(), mpsc::channel());
        let started = is_counted.0;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            joined.join();
            let _ = started.send(());
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        let _ = is_counted.1.recv();
        Ok(Self { handle, threads, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.threads
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A hub in this process, on threads of its own, over loopback TCP.
#[derive(Debug)]
pub struct LocalHub {
    connection_string: ConnectionString,
    threads: Threads,
    #[cfg(feature = "emulator")]
    emulator: Option<crate::emulator::Emulator>,
    /// Kept for as long as the hub.
    _aside: Option<Aside>,
}

/// Why there is no hub in this process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalHubError {
    /// No thread, or no socket.
    #[error("cannot start a hub in this process: {0}; free sockets or threads, and try again")]
    System(#[from] io::Error),
    /// The connection string that it told does not read.
    #[error("the hub's connection string does not read: {0}")]
    ConnectionString(#[from] crate::wire::connection_string::ParseError),
}

impl LocalHub {
    /// A [sink](super::sink): it answers what the client alone can do.
    ///
    /// # Errors
    /// [`LocalHubError`].
    pub fn sink() -> Result<Self, LocalHubError> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let connection_string = sink_connection_string(listener.local_addr()?)?;
        let threads = Threads::default();
        let serving = threads.clone();
        // It ends with the process, as what it serves does: a listener that nobody connects to takes nothing.
        thread::Builder::new().name("sink".to_owned()).spawn(move || accept(&listener, &serving))?;
        Ok(Self {
            connection_string,
            threads,
            #[cfg(feature = "emulator")]
            emulator: None,
            _aside: None,
        })
    }

    /// An emulator that listens on loopback.
    ///
    /// # Errors
    /// [`LocalHubError`].
    #[cfg(feature = "emulator")]
    pub fn emulator(emulator: crate::emulator::Emulator) -> Result<Self, LocalHubError> {
        let aside = Aside::start("emulator")?;
        let (told, heard) = mpsc::channel();
        let served = emulator.clone();
        aside.handle().spawn(Box::pin(async move {
            let listening = served.listen("127.0.0.1:0").await;
            match listening {
                Ok(listening) => {
                    let _ = told.send(Ok(listening.connection_string(None)));
                    // For as long as the runtime is there.
                    std::future::pending::<()>().await;
                    drop(listening);
                }
                Err(error) => drop(told.send(Err(error))),
            }
        }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);
        let text = heard.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        let connection_string = ConnectionString::parse(&text)?;
        let threads = aside.threads().clone();
        Ok(Self { connection_string, threads, emulator: Some(emulator), _aside: Some(aside) })
    }

    /// The way to it.
    pub fn connection_string(&self) -> &ConnectionString {
        &self.connection_string
    }

    /// The emulator, if it is one.
    #[cfg(feature = "emulator")]
    pub fn as_emulator(&self) -> Option<&crate::emulator::Emulator> {
        self.emulator.as_ref()
    }

    /// Its event hub `event_hub`, whose CPU is told apart from the publisher's.
    pub fn target(&self, event_hub: impl Into<String>, options: &Options) -> Target {
        Target::new(&self.connection_string, event_hub, options).with_peer(self.threads.clone())
    }
}

fn sink_connection_string(address: SocketAddr) -> Result<ConnectionString, LocalHubError> {
    let text =
        format!("Endpoint=sb://{address};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true");
    Ok(ConnectionString::parse(&text)?)
}

/// Before the next connection is looked for when one could not be taken, for want of descriptors: to ask at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A thread for each connection.
fn accept(listener: &TcpListener, threads: &Threads) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let threads = threads.clone();
        let serving = move || {
            threads.join();
            let _ = stream.set_nodelay(true);
            // What a peer does wrong shows at its own end.
            let _ = serve(stream, &Counts::default());
        };
        if thread::Builder::new().name("sink".to_owned()).spawn(serving).is_err() {
            return;
        }
    }
}
