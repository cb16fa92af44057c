//! What a seed stands for: who publishes, who reads, what goes wrong and when. Any part can be left out.

use std::fmt;
use std::time::Duration;

use hubwire::emulator::{Fault, Stage};

use crate::HUB;
use crate::dice::Dice;

/// Partitions of the hub.
pub(crate) const PARTITIONS: u64 = 3;
/// A consumer group beside `$Default`.
pub(crate) const SECOND_GROUP: &str = "second";
/// Connections that all share, each replaced when it falls.
pub(crate) const SLOTS: u64 = 3;
/// Readers without an owner level that read a partition for one group: no more are let in.
const MAX_READERS: u64 = 5;
const MAX_PUBLISHERS: u64 = 4;
const MAX_FAULTS: u64 = 20;
const CONDITIONS: [&str; 5] = [
    "amqp:internal-error",
    "amqp:link:detach-forced",
    "amqp:connection:forced",
    "com.microsoft:server-busy",
    "amqp:not-allowed",
];

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) hub: Hub,
    pub(crate) parts: Vec<Part>,
    /// How long things go wrong, before all is cleared and everybody may finish.
    pub(crate) storm: Duration,
}

/// How the emulator is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hub {
    pub(crate) link_credit: u32,
    pub(crate) throughput_units: Option<u32>,
    pub(crate) idle_timeout: Duration,
    pub(crate) link_idle_timeout: Duration,
    pub(crate) linkless_timeout: Duration,
    pub(crate) token_ttl: Duration,
    /// Whether bytes take a while from end to end.
    pub(crate) is_far: bool,
}

/// Something that can be left out when a failure is made smaller.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Publisher(Publisher),
    Reader(Reader),
    /// Something goes wrong so long after the beginning.
    Fault(Duration, Fault),
    /// All faults end, those to come excepted.
    Clear(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher {
    pub(crate) seed: u64,
    pub(crate) slot: usize,
    pub(crate) to: Target,
    pub(crate) batches: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// In turn, or by key, as each batch has it.
    Hub,
    Partition(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) seed: u64,
    pub(crate) slot: usize,
    pub(crate) partition: u64,
    pub(crate) group: &'static str,
    pub(crate) start: Start,
    pub(crate) owner_level: Option<i64>,
    pub(crate) credit: u32,
}

/// Where a reader begins; the event that some of them name is chosen among those that are there by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Earliest,
    Latest,
    FromSequenceNumber,
    AfterSequenceNumber,
    FromOffset,
    AfterOffset,
    FromEnqueuedTime,
}

impl Plan {
    pub(crate) fn roll(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let storm = Duration::from_secs(5 + dice.below(60));
        let hub = Hub::roll(&mut dice);
        let mut parts = Vec::new();
        for _ in 0..1 + dice.below(MAX_PUBLISHERS) {
            parts.push(Part::Publisher(Publisher::roll(&mut dice)));
        }
        for _ in 0..1 + dice.below(MAX_READERS) {
            parts.push(Part::Reader(Reader::roll(&mut dice)));
        }
        for _ in 0..dice.below(MAX_FAULTS) {
            let at = Duration::from_millis(dice.below(storm.as_millis() as u64));
            let is_clear = dice.one_in(8);
            parts.push(if is_clear { Part::Clear(at) } else { Part::Fault(at, fault(&mut dice)) });
        }
        Self { seed, hub, parts, storm }
    }

    pub(crate) fn without(&self, index: usize) -> Self {
        let mut less = self.clone();
        less.parts.remove(index);
        less
    }
}

/// Each part in a line.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} for {:?}", self.hub, self.storm)?;
        self.parts.iter().try_for_each(|part| match part {
            Part::Publisher(publisher) => writeln!(f, "{publisher:?}"),
            Part::Reader(reader) => writeln!(f, "{reader:?}"),
            Part::Fault(at, fault) => writeln!(f, "at {at:?}: {fault}"),
            Part::Clear(at) => writeln!(f, "at {at:?}: no faults any more"),
        })
    }
}

impl Hub {
    fn roll(dice: &mut Dice) -> Self {
        Self {
            link_credit: *dice.pick(&[1, 2, 7, 300]),
            throughput_units: dice.one_in(8).then_some(1),
            idle_timeout: Duration::from_secs(8 + dice.small_below(240)),
            link_idle_timeout: Duration::from_secs(10 + dice.small_below(600)),
            linkless_timeout: Duration::from_secs(10 + dice.small_below(300)),
            token_ttl: *dice.pick(&[90, 200, 3_600].map(Duration::from_secs)),
            is_far: dice.one_in(2),
        }
    }
}

impl Publisher {
    fn roll(dice: &mut Dice) -> Self {
        let to = if dice.one_in(2) { Target::Hub } else { Target::Partition(dice.below(PARTITIONS)) };
        let (seed, slot) = (dice.next(), dice.below(SLOTS) as usize);
        Self { seed, slot, to, batches: 1 + dice.below(18) as usize }
    }
}

impl Reader {
    fn roll(dice: &mut Dice) -> Self {
        Self {
            seed: dice.next(),
            slot: dice.below(SLOTS) as usize,
            partition: dice.below(PARTITIONS),
            group: *dice.pick(&["$Default", "$Default", SECOND_GROUP]),
            start: *dice.pick(&[
                Start::Earliest,
                Start::Earliest,
                Start::Latest,
                Start::FromSequenceNumber,
                Start::AfterSequenceNumber,
                Start::FromOffset,
                Start::AfterOffset,
                Start::FromEnqueuedTime,
            ]),
            owner_level: dice.one_in(3).then(|| dice.below(3) as i64),
            credit: *dice.pick(&[1, 2, 5, 50, 300]),
        }
    }
}

// ---- what goes wrong -------------------------------------------------------------------------------------------

fn fault(dice: &mut Dice) -> Fault {
    let fault = match dice.below(3) {
        0 => blow(dice),
        1 => step(dice),
        _ => return aimed(state(dice).lasting(Duration::from_millis(1 + dice.below(30_000))), dice),
    };
    let fault = if dice.one_in(2) { fault.nth(1 + dice.below(6)) } else { fault };
    let fault = if dice.one_in(3) { fault.times(1 + dice.below(5)) } else { fault };
    aimed(fault, dice)
}

fn blow(dice: &mut Dice) -> Fault {
    let condition = *dice.pick(&CONDITIONS);
    match dice.below(6) {
        0 | 1 => Fault::detach(condition, "A blow."),
        2 => Fault::end(condition, "A blow."),
        3 => Fault::close(condition, "A blow."),
        4 => Fault::cut_after_bytes(dice.small_below(20_000)),
        _ => Fault::cut_after_bytes_read(dice.small_below(100_000)),
    }
}

fn step(dice: &mut Dice) -> Fault {
    let condition = *dice.pick(&CONDITIONS);
    match dice.below(12) {
        0 | 1 => Fault::reject(condition, "A fault."),
        2 => Fault::release(),
        3 => Fault::modify(),
        4 => Fault::never_settle(),
        5 => Fault::lose(),
        6 => Fault::refuse_attach(condition, "A fault."),
        7 => Fault::refuse_begin(condition, "A fault."),
        8 => Fault::refuse_open(condition, "A fault."),
        9 => Fault::refuse_sasl(4),
        10 => Fault::refuse_put_token(503, "A fault."),
        _ => Fault::delay(
            *dice.pick(&[Stage::Sasl, Stage::Open, Stage::Begin, Stage::Attach, Stage::PutToken]),
            Duration::from_millis(dice.below(20_000)),
        ),
    }
}

fn state(dice: &mut Dice) -> Fault {
    match dice.below(6) {
        0 => Fault::silence(),
        1 => Fault::server_busy(),
        // It takes no time on a paused clock, and much of everybody else's.
        2 if dice.one_in(2) => Fault::byte_by_byte(),
        2 => Fault::silence(),
        3 => Fault::withhold_credit(),
        4 => Fault::out_of_order(),
        _ => Fault::delay_outcomes(Duration::from_millis(dice.below(12_000))),
    }
}

fn aimed(fault: Fault, dice: &mut Dice) -> Fault {
    match dice.below(8) {
        0 | 1 => fault.on_connection(1 + dice.below(SLOTS + 2)),
        2 => fault.on_hub(HUB),
        3 => fault.on_link(&format!("{HUB}/Partitions/{}", dice.below(PARTITIONS))),
        4 => fault.on_link(&format!("{HUB}/ConsumerGroups/$Default/Partitions/{}", dice.below(PARTITIONS))),
        5 if dice.one_in(2) => fault.on_link("$cbs"),
        _ => fault,
    }
}
