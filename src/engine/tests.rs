//! Frame scripts.
