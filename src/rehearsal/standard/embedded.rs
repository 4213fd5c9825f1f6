//! The people of the standard side that come with the program, so that it works with no files.
//!
//! A table without a build script: what is missing from it or from the directory fails a test.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../people/", $name)))),*]
    };
}

/// Every file of `src/rehearsal/people` that [`super::Data`] reads.
pub(super) const EMBEDDED: &[(&str, &[u8])] = embedded![
    "people.json",
    "standard/case-records-with-rosh/Z9001XA.json",
    "standard/case-records/Z9001XA.json",
    "standard/case-records/Z9002XB.json",
    "standard/case-records/Z9003XC.json",
    "standard/case-records/Z9004XD.json",
    "standard/case-records/Z9005XE.json",
    "standard/case-records/Z9006XF.json",
    "standard/case-records/Z9008XH.json",
    "standard/case-records/Z9011XL.json",
    "standard/mappa/Z900001.json",
    "standard/mappa/Z900005.json",
    "standard/rosh/Z900001.json",
];
