//! A sink on a thread of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use hubwire::bench::sink::{self, Counts};

use super::measure::this_thread;

/// Serves one connection.
pub struct SinkThread {
    pub address: SocketAddr,
    /// Where the CPU time of its thread stands.
    pub cpu: PathBuf,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl SinkThread {
    pub fn start() -> Self {
        Self::behind(Ok)
    }

    /// Behind what `wrap` makes of the accepted stream: TLS.
    pub fn behind<S: Read + Write>(wrap: impl FnOnce(TcpStream) -> io::Result<S> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, heard) = mpsc::channel();
        let thread = thread::spawn(move || {
            super::stay_on_core(1);
            told.send(this_thread()).expect("a listener");
            let stream = listener.accept()?.0;
            stream.set_nodelay(true)?;
            sink::serve(wrap(stream)?, &Counts::default())
        });
        Self { address, cpu: heard.recv().expect("a thread"), thread }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a sink");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    /// What clients are given. Nobody looks at the key.
    pub fn connection_string(&self) -> String {
        let address = self.address;
        format!("Endpoint=sb://{address};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true")
    }

    /// Waits for the end of the connection.
    pub fn join(self) {
        self.thread.join().expect("no panic").expect("a peer that speaks AMQP");
    }
}
