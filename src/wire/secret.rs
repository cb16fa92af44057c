//! (placeholder: secret)
