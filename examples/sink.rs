//! A peer that takes everything, settles it and keeps nothing: what a publisher is measured against, as a process of its own.
//!
//! `cargo run --release --features bench --example sink`; it says where it listens, and serves until it is ended.

use std::io;
use std::net::TcpListener;
use std::thread;

use hubwire::bench::sink::{Counts, serve};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("sink ready on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            if let Err(error) = serve(stream, &Counts::default()) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}
