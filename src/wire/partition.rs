//! (placeholder: partition)
