//! One test binary; a file for each behaviour.

mod support;

mod docs;
mod errors;
mod faulty;
mod floors;
mod forward;
mod framing;
mod imports;
mod limits;
mod peers;
