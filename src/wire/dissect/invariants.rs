//! What holds of every tree, whatever the bytes.

use std::ops::Range;

use bytes::Bytes;

use super::{Dissection, MAX_NODES, Node};

/// Parts stand within the whole, and all that is told within the input; what says that the input broke says where.
pub(crate) fn check(input: &Bytes, found: &Dissection) {
    let all = 0..input.len();
    let nodes: usize = found.nodes.iter().map(|node| inside(node, &all)).sum();
    // Those that are there in any case, such as a frame's header, and what tokens say.
    assert!(nodes <= 2 * MAX_NODES + 16, "{nodes} nodes");
    assert!(found.faults.iter().all(|fault| fault.at <= input.len()), "{found:?}");
    assert!(found.faults.is_sorted_by_key(|fault| fault.at), "{found:?}");
    for range in found.rests.iter().chain(&found.secrets) {
        assert!(range.start <= range.end && range.end <= input.len(), "{found:?}");
    }
    assert!(found.rests.is_empty() || !found.faults.is_empty(), "{found:?}");
}

/// How many nodes there are in `node`, itself included.
fn inside(node: &Node, outer: &Range<usize>) -> usize {
    assert!(node.range.start <= node.range.end, "{node:?}");
    assert!(outer.start <= node.range.start && node.range.end <= outer.end, "{node:?} outside {outer:?}");
    assert!(node.body_len.is_none_or(|len| len <= node.range.len()), "{node:?}");
    1 + node.children.iter().map(|child| inside(child, &node.range)).sum::<usize>()
}
