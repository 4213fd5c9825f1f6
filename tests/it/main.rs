//! One test binary; a file for each behaviour.

mod docs;
mod floors;
mod imports;
