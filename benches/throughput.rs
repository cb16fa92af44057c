//! How much of what the machine could publish hubwire does publish, against a sink that costs as little as a peer can.
//!
//! Side by side, in alternating rounds, each against a sink on a thread of its own:
//!
//! - **blast** writes batches that are encoded once, in frames whose layout is known: the ceiling of every client.
//! - **blast-encode** packs each batch by plain copies, then does the same: the ceiling of every client that packs.
//! - **blast-keep** packs each of the batches that have no outcome in memory of its own, for it may have to be given back: the
//!   ceiling of every client that loses none.
//! - **hubwire** packs each batch through its own API.
//! - **fe2o3-amqp**'s `Sender` packs and sends the same; and each event as a message of its own, beside a client without
//!   protocol logic that writes many of these at a time.
//! - **hubwire**'s `Publisher` takes the same events one by one.
//!
//! Medians of the rounds; the ratios are what counts. A table's name limits the run to it, and `alone` to hubwire, for a
//! profiler: `cargo bench --features bench --bench throughput -- tls alone`. Each end keeps to a core of its own, unless
//! `anywhere` is said.

mod support;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::types::messaging::SerializableBody;
use hubwire::rustls;
use hubwire::{ConnectionString, Options};
use rustls::pki_types::ServerName;
use support::blast::{Blaster, Layout, Packer};
use support::family::{Family, batch, single};
use support::measure::{Took, cpu_of, median, this_thread};
use support::publisher::Publisher;
use support::served::SinkThread;

/// Batches on their way without an outcome.
const WINDOW: usize = 8;
const ROUNDS: usize = 9;
const BATCHES_IN_A_ROUND: usize = 300;
/// Messages of one event each.
const SINGLES_IN_A_ROUND: usize = 5_000;
const SINGLES_WINDOW: usize = 1_000;
const SIZES: [usize; 3] = [100, 1_024, 60 * 1_024];

struct Run {
    is_trial: bool,
    only: Option<String>,
    is_alone: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_alone = args.iter().any(|arg| arg == "alone");
    let only = args.iter().find(|arg| !arg.starts_with('-') && !["alone", "anywhere"].contains(&arg.as_str())).cloned();
    let run = Run { is_trial: args.iter().any(|arg| arg == "--test"), only, is_alone };
    support::stay_on_core(0);
    run.table("pipelined", WINDOW, BATCHES_IN_A_ROUND, false);
    run.table("one at a time", 1, BATCHES_IN_A_ROUND, false);
    run.table("tls", WINDOW, BATCHES_IN_A_ROUND / 3, true);
    run.family();
    run.singles();
    run.events();
    #[cfg(feature = "trace")]
    run.traced();
}

impl Run {
    fn table(&self, name: &str, window: usize, batches: usize, tls: bool) {
        if self.is_left_out(name) {
            return;
        }
        let (batches, rounds) = if self.is_trial { (3, 1) } else { (batches, ROUNDS) };
        println!("{name}: a batch of 1 MiB, {window} without an outcome at most");
        println!(
            "{:>10} {:>32} {:>32} {:>32} {:>32} {:>20}",
            "event", "blast", "blast-encode", "blast-keep", "hubwire", "of -encode, -keep, CPU"
        );
        for event_len in SIZES {
            let packer = Packer::full(event_len);
            let (mut ceilings, mut ours) = ([const { Vec::new() }; 3], Vec::new());
            for _ in 0..rounds {
                let tls = tls.then(Tls::new);
                ours.push(publish(&packer, window, batches, tls.as_ref()));
                if self.is_alone {
                    continue;
                }
                for (rounds, ceiling) in ceilings.iter_mut().zip(Ceiling::ALL) {
                    rounds.push(blast(&packer, window, batches, ceiling, tls.as_ref()));
                }
            }
            if self.is_alone {
                println!("{event_len:>8} B {:>131}", median(ours).text(packer.count()));
                continue;
            }
            let ([blast, encode, keep], ours, count) = (ceilings.map(median), median(ours), packer.count());
            let times = |ceiling: Took| ceiling.time.as_secs_f64() / ours.time.as_secs_f64();
            println!(
                "{event_len:>8} B {:>32} {:>32} {:>32} {:>32} {:>6.2} {:>6.2} {:>6.2}",
                blast.text(count),
                encode.text(count),
                keep.text(count),
                ours.text(count),
                times(encode),
                times(keep),
                ours.cpu.as_secs_f64() / encode.cpu.as_secs_f64(),
            );
        }
    }
}

impl Run {
    /// Beside the family's own sender: batches.
    fn family(&self) {
        if self.is_left_out("family") {
            return;
        }
        let (batches, rounds) = if self.is_trial { (3, 1) } else { (BATCHES_IN_A_ROUND / 3, ROUNDS) };
        println!("family: a batch of 1 MiB, {WINDOW} without an outcome at most");
        println!("{:>10} {:>32} {:>32} {:>26}", "event", "fe2o3-amqp", "hubwire", "of fe2o3-amqp: events, CPU");
        for event_len in SIZES {
            let packer = Packer::full(event_len);
            let rounds = (0..rounds)
                .map(|_| (family(WINDOW, batches, || batch(&packer)), publish(&packer, WINDOW, batches, None)));
            self.beside(event_len, packer.count(), rounds.unzip());
        }
    }

    /// Beside the family's own sender: each event a message of its own.
    fn singles(&self) {
        if self.is_left_out("singles") {
            return;
        }
        let (messages, rounds) = if self.is_trial { (3, 1) } else { (SINGLES_IN_A_ROUND, ROUNDS) };
        println!("singles: each event a message of its own, {SINGLES_WINDOW} without an outcome at most");
        println!("{:>10} {:>32} {:>32} {:>26}", "event", "fe2o3-amqp", "hubwire", "of fe2o3-amqp: events, CPU");
        let packer = Packer::of(1_024, 1);
        if self.is_alone {
            let ours = (0..rounds).map(|_| publish(&packer, SINGLES_WINDOW, 10 * messages, None)).collect();
            return println!("{:>8} B {:>65}", 1_024, median(ours).text(1));
        }
        let mut blasts = Vec::new();
        let rounds = (0..rounds).map(|_| {
            blasts.push(blast_together(&packer, SINGLES_WINDOW, 10 * messages));
            let theirs = family(SINGLES_WINDOW, messages, || single(&packer));
            (theirs, publish(&packer, SINGLES_WINDOW, 10 * messages, None))
        });
        let (theirs, ours): (Vec<_>, Vec<_>) = rounds.unzip();
        let (blast, of) = (median(blasts), median(theirs.clone()));
        self.beside(1_024, 1, (theirs, ours));
        let times = of.time.as_secs_f64() / blast.time.as_secs_f64();
        println!("{:>10} {:>32} {:>32} {times:>18.2}", "", "no protocol logic:", blast.text(1));
    }

    /// Events handed over one by one, which the publisher packs, beside batches that the caller packs.
    fn events(&self) {
        if self.is_left_out("publisher") {
            return;
        }
        let (batches, rounds) = if self.is_trial { (3, 1) } else { (BATCHES_IN_A_ROUND / 3, ROUNDS) };
        println!("publisher: events one by one, each with its receipt; batches that the caller packs beside it");
        println!("{:>10} {:>32} {:>32} {:>26}", "event", "batches", "publisher", "of batches: events, CPU");
        for event_len in SIZES {
            let packer = Packer::full(event_len);
            let rounds = (0..rounds)
                .map(|_| (publish(&packer, WINDOW, batches, None), publish_events(&packer, WINDOW, batches)));
            self.beside(event_len, packer.count(), rounds.unzip());
        }
    }

    /// With a tap that writes each form to nowhere, beside none.
    #[cfg(feature = "trace")]
    fn traced(&self) {
        use hubwire::trace::{Form, Tap};
        if self.is_left_out("traced") {
            return;
        }
        let (batches, rounds) = if self.is_trial { (3, 1) } else { (BATCHES_IN_A_ROUND / 3, ROUNDS) };
        println!("traced: a batch of 1 MiB, {WINDOW} without an outcome at most; beside no tap");
        for form in [Form::Text, Form::Json, Form::Pcapng] {
            println!("{:>10} {:>32} {:>32} {:>26}", "event", "no tap", format!("{form:?}"), "of no tap: events, CPU");
            for event_len in SIZES {
                let packer = Packer::full(event_len);
                let tapped = || Options::default().tap(&Tap::builder().to(form, io::sink()).build());
                let rounds = (0..rounds).map(|_| {
                    let plain = publish(&packer, WINDOW, batches, None);
                    (plain, publish_with(&packer, WINDOW, batches, None, tapped()))
                });
                self.beside(event_len, packer.count(), rounds.unzip());
            }
        }
    }

    fn is_left_out(&self, name: &str) -> bool {
        self.only.as_ref().is_some_and(|only| !name.starts_with(only.as_str()))
    }

    fn beside(&self, event_len: usize, count: usize, (theirs, ours): (Vec<Took>, Vec<Took>)) {
        let (theirs, ours) = (median(theirs), median(ours));
        println!(
            "{event_len:>8} B {:>32} {:>32} {:>18.2} {:>7.2}",
            theirs.text(count),
            ours.text(count),
            theirs.time.as_secs_f64() / ours.time.as_secs_f64(),
            ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64(),
        );
    }
}

/// A client without protocol logic, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ceiling {
    /// It sends one batch again and again.
    Blast,
    /// It packs each afresh, in the same memory.
    BlastEncode,
    /// It packs each afresh, and in memory of its own: as whoever keeps a batch until its outcome, so as to give it back.
    BlastKeep,
}

impl Ceiling {
    const ALL: [Self; 3] = [Self::Blast, Self::BlastEncode, Self::BlastKeep];
}

/// As many events as fill so many batches, by the publisher.
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn publish_events(packer: &Packer, window: usize, batches: usize) -> Took {
    let sink = SinkThread::start();
    let to = ConnectionString::parse(&sink.connection_string()).expect("well-formed");
    let options = Options::default().max_in_flight_batches(window);
    let took = support::runtime().block_on(async {
        let publisher =
            hubwire::Publisher::open(&to, "telemetry", &options, &hubwire::PublisherOptions::default()).await;
        let publisher = publisher.expect("a sink");
        let mut took = None;
        for batches in [2 * window, batches] {
            let thread = this_thread();
            let (began, cpu_before) = (std::time::Instant::now(), cpu_of(&thread));
            for _ in 0..batches * packer.count() {
                drop(publisher.publish(packer.body()).await.expect("room"));
            }
            publisher.flush().await;
            took = Some(Took::of(began.elapsed(), cpu_of(&thread) - cpu_before, batches));
        }
        publisher.close().await;
        took.expect("two rounds")
    });
    sink.join();
    took
}

fn family<T: SerializableBody>(window: usize, messages: usize, message: impl Fn() -> Sendable<T>) -> Took {
    let sink = SinkThread::start();
    let took = support::runtime().block_on(async {
        let mut family = Family::open(sink.connect()).await;
        family.publish(window, 2 * window, &message).await;
        let took = family.publish(window, messages, &message).await;
        family.close().await;
        took
    });
    sink.join();
    took
}

/// Both ends of TLS 1.3, with a certificate made for this run.
struct Tls {
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl Tls {
    fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    fn sink(&self) -> SinkThread {
        let config = self.server.clone();
        SinkThread::behind(move |stream| {
            let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            Ok(rustls::StreamOwned::new(connection, stream))
        })
    }

    fn connect(&self, stream: TcpStream) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = rustls::ClientConnection::new(self.client.clone(), name).expect("a client");
        rustls::StreamOwned::new(connection, stream)
    }
}

fn sink(tls: Option<&Tls>) -> SinkThread {
    tls.map_or_else(SinkThread::start, Tls::sink)
}

fn blast(packer: &Packer, window: usize, batches: usize, ceiling: Ceiling, tls: Option<&Tls>) -> Took {
    let sink = sink(tls);
    let took = match tls {
        Some(tls) => blast_over(tls.connect(sink.connect()), packer, window, batches, ceiling),
        None => blast_over(sink.connect(), packer, window, batches, ceiling),
    };
    sink.join();
    took
}

/// Each event a message of its own.
fn blast_together(packer: &Packer, window: usize, messages: usize) -> Took {
    let sink = SinkThread::start();
    let mut blaster = Blaster::open(sink.connect()).expect("a sink");
    blaster.blast_together(packer, window, 2 * window).expect("a sink");
    let thread = this_thread();
    let cpu_before = cpu_of(&thread);
    let time = blaster.blast_together(packer, window, messages).expect("a sink");
    let took = Took::of(time, cpu_of(&thread) - cpu_before, messages);
    drop(blaster);
    sink.join();
    took
}

fn blast_over(
    stream: impl io::Read + io::Write,
    packer: &Packer,
    window: usize,
    batches: usize,
    ceiling: Ceiling,
) -> Took {
    let mut message = Vec::with_capacity(packer.message_len());
    packer.pack(&mut message);
    let mut layout = Layout::new(2, message.len());
    let mut memory = vec![message; if ceiling == Ceiling::BlastKeep { window } else { 1 }];
    let mut blaster = Blaster::open(stream).expect("a sink");
    let mut round = |batches| match ceiling {
        Ceiling::Blast => blaster.blast(&mut layout, window, batches, &mut memory, |_| ()),
        _ => blaster.blast(&mut layout, window, batches, &mut memory, |message| packer.pack(message)),
    };
    round(2 * window).expect("a sink");
    let thread = this_thread();
    let cpu_before = cpu_of(&thread);
    let time = round(batches).expect("a sink");
    Took::of(time, cpu_of(&thread) - cpu_before, batches)
}

fn publish(packer: &Packer, window: usize, batches: usize, tls: Option<&Tls>) -> Took {
    publish_with(packer, window, batches, tls, Options::default())
}

fn publish_with(packer: &Packer, window: usize, batches: usize, tls: Option<&Tls>, options: Options) -> Took {
    let sink = sink(tls);
    let (to, options) = match tls {
        Some(tls) => (
            "Endpoint=sb://localhost;SharedAccessKeyName=any;SharedAccessKey=a2V5".into(),
            options.rustls_config(tls.client.clone()).custom_endpoint(sink.address.to_string()),
        ),
        None => (sink.connection_string(), options),
    };
    let to = ConnectionString::parse(&to).expect("well-formed");
    let took = support::runtime().block_on(async {
        let publisher = Publisher::open(&to, options, window).await;
        publisher.publish(packer, 2 * window).await;
        let took = publisher.publish(packer, batches).await;
        publisher.close().await;
        took
    });
    sink.join();
    took
}
