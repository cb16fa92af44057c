//! Those who send: several batches at a time, to a hub, a partition, with a key; some leave before they are answered.

use std::sync::Arc;
use std::time::Duration;

use hubwire::{Batch, Connection, Error, SendError, Sender};
use tokio::task::JoinSet;

use crate::HUB;
use crate::book::{BatchId, Route, Told};
use crate::dice::Dice;
use crate::plan::{Publisher, Target};
use crate::world::{CLOSE_TIMEOUT, OPEN_TIMEOUT, SEND_TIMEOUT, World, plausible, within};

const MAX_AT_ONCE: u64 = 6;
const REST: Duration = Duration::from_secs(8);

/// A batch that is to be sent, for the first time or again.
struct Waiting {
    id: BatchId,
    batch: Batch,
}

/// What came of a batch that came back.
struct Back {
    waiting: Option<Waiting>,
    cause: Option<Error>,
}

/// Sends until all has been sent, or the storm is over.
pub(crate) async fn publish(world: Arc<World>, publisher: Publisher) -> Result<(), String> {
    let mut dice = Dice::new(publisher.seed);
    let (mut left, mut again) = (publisher.batches, Vec::new());
    while (left > 0 || !again.is_empty()) && !world.is_over() {
        tokio::time::sleep(dice.span_below(REST)).await;
        let Some(lease) = world.lease(publisher.slot).await? else { continue };
        let attached = within(OPEN_TIMEOUT, "a sender", attach(&lease.connection, publisher.to)).await?;
        let sender = match attached {
            Ok(sender) => Arc::new(sender),
            Err(error) => {
                world.say(|| format!("no sender to {:?}: {error}", publisher.to));
                world.on_error(&lease, &error, &mut dice).await?;
                continue;
            }
        };
        let cause = send_over(&world, &sender, publisher, &mut dice, &mut left, &mut again).await?;
        if let Some(cause) = cause {
            world.on_error(&lease, &cause, &mut dice).await?;
        } else if dice.one_in(6) {
            world.give_up(&lease, &mut dice).await?;
        }
        if let Some(sender) = Arc::into_inner(sender).filter(|_| dice.one_in(2)) {
            within(CLOSE_TIMEOUT, "a sender's close", sender.close()).await?;
        }
    }
    Ok(())
}

async fn attach(connection: &Connection, to: Target) -> Result<Sender, Error> {
    match to {
        Target::Hub => connection.sender(HUB).await,
        Target::Partition(id) => connection.partition_sender(HUB, &id.to_string()).await,
    }
}

/// Some rounds over one link; why it is of no more use, if it is not.
async fn send_over(
    world: &Arc<World>,
    sender: &Arc<Sender>,
    publisher: Publisher,
    dice: &mut Dice,
    left: &mut usize,
    again: &mut Vec<Waiting>,
) -> Result<Option<Error>, String> {
    let link = world.next_link();
    for _ in 0..1 + dice.below(6) {
        let mut round = std::mem::take(again);
        for _ in 0..dice.below(MAX_AT_ONCE).min(*left as u64) {
            round.push(pack(world, sender, publisher.to, dice));
            *left -= 1;
        }
        let mut sends = JoinSet::new();
        for waiting in round {
            sends.spawn(send(world.clone(), sender.clone(), link, waiting, Dice::new(dice.next())));
        }
        let mut cause = None;
        for back in sends.join_all().await {
            let back = back?;
            // Most are sent again; some are given up.
            again.extend(back.waiting.filter(|_| !dice.one_in(8)));
            cause = cause.or(back.cause);
        }
        if cause.is_some() || world.is_over() {
            return Ok(cause);
        }
        tokio::time::sleep(dice.span_below(REST)).await;
    }
    Ok(None)
}

fn pack(world: &World, sender: &Sender, to: Target, dice: &mut Dice) -> Waiting {
    let route = match to {
        Target::Partition(id) => Route::Partition(id),
        Target::Hub if dice.one_in(2) => Route::Key(format!("device-{}", dice.below(5))),
        Target::Hub => Route::Anywhere,
    };
    let mut batch = match &route {
        Route::Key(key) => sender.batch_with_partition_key(key).expect("a fine key"),
        _ => sender.batch(),
    };
    let (id, events) = world.book().enter(1 + dice.small_below(16), route);
    for event in events {
        assert!(batch.try_add(event).is_added(), "16 events of 100 KB at most: few are that large");
    }
    Waiting { id, batch }
}

/// Sends a batch, and tells the book what was said of it.
async fn send(
    world: Arc<World>,
    sender: Arc<Sender>,
    link: u64,
    Waiting { id, batch }: Waiting,
    mut dice: Dice,
) -> Result<Back, String> {
    tokio::time::sleep(dice.span_below(Duration::from_secs(1))).await;
    let patience = if dice.one_in(6) { dice.span_below(SEND_TIMEOUT) } else { SEND_TIMEOUT * 20 };
    let (as_it_was, events) = (batch.clone(), batch.len());
    world.book().leaves(id, link);
    let sending = within(SEND_TIMEOUT, format!("the send of {id:?}"), sender.send(batch));
    let Ok(sent) = tokio::time::timeout(patience, sending).await else {
        world.say(|| format!("{id:?} is left"));
        return Ok(Back { waiting: None, cause: None });
    };
    let (told, batch, cause) = match sent? {
        Ok(accepted) if accepted.events == events => {
            world.say(|| format!("{id:?} is accepted"));
            world.book().told(id, Told::Accepted);
            return Ok(Back { waiting: None, cause: None });
        }
        Ok(accepted) => return Err(format!("{id:?} of {events} events: {accepted:?}")),
        Err(SendError::Rejected { batch, .. }) => (Told::Refused, batch, None),
        Err(SendError::NotSent { batch, cause }) => (Told::Refused, batch, Some(cause)),
        Err(SendError::Unknown { batch, cause }) => (Told::Maybe, batch, Some(cause)),
        Err(other) => return Err(format!("{id:?}: {other:?}")),
    };
    world.say(|| format!("{id:?} comes back, {told:?}: {cause:?}"));
    world.book().told(id, told);
    if batch != as_it_was {
        return Err(format!("{id:?} comes back, and is not encoded as it was"));
    }
    cause.iter().try_for_each(plausible)?;
    let cause = cause.filter(|cause| !matches!(cause, Error::Released));
    Ok(Back { waiting: (told == Told::Refused).then_some(Waiting { id, batch }), cause })
}
