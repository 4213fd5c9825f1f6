//! Lies about one person: a reply changed by a JSON merge patch (RFC 7396), for a demo that breaks a route on purpose.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use super::data::Endpoint;

/// By CRN and endpoint; `null` hides the person.
#[derive(Default)]
pub(super) struct Lies(Mutex<BTreeMap<(String, Endpoint), Value>>);

impl Lies {
    pub(super) fn tell(&self, crn: &str, endpoint: Endpoint, patch: Value) {
        self.lies().insert((crn.to_owned(), endpoint), patch);
    }

    pub(super) fn forget(&self) {
        self.lies().clear();
    }

    /// The reply as it is told; `None`: that there is none.
    pub(super) fn told(&self, crn: &str, endpoint: Endpoint, truth: Bytes) -> Option<Bytes> {
        let patch = self.lies().get(&(crn.to_owned(), endpoint)).cloned();
        match patch {
            None => Some(truth),
            Some(Value::Null) => None,
            Some(patch) => {
                let mut told = serde_json::from_slice(&truth).unwrap_or(Value::Null);
                merge(&mut told, patch);
                Some((serde_json::to_string_pretty(&told).unwrap_or_default() + "\n").into())
            }
        }
    }

    fn lies(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, Endpoint), Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Lies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lies").finish_non_exhaustive()
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return; // it was just made one
    };
    for (name, change) in changes {
        if change.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_adds_and_removes_as_the_rfc_says() {
        let mut target = json!({ "a": "b", "c": { "d": "e", "f": "g" }, "l": [1] });
        merge(
            &mut target,
            json!({ "a": "z", "c": { "f": null, "n": { "x": null } }, "l": [2] }),
        );
        assert_eq!(target, json!({ "a": "z", "c": { "d": "e", "n": {} }, "l": [2] }));
    }

    #[test]
    fn a_lie_is_about_one_person_until_the_truth_is_told() {
        let lies = Lies::default();
        let truth = Bytes::from_static(b"{\"a\":1}");
        let told = |crn| lies.told(crn, Endpoint::CaseRecord, truth.clone());
        lies.tell("Z900001", Endpoint::CaseRecord, json!({ "a": 2 }));
        lies.tell("Z900002", Endpoint::CaseRecord, Value::Null);
        assert_eq!(told("Z900001").unwrap(), "{\n  \"a\": 2\n}\n");
        assert_eq!((told("Z900002"), told("Z900003")), (None, Some(truth.clone())));
        assert_eq!(
            lies.told("Z900001", Endpoint::Mappa, truth.clone()),
            Some(truth.clone())
        );
        lies.forget();
        assert_eq!(
            (told("Z900001"), told("Z900002")),
            (Some(truth.clone()), Some(truth.clone()))
        );
    }
}
