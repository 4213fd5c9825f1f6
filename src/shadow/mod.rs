//! The other leg, asked beside the request: replies are compared, and nobody waits for it.
