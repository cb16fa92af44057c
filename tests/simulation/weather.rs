//! What a connection has to go through: drawn once for each of them.

use std::time::Duration;

use super::random::Random;

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Bytes that one write gives away, or one read takes, at most.
    pub(crate) piece: usize,
    /// Bytes that are under way before a write has to wait.
    pub(crate) room: usize,
    /// How long a piece is under way, at most; nothing overtakes.
    pub(crate) delay: Duration,
    /// After so many bytes everything behind them is held up for so long.
    pub(crate) stall: Option<(u64, Duration)>,
    /// After so many bytes it ends.
    pub(crate) ending: Option<(u64, Ending)>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// This direction is over; what is under way arrives, and the other direction goes on.
    HalfClose,
    /// Both are. When each end sees it; never, if it does not.
    Cut {
        seen: [Option<Duration>; 2],
        /// Whether what is under way arrives all the same.
        delivers: bool,
        /// Whether it is an error, or just the end.
        is_reset: bool,
    },
}

/// Both directions: from the client, and to it.
pub(crate) type Weather = [Way; 2];

pub(crate) fn weather(random: &mut Random) -> Weather {
    let mut ways = [0, 1].map(|_| way(random));
    if random.percent(55) {
        let way = random.below(2) as usize;
        ways[way].ending = Some((random.magnitude(8_000), ending(random)));
    }
    ways
}

fn way(random: &mut Random) -> Way {
    if random.percent(30) {
        return Way { piece: usize::MAX, room: 1 << 20, delay: Duration::ZERO, stall: None, ending: None };
    }
    Way {
        // Few of the smallest: they take their time.
        piece: if random.percent(6) { random.pick(&[1, 7]) } else { random.pick(&[60, 500, 4_000, usize::MAX]) },
        room: if random.percent(3) { 1 } else { random.pick(&[200, 1_000, 10_000, 1 << 20]) },
        delay: Duration::from_millis(random.pick(&[0, 1, 1, 20, 150, 1_500])),
        stall: random.percent(20).then(|| (random.magnitude(6_000), random.millis(1, 30_000))),
        ending: None,
    }
}

fn ending(random: &mut Random) -> Ending {
    if random.percent(25) {
        return Ending::HalfClose;
    }
    let mut seen = || match random.below(10) {
        0..=5 => Some(Duration::ZERO),
        6..=7 => Some(random.millis(1, 5_000)),
        // Its peer is not there any more, and nobody tells it.
        _ => None,
    };
    let seen = [seen(), seen()];
    Ending::Cut { seen, delivers: random.percent(50), is_reset: random.percent(50) }
}
