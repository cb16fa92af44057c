//! What the emulator costs each batch, beside a sink that reads the same bytes and no more.
//!
//! A client without protocol logic ("blast") writes pre-encoded batches of 1 MiB to a loopback socket, up to eight of them
//! unsettled. The peer is the emulator, or a sink that counts frames and settles each batch. Both run on a thread of their
//! own, so that the slower of the two ends is what is measured. Rounds alternate, and the median counts. Beside the time
//! stands the CPU time of the peer's thread for each batch, where the system tells it (Linux).
//!
//! Then hubwire's own client publishes to the emulator, packing each batch afresh, and the CPU time of each end is told: the
//! end that uses more of it is the one that holds the other up. First an emulator that holds as much as it may, and reads into
//! the memory of what it drops, as in any long run; then one that fills memory which was touched before, and one that touches it
//! itself.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use hubwire::emulator::Emulator;
use hubwire::{ConnectionString, Options};
use support::blast::{BATCH_LEN, Blaster, Layout, Packer};
use support::measure::{Took, cpu_of, median, this_thread};
use support::publisher::Publisher;
use support::served::SinkThread;

/// Batches on their way without an outcome.
const WINDOW: usize = 8;
const BATCHES_IN_A_ROUND: usize = 200;
const ROUNDS: usize = 7;
/// What the emulator holds at most.
const RETENTION_LEN: usize = 64 << 20;
/// Batches before a round counts: they fill what the emulator holds, so that the round finds it as a long run would.
const BATCHES_BEFORE: usize = RETENTION_LEN / BATCH_LEN + 2 * WINDOW;

fn main() {
    let is_trial = std::env::args().any(|arg| arg == "--test");
    let (batches, rounds) = if is_trial { (3, 1) } else { (BATCHES_IN_A_ROUND, ROUNDS) };
    println!("{:>10} {:>34} {:>34} {:>14} {:>9}", "event", "into a sink", "into the emulator", "time", "CPU");
    for event_len in [100, 1_024, 60 * 1_024] {
        let packer = Packer::full(event_len);
        let (mut sink, mut emulated) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            sink.push(blast_at_sink(&packer, batches));
            emulated.push(blast_at_emulator(&packer, batches));
        }
        let (sink, emulated) = (median(sink), median(emulated));
        println!(
            "{event_len:>8} B {:>34} {:>34} {:>8.2} times {:>9.2}",
            sink.text(packer.count()),
            emulated.text(packer.count()),
            emulated.time.as_secs_f64() / sink.time.as_secs_f64(),
            emulated.cpu.as_secs_f64() / sink.cpu.as_secs_f64()
        );
    }
    for (state, title) in [(State::Full, "full"), (State::Pretouched, "pretouched"), (State::Untouched, "untouched")] {
        println!("{:>10} {:>34} {:>34} {:>14}", "event", "hubwire's client", format!("the emulator, {title}"), "CPU");
        for event_len in [100, 1_024, 60 * 1_024] {
            let packer = Packer::full(event_len);
            let (clients, emulated) = (0..rounds).map(|_| publish_to_emulator(&packer, batches, state)).unzip();
            let (client, emulated) = (median(clients), median(emulated));
            println!(
                "{event_len:>8} B {:>34} {:>34} {:>8.2} times",
                client.text(packer.count()),
                emulated.text(packer.count()),
                emulated.cpu.as_secs_f64() / client.cpu.as_secs_f64()
            );
        }
    }
}

/// What an emulator is when a round begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It holds as much as it may.
    Full,
    /// It holds nothing yet, in memory that was touched.
    Pretouched,
    /// It holds nothing yet, and has memory for nothing.
    Untouched,
}

/// An emulator on a thread of its own.
struct Served {
    address: SocketAddr,
    connection_string: String,
    /// Where the CPU time of its thread stands.
    cpu: PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Served {
    fn start(state: State) -> Self {
        let (told, heard) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            support::runtime().block_on(async {
                let builder = Emulator::builder().event_hub("telemetry", 4).retention_bytes(RETENTION_LEN as u64);
                let emulator = builder.build().expect("a hub");
                if state == State::Pretouched {
                    emulator.pretouch(u64::MAX);
                }
                let listening = emulator.listen("127.0.0.1:0").await.expect("a port");
                told.send((listening.local_addr(), listening.connection_string(None), this_thread()))
                    .expect("a listener");
                let _ = stopped.await;
            });
        });
        let (address, connection_string, cpu) = heard.recv().expect("an address");
        Self { address, connection_string, cpu, stop, thread }
    }

    fn stop(self) {
        let _ = self.stop.send(());
        self.thread.join().expect("no panic");
    }
}

fn blast_at_emulator(packer: &Packer, batches: usize) -> Took {
    let served = Served::start(State::Full);
    let stream = TcpStream::connect(served.address).expect("a peer");
    stream.set_nodelay(true).expect("a socket");
    let took = blast(stream, &served.cpu, packer, BATCHES_BEFORE, batches);
    served.stop();
    took
}

fn blast_at_sink(packer: &Packer, batches: usize) -> Took {
    let served = SinkThread::start();
    let took = blast(served.connect(), &served.cpu, packer, BATCHES_BEFORE, batches);
    served.join();
    took
}

/// Batches that are encoded once; the CPU time is the peer's.
fn blast(stream: TcpStream, cpu: &Path, packer: &Packer, batches_before: usize, batches: usize) -> Took {
    let mut message = Vec::new();
    packer.pack(&mut message);
    let mut layout = Layout::new(2, message.len());
    let mut blaster = Blaster::open(stream).expect("a peer");
    let memory = std::slice::from_mut(&mut message);
    blaster.blast(&mut layout, WINDOW, batches_before, memory, |_| ()).expect("a peer");
    let cpu_before = cpu_of(cpu);
    let time = blaster.blast(&mut layout, WINDOW, batches, memory, |_| ()).expect("a peer");
    Took::of(time, cpu_of(cpu) - cpu_before, batches)
}

/// What hubwire's own client takes for batches that it packs afresh, and what the emulator takes for them.
fn publish_to_emulator(packer: &Packer, batches: usize, state: State) -> (Took, Took) {
    let is_full = state == State::Full;
    let served = Served::start(state);
    let to = ConnectionString::parse(&served.connection_string).expect("well-formed");
    let took = support::runtime().block_on(async {
        let publisher = Publisher::open(&to, Options::default(), WINDOW).await;
        publisher.publish(packer, if is_full { BATCHES_BEFORE } else { WINDOW }).await;
        let batches = if is_full { batches } else { batches.min(RETENTION_LEN / BATCH_LEN - WINDOW) };
        let cpu_before = cpu_of(&served.cpu);
        let client = publisher.publish(packer, batches).await;
        let emulated = Took { time: client.time, cpu: (cpu_of(&served.cpu) - cpu_before) / batches as u32 };
        publisher.close().await;
        (client, emulated)
    });
    served.stop();
    took
}
