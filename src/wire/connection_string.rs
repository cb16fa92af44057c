//! (placeholder: connection_string)
