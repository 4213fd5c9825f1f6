//! One test binary; a file for each behaviour.

mod support;

mod peers;
