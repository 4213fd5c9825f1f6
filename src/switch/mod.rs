//! Which leg answers: modes, the canary split by person, gates and their evidence. Pure.
