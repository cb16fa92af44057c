//! (placeholder: value)
