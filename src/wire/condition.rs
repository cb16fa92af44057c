//! (placeholder: condition)
