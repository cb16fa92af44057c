//! No client: bytes whose layout was found beforehand, each batch packed by plain copies, written and counted.

use std::net::TcpStream;
use std::slice;

use hubwire_field::blast::{Blaster, Layout};
use hubwire_field::{Span, Work, tell_first};

fn main() -> std::io::Result<()> {
    let work = Work::from_args();
    let stream = TcpStream::connect(("127.0.0.1", work.port))?;
    stream.set_nodelay(true)?;
    let mut blaster = Blaster::open(stream)?;
    let mut message = work.section().repeat(work.packer.count());
    let mut layout = Layout::new(2, message.len());
    let memory = slice::from_mut(&mut message);
    let mut publish = |batches| {
        blaster.blast(&mut layout, work.window, batches, memory, |message| work.packer.pack(message)).map(drop)
    };
    publish(1)?;
    tell_first();
    publish(work.warm_up)?;
    let span = Span::begin();
    publish(work.batches)?;
    span.tell(&work);
    Ok(())
}
