//! stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {}
