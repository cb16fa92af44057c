//! An emulator on a runtime of its own, and a road of plain sockets to it that can be watched and cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use hubwire::ConnectionString;
use hubwire::emulator::{Builder, Emulator, Listening};
use tokio::runtime::Runtime;

use super::HUB;

/// Serves `emulator` on threads of its own, for as long as it lives.
pub struct Served {
    pub emulator: Emulator,
    listening: Option<Listening>,
    runtime: Option<Runtime>,
}

impl Served {
    pub fn start(builder: Builder) -> Self {
        let emulator = builder.event_hub(HUB, 4).build().expect("a hub that can be built");
        let mut served = Self { emulator, listening: None, runtime: None };
        served.listen(0);
        served
    }

    /// Serves on `port`, or on a free one for 0.
    pub fn listen(&mut self, port: u16) {
        let runtime = Runtime::new().expect("a runtime");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.listening = Some(runtime.block_on(self.emulator.listen(address)).expect("a free port"));
        self.runtime = Some(runtime);
    }

    /// Ends every connection, and listens no more; the port that it was.
    pub fn die(&mut self) -> u16 {
        let port = self.port();
        self.listening = None;
        // With its tasks, and their sockets.
        self.runtime = None;
        port
    }

    pub fn port(&self) -> u16 {
        self.listening.as_ref().expect("it listens").local_addr().port()
    }

    pub fn connection_string(&self) -> ConnectionString {
        to_port(self.port(), &self.emulator)
    }

    pub fn stored(&self) -> u64 {
        self.emulator.totals().events
    }
}

fn to_port(port: u16, emulator: &Emulator) -> ConnectionString {
    let text = emulator.connection_string(None).replace("sb://localhost", &format!("sb://127.0.0.1:{port}"));
    ConnectionString::parse(&text).expect("well-formed")
}

/// Stands between a client and an emulator.
pub struct Road {
    port: u16,
    traffic: Arc<Traffic>,
}

#[derive(Default)]
struct Traffic {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes that the client's end was given.
    given: u64,
    clients: Vec<TcpStream>,
}

impl Traffic {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

impl Road {
    pub fn to(served: &Served) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (port, to, traffic) = (listener.local_addr().expect("bound").port(), served.port(), Arc::default());
        let watching = Arc::clone(&traffic);
        // It ends with the tests.
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).expect("it listens");
                carry(client.expect("a client"), server, &watching);
            }
        });
        Self { port, traffic }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn connection_string(&self, served: &Served) -> ConnectionString {
        to_port(self.port, &served.emulator)
    }

    /// Bytes that have come from the emulator so far, and lie in the client's socket.
    pub fn given(&self) -> u64 {
        self.traffic.state().given
    }

    /// Waits until more than `given` have.
    pub fn until_more_than(&self, given: u64) {
        let state = self.traffic.state();
        drop(self.traffic.changed.wait_while(state, |state| state.given <= given).expect("no panic"));
    }

    /// Ends all connections; when it returns, the clients' sockets know.
    pub fn cut(&self) {
        for client in self.traffic.state().clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn carry(client: TcpStream, server: TcpStream, traffic: &Arc<Traffic>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
    }
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut from_server, mut to_client) = (server, client.try_clone().expect("a socket"));
    traffic.state().clients.push(client);
    let traffic = Arc::clone(traffic);
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(len @ 1..) = from_server.read(&mut buffer) {
            if to_client.write_all(&buffer[..len]).is_err() {
                break;
            }
            traffic.state().given += len as u64;
            traffic.changed.notify_all();
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}
