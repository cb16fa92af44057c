//! Serial numbers of 32 bits run over.

use super::support::*;
use crate::engine::*;

#[test]
fn fifty_deliveries_cross_the_end_of_all_numbers() {
    let wrapping = |role| Config { first_number: u32::MAX - 5, ..config(role) };
    for (client, server) in [
        (wrapping(Role::Client), config(Role::Server)),
        (config(Role::Client), wrapping(Role::Server)),
        (wrapping(Role::Client), wrapping(Role::Server)),
    ] {
        for credit in [1, 4, 1_000] {
            let mut pair = Pair::new(client.clone(), server.clone(), usize::MAX, credit);
            let link = pair.link();
            for key in 0..50 {
                pair.client.send(link, key, key as usize);
            }
            pair.run();
            let sizes: Vec<u64> = pair.received.iter().map(|delivery| delivery.size).collect();
            assert_eq!(sizes, (0..50).collect::<Vec<_>>(), "credit {credit}");
            assert_eq!(pair.client.outcomes().len(), 50);
            assert!(pair.client.outcomes().iter().all(|(_, outcome)| *outcome == Outcome::Accepted));
            assert_eq!(pair.client.connection.unsettled_len(), 0);
        }
    }
}

#[test]
fn a_disposition_may_cross_the_end() {
    let config = Config { first_number: u32::MAX - 1, ..config(Role::Client) };
    let (mut script, link) = Script::sending_with(config, 65_536, 10);
    for key in 0..5 {
        script.send(link, key, 1);
    }
    assert_eq!(script.frames().len(), 5);
    script.feed(&crate::wire::frame::encoded(9, &disposition(u32::MAX - 1, Some(2), accepted())));
    assert_eq!(script.outcomes().len(), 5);
}
