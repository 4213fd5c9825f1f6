//! Bytes that never print and are wiped on drop.
