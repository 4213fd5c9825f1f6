//! The mapping programs that the group of the demo names, from `config/mapping`: they come with the binary, since a demo runs
//! where there is nothing else.

use std::io;
use std::path::Path;

macro_rules! program {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../config/", $name)))
    };
}

/// Names as the configuration has them, and texts.
pub(super) const PROGRAMS: [(&str, &str); 18] = [
    program!("mapping/request/by-noms.jq"),
    program!("mapping/offender.standard.jq"),
    program!("mapping/registrations.standard.jq"),
    program!("mapping/resourcing.standard.jq"),
    program!("mapping/managers.standard.jq"),
    program!("mapping/view/offender.jq"),
    program!("mapping/view/registrations.jq"),
    program!("mapping/view/resourcing.ndh.jq"),
    program!("mapping/view/resourcing.standard.jq"),
    program!("mapping/view/all-offender-managers.jq"),
    program!("mapping/known/name-cosmetic.jq"),
    program!("mapping/known/email-cosmetic.jq"),
    program!("mapping/known/mappa-highest-versus-latest.jq"),
    program!("mapping/known/mappa-rule-too-wide.jq"),
    program!("mapping/known/resourcing-default.jq"),
    program!("mapping/known/resourcing-scope-or-defect.jq"),
    program!("mapping/known/resourcing-same-outcome.jq"),
    program!("mapping/known/standard-filters-more.jq"),
];

/// Writes them below `directory`.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    for (name, text) in PROGRAMS {
        let file = directory.join(name);
        if let Some(place) = file.parent() {
            std::fs::create_dir_all(place)?;
        }
        std::fs::write(file, text)?;
    }
    Ok(())
}
