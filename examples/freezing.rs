//! A handler as serverless hosts have them: one request at a time, state that is kept, and a process that is frozen in between,
//! for as long as the host likes. Here a request is a line of standard input, and each is an event.
//!
//! The connection is kept. What became of it while the process was frozen is looked at before an event is sent, and one that is
//! lost, or was left alone for too long, is made anew.

use std::io;

use hubwire::blocking::{Connection, Sender};
use hubwire::{ConnectionString, Error, Options, SendError};

struct Handler {
    connection_string: ConnectionString,
    event_hub: String,
    kept: Option<(Connection, Sender)>,
}

impl Handler {
    fn handle(&mut self, event: &str) -> String {
        let sender = match self.sender() {
            Ok(sender) => sender,
            Err(error) => return format!("not sent, no connection: {error}"),
        };
        let mut batch = sender.batch();
        if !batch.try_add(event).is_added() {
            return "too large".to_owned();
        }
        let Err(error) = sender.send(batch) else { return "accepted".to_owned() };
        if !error.is_retryable() {
            // The hub's no: the next request begins anew.
            self.kept = None;
        }
        match error {
            SendError::NotSent { cause, .. } => format!("not sent, safe to send again: {cause}"),
            SendError::Unknown { cause, .. } => format!("unknown, sending again may duplicate: {cause}"),
            refused => refused.to_string(),
        }
    }

    fn sender(&mut self) -> Result<&Sender, Error> {
        let kept = match self.kept.take() {
            Some(kept) => kept,
            None => {
                let connection = Connection::open(&self.connection_string, &Options::default())?;
                let sender = connection.sender(&self.event_hub)?;
                (connection, sender)
            }
        };
        Ok(&self.kept.insert(kept).1)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
    let named = std::env::var("EVENTHUB_NAME").ok();
    let event_hub = connection_string.resolve_event_hub(named.as_deref())?.to_owned();
    let mut handler = Handler { connection_string, event_hub, kept: None };
    for line in io::stdin().lines() {
        println!("{}", handler.handle(&line?));
    }
    Ok(())
}
