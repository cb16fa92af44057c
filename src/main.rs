//! The `hubwire` command.

fn main() {}
