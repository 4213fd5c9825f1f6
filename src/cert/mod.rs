//! What certificates say and whether they may be used: pure, "now" is an argument (seconds since the Unix epoch).
//!
//! Bytes become a [`load::Bundle`], which says by existing that leaf, chain and key fit together; [`facts`] reads what
//! a certificate says; [`verify`] judges a bundle at a given time, [`chain`] with the verifier that handshakes use, [`crl`] reads
//! lists of revoked certificates;
//! [`peer`] says which certificates are meant; [`issue`] makes certificates for development, rehearsal and every test.

pub mod chain;
pub mod crl;
pub mod facts;
pub mod issue;
pub mod load;
pub mod peer;
pub mod verify;

pub use chain::Trusted;
