//! (placeholder: batch)
