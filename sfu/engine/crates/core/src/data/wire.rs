//! Protocol-buffer wire format: a bounded walk over fields, and a writer. Knows no message type.
