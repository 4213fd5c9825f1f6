//! HTTP/1.1 on the wire, judged and written: pure functions of bytes, no I/O (RFC 9110, RFC 9112).
//!
//! The sidecar reads every head itself, once, on both sides: the application's request and the upstream's reply.
//! Whatever could be read in two ways is refused, because the next reader might read it the other way. There is no
//! header map: a head stays the bytes that arrived plus a list of spans, and the head for the other side is written
//! from those spans. Letter case and order of the fields survive.

pub mod body;
pub mod end;
pub mod framing;
pub mod head;
pub mod headers;
pub mod http2;
pub mod name;
pub mod reply;
pub mod whole;
