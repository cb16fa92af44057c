//! Full load over real sockets, through a proxy that cuts, resets, stalls and throttles at random: what is told must be
//! true at the end.
//!
//! `cargo run --release --features emulator --example soak -- --seconds 60 --seed 1 --connections 4`
//!
//! Ends with a report, and with 1 when an event that was accepted is not stored, or is stored twice, or one that was
//! rejected or not sent is stored.
#![allow(clippy::disallowed_methods, reason = "a program's own clock")]

mod load;
mod proxy;
#[path = "../../tests/simulation/random.rs"]
#[allow(dead_code, reason = "the simulation draws more")]
mod random;
mod report;
mod tally;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hubwire::emulator::{Emulator, Fault};
use tokio::time::Instant;

use load::Load;
use proxy::Proxy;
use random::Random;
use tally::Tally;

/// The event hub that is published to.
const HUB: &str = "telemetry";
const PARTITIONS: u32 = 4;

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug)]
struct Arguments {
    seconds: u64,
    seed: u64,
    connections: usize,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self { seconds: 60, seed: 1, connections: 4 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let number: u64 = words.next().ok_or("every option takes a number")?.parse()?;
            match word.as_str() {
                "--seconds" => arguments.seconds = number,
                "--seed" => arguments.seed = number,
                "--connections" => arguments.connections = usize::try_from(number)?,
                _ => return Err(format!("{word}: use --seconds, --seed or --connections").into()),
            }
        }
        Ok(arguments)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let mut random = Random::new(arguments.seed);
    let emulator = Emulator::builder().event_hub(HUB, PARTITIONS).retention_bytes(512 << 20).build()?;
    let listening = emulator.listen("127.0.0.1:0").await?;
    let proxy = Proxy::start(listening.local_addr(), random.split()).await?;
    let tally = Arc::new(Tally::default());
    let reading = tokio::spawn(tally::read_along(emulator.clone(), Arc::clone(&tally)));
    let trouble = tokio::spawn(trouble(emulator.clone(), random.split()));

    let through = listening
        .connection_string(None)
        .replace(&listening.local_addr().port().to_string(), &proxy.local_addr().port().to_string());
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let load = Load { until, tally: Arc::clone(&tally) };
    let began = Instant::now();
    let ends = load.run(&through, arguments.connections, random.split()).await?;
    let lasted = began.elapsed();
    trouble.abort();
    // What the proxy has still on its way arrives, or never will.
    let proxied = proxy.stop().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    tally.finish(&emulator);
    reading.abort();

    let verdict = tally.verdict();
    print!("{}", report::Report { arguments, lasted, proxied, ends, totals: emulator.totals(), verdict: &verdict });
    if verdict.is_true() { Ok(()) } else { Err("what was told is not true".into()) }
}

/// The hub has its moods, too.
async fn trouble(emulator: Emulator, mut random: Random) {
    loop {
        tokio::time::sleep(random.millis(100, 3_000)).await;
        emulator.inject(match random.below(6) {
            0 => Fault::reject("amqp:not-allowed", "Not this one."),
            1 => Fault::release().times(3),
            2 => Fault::server_busy().lasting(random.millis(10, 300)),
            3 => Fault::never_settle(),
            4 => Fault::lose(),
            _ => Fault::detach("amqp:link:detach-forced", "Moved."),
        });
    }
}
