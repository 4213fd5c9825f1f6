//! Watches directories for changes of certificates.
