//! The shipped comparison at work: the view programs, the known rules and the comparison, as they are configured in
//! `config/mapping/view/README.md`, over people of the fixtures (`oracle`) and over made-up ones (`invented`, `mappa`).

mod bench;
mod invented;
mod mappa;
mod oracle;
mod people;
