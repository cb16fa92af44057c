//! A peer that takes whatever a publisher sends and keeps none of it, as a process of its own: what `benches/field`
//! measures clients against.
//!
//! `cargo run --release --features bench --example sink [PORT]`; without a port, any that is free. Loopback only: it asks
//! nobody for a key.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use hubwire::bench::sink::{Counts, serve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("sink ready on {}", listener.local_addr()?);
    loop {
        let stream = listener.accept()?.0;
        thread::spawn(|| {
            if let Err(error) = take_all(stream) {
                eprintln!("sink: {error}");
            }
        });
    }
}

fn take_all(stream: TcpStream) -> io::Result<()> {
    // An outcome that waits for the client's next acknowledgement would count as the client's time.
    stream.set_nodelay(true)?;
    serve(stream, &Counts::default())
}
