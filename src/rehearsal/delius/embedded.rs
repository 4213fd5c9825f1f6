//! The people that come with the program, so that it works with no files.
//!
//! A table without a build script: what is missing from it or from the directory fails a test in `data`.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../people/", $name)))),*]
    };
}

/// Every file of `src/rehearsal/people` that [`super::Data`] reads; a test compares the table with the directory.
pub(super) const EMBEDDED: &[(&str, &[u8])] = embedded![
    "legacy-2018/offender-all/Z9001XA.json",
    "legacy-2018/offender-all/Z9002XB.json",
    "legacy-2018/offender-all/Z9003XC.json",
    "legacy-2018/offender-all/Z9004XD.json",
    "legacy-2018/offender-all/Z9005XE.json",
    "legacy-2018/offender-all/Z9006XF.json",
    "legacy-2018/offender-all/Z9007XG.json",
    "legacy-2018/offender-all/Z9011XL.json",
    "legacy-2018/registrations/Z9001XA.json",
    "legacy-2018/registrations/Z9002XB.json",
    "legacy-2018/registrations/Z9003XC.json",
    "legacy-2018/registrations/Z9004XD.json",
    "legacy-2018/registrations/Z9005XE.json",
    "legacy-2018/registrations/Z9006XF.json",
    "legacy-2018/registrations/Z9007XG.json",
    "legacy-2018/registrations/Z9011XL.json",
    "legacy-2018/users.json",
    "legacy/all-offender-managers/Z9001XA.json",
    "legacy/all-offender-managers/Z9002XB.json",
    "legacy/all-offender-managers/Z9003XC.json",
    "legacy/all-offender-managers/Z9004XD.json",
    "legacy/all-offender-managers/Z9005XE.json",
    "legacy/all-offender-managers/Z9006XF.json",
    "legacy/all-offender-managers/Z9007XG.json",
    "legacy/all-offender-managers/Z9011XL.json",
    "legacy/mappa/Z900001.json",
    "legacy/mappa/Z900005.json",
    "legacy/offender-all/Z9001XA.json",
    "legacy/offender-all/Z9002XB.json",
    "legacy/offender-all/Z9003XC.json",
    "legacy/offender-all/Z9004XD.json",
    "legacy/offender-all/Z9005XE.json",
    "legacy/offender-all/Z9006XF.json",
    "legacy/offender-all/Z9007XG.json",
    "legacy/offender-all/Z9011XL.json",
    "legacy/registrations/Z9001XA.json",
    "legacy/registrations/Z9002XB.json",
    "legacy/registrations/Z9003XC.json",
    "legacy/registrations/Z9004XD.json",
    "legacy/registrations/Z9005XE.json",
    "legacy/registrations/Z9006XF.json",
    "legacy/registrations/Z9007XG.json",
    "legacy/registrations/Z9011XL.json",
    "legacy/resourcing-latest/Z9001XA.json",
    "legacy/resourcing-latest/Z9002XB.json",
    "legacy/resourcing-latest/Z9003XC.json",
    "legacy/resourcing-latest/Z9005XE.json",
    "legacy/resourcing-latest/Z9006XF.json",
    "legacy/resourcing-latest/Z9007XG.json",
    "legacy/resourcing-latest/Z9011XL.json",
    "people.json",
];
