//! What the hub does wrong, from time to time.

use std::time::Duration;

use hubwire::emulator::{Emulator, Fault, Stage};
use tokio::time::Instant;

use super::ledger::Ledger;
use super::random::Random;
use super::{HUB, now};

/// How much goes wrong on the hub's side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mood {
    /// Between one fault and the next, at most.
    pub(crate) pause: Duration,
    pub(crate) faults: u64,
}

/// Injects faults until `until`, or until there were enough of them.
pub(crate) async fn trouble(emulator: Emulator, mood: Mood, mut random: Random, ledger: Ledger, until: Instant) {
    for _ in 0..mood.faults {
        tokio::time::sleep(random.millis(0, mood.pause.as_millis() as u64)).await;
        if now() >= until {
            return;
        }
        if random.percent(15) {
            ledger.note(|| "the faults end".to_owned());
            emulator.clear_faults();
        } else {
            let fault = fault(&mut random);
            ledger.note(|| format!("fault: {fault}"));
            emulator.inject(fault);
        }
    }
}

fn fault(random: &mut Random) -> Fault {
    let fault = match random.below(12) {
        0 | 1 => step(random),
        2..=4 => outcome(random),
        5 | 6 => state(random),
        7..=9 => blow(random),
        _ => cut(random),
    };
    if random.percent(10) { fault.on_link(random.pick(&["$cbs", HUB, "telemetry/Partitions/0"])) } else { fault }
}

fn step(random: &mut Random) -> Fault {
    let stage = random.pick(&[Stage::Sasl, Stage::Open, Stage::Begin, Stage::Attach, Stage::PutToken]);
    let condition = random.pick(&["amqp:internal-error", "com.microsoft:server-busy", "com.microsoft:timeout"]);
    match random.below(14) {
        0 => Fault::refuse_sasl(random.between(1, 4) as u8),
        1 => Fault::refuse_open(random.pick(&["amqp:connection:forced", condition]), "Not now."),
        2 => Fault::refuse_begin(condition, "Not now."),
        3..=5 => Fault::refuse_attach(condition, "Not now."),
        6 => Fault::refuse_attach(random.pick(&["amqp:not-found", "amqp:unauthorized-access"]), "No."),
        7 | 8 => Fault::refuse_put_token(random.pick(&[500, 503, 401]), "Not now."),
        _ => Fault::delay(stage, random.millis(1, 8_000)),
    }
}

fn outcome(random: &mut Random) -> Fault {
    let condition = random.pick(&["amqp:not-allowed", "amqp:internal-error", "com.microsoft:timeout"]);
    let fault = match random.below(6) {
        0 => Fault::reject(condition, "Not this one."),
        1 => Fault::release(),
        2 => Fault::modify(),
        3 => Fault::never_settle(),
        4 => Fault::lose(),
        _ => Fault::reject("com.microsoft:server-busy", "Error code : 50002."),
    };
    fault.nth(random.between(1, 4)).times(random.between(1, 4))
}

fn state(random: &mut Random) -> Fault {
    let fault = match random.below(6) {
        0 => Fault::server_busy(),
        1 => Fault::withhold_credit(),
        2 => Fault::out_of_order(),
        3 => Fault::silence(),
        4 => Fault::byte_by_byte(),
        _ => Fault::delay_outcomes(random.millis(1, 12_000)),
    };
    fault.lasting(random.millis(1, 12_000))
}

fn blow(random: &mut Random) -> Fault {
    let condition = random.pick(&[
        "amqp:link:detach-forced",
        "amqp:internal-error",
        "amqp:connection:forced",
        "com.microsoft:server-busy",
        "amqp:unauthorized-access",
        "amqp:not-found",
    ]);
    let fault = match random.below(4) {
        0 | 1 => Fault::detach(condition, "Moved."),
        2 => Fault::end("amqp:internal-error", "Moved."),
        _ => Fault::close("amqp:connection:forced", "Moved."),
    };
    if random.percent(50) { fault.after_deliveries(random.between(1, 6)) } else { fault }
}

fn cut(random: &mut Random) -> Fault {
    match random.below(3) {
        0 => Fault::cut_after_bytes(random.magnitude(4_000)),
        1 => Fault::cut_after_bytes_read(random.magnitude(4_000)),
        _ => Fault::cut_after_bytes(0).after_deliveries(random.between(1, 6)),
    }
}
