//! What differs between two views of one person, by structure, under declared rules. Pure; no value of a view ever leaves.
