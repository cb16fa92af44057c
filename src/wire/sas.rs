//! (placeholder: sas)
