//! HTTP/1.1 on the wire, judged and written: pure functions of bytes, no I/O.
