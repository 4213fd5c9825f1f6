//! Minimisation: which parts of a reply the application reads; everything else stays in the sidecar.
//!
//! A field is a JSON pointer (RFC 6901, with `~0` and `~1`) in which `*` is every element of an array or every entry of
//! an object; `~2` is a key that is a `*`. What a field names is kept whole, with the objects and arrays around it, and
//! so is a `null` on the way to it. A `*` keeps every element's place in its array. The empty pointer keeps all.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The parts of a reply that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    root: Node,
}

/// What is wrong with a list of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    #[error("the list of fields is empty, which would drop the whole reply; leave it out to keep everything")]
    Empty,
    #[error("the field \"{0}\" does not begin with `/`; write a JSON pointer such as /otherIds/crn or /list/*/code")]
    Pointer(String),
    #[error("the field \"{0}\" has a `~` that is none of ~0 (a `~`), ~1 (a `/`) and ~2 (a `*`)")]
    Escape(String),
    #[error("the field \"{0}\" stands twice in the list; take one out")]
    Twice(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Everything below is kept.
    whole: bool,
    every: Option<Box<Self>>,
    named: BTreeMap<String, Self>,
}

impl Fields {
    /// Reads a list of pointers.
    pub fn parse(list: &[String]) -> Result<Self, FieldsError> {
        if list.is_empty() {
            return Err(FieldsError::Empty);
        }
        let mut root = Node::default();
        for (at, field) in list.iter().enumerate() {
            if list[..at].contains(field) {
                return Err(FieldsError::Twice(field.clone()));
            }
            let mut node = &mut root;
            if !field.is_empty() {
                let path = field
                    .strip_prefix('/')
                    .ok_or_else(|| FieldsError::Pointer(field.clone()))?;
                for segment in path.split('/') {
                    node = if segment == "*" {
                        node.every.get_or_insert_default()
                    } else {
                        let key = unescaped(segment).ok_or_else(|| FieldsError::Escape(field.clone()))?;
                        node.named.entry(key).or_default()
                    };
                }
            }
            node.whole = true;
        }
        Ok(Self { root })
    }

    /// The reply without what no field names.
    #[must_use]
    pub fn keep(&self, value: &Value) -> Value {
        kept(&[&self.root], value)
    }
}

/// A key as it stands in the document.
fn unescaped(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut key = parts.next()?.to_owned();
    for part in parts {
        let mut rest = part.chars();
        key.push(match rest.next()? {
            '0' => '~',
            '1' => '/',
            '2' => '*',
            _ => return None,
        });
        key.push_str(rest.as_str());
    }
    Some(key)
}

/// The nodes that speak of one child: by its name, and by `*`.
fn below<'a>(nodes: &[&'a Node], name: &str) -> Vec<&'a Node> {
    let of = |node: &&'a Node| [node.named.get(name), node.every.as_deref()];
    nodes.iter().flat_map(of).flatten().collect()
}

fn kept(nodes: &[&Node], value: &Value) -> Value {
    if nodes.iter().any(|node| node.whole) {
        return value.clone();
    }
    match value {
        Value::Object(entries) => {
            let entry = |(key, inner): (&String, &Value)| {
                let nodes = below(nodes, key);
                (!nodes.is_empty() && leads(&nodes, inner)).then(|| (key.clone(), kept(&nodes, inner)))
            };
            Value::Object(entries.iter().filter_map(entry).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let item = |(at, inner): (usize, &Value)| {
                let every = nodes.iter().any(|node| node.every.is_some());
                let nodes = below(nodes, &at.to_string());
                (every || !nodes.is_empty() && leads(&nodes, inner)).then(|| kept(&nodes, inner))
            };
            Value::Array(items.iter().enumerate().filter_map(item).collect())
        }
        // a field goes further down than this value does: nothing of it was asked for
        _ => Value::Null,
    }
}

/// Whether something may be kept of a value: a text or a number that a field would only pass through is dropped.
fn leads(nodes: &[&Node], value: &Value) -> bool {
    value.is_object() || value.is_array() || value.is_null() || nodes.iter().any(|node| node.whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(list: &[&str]) -> Result<Fields, FieldsError> {
        Fields::parse(&list.iter().map(|&f| f.to_owned()).collect::<Vec<_>>())
    }

    fn keep(list: &[&str], value: &Value) -> Value {
        fields(list).unwrap_or_else(|e| panic!("{list:?}: {e}")).keep(value)
    }

    #[test]
    fn what_is_not_named_is_dropped_and_the_structure_stays() {
        let value = json!({"a": {"b": 1, "c": 2}, "list": [{"x": 1, "y": {"z": 1}}, {"y": 2}, {}], "d": "e"});
        for (list, expected) in [
            (&["/a/b"][..], json!({"a": {"b": 1}})),
            (&["/a"], json!({"a": {"b": 1, "c": 2}})),
            (&["/a", "/a/b"], json!({"a": {"b": 1, "c": 2}})),
            (&["/list/*/x"], json!({"list": [{"x": 1}, {}, {}]})),
            (&["/list/*/y/z"], json!({"list": [{"y": {"z": 1}}, {}, {}]})),
            (&["/list/1/y", "/d"], json!({"list": [{"y": 2}], "d": "e"})),
            (&["/*/b"], json!({"a": {"b": 1}, "list": []})),
            (&["/a/*"], json!({"a": {"b": 1, "c": 2}})),
            (&["/none"], json!({})),
            (&["/d/e"], json!({})),
            (&[""], value.clone()),
        ] {
            assert_eq!(keep(list, &value), expected, "{list:?}");
        }
    }

    #[test]
    fn a_star_and_a_name_add_up() {
        let value = json!({"m": {"a": {"x": 1, "y": 2, "z": 3}, "b": {"x": 4, "y": 5, "z": 6}}});
        let expected = json!({"m": {"a": {"x": 1, "y": 2}, "b": {"x": 4}}});
        assert_eq!(keep(&["/m/*/x", "/m/a/y"], &value), expected);
    }

    #[test]
    fn escapes_name_keys_with_slash_tilde_and_star() {
        let value = json!({"a/b": 1, "m~n": 2, "*": 3, "": 4, "c": 5});
        assert_eq!(keep(&["/a~1b", "/m~0n"], &value), json!({"a/b": 1, "m~n": 2}));
        assert_eq!(keep(&["/~2", "/"], &value), json!({"*": 3, "": 4}));
        assert_eq!(keep(&["/m~0n"], &json!({"m~0n": 1})), json!({}));
    }

    #[test]
    fn arrays_at_the_root_nulls_and_other_types_are_kept_as_they_lie() {
        assert_eq!(
            keep(&["/*/a"], &json!([{"a": 1, "b": 2}, null, "text"])),
            json!([{"a": 1}, null, null])
        );
        assert_eq!(keep(&["/a/b"], &json!({"a": null, "c": null})), json!({"a": null}));
        assert_eq!(keep(&["/a"], &json!({"a": null})), json!({"a": null}));
        assert_eq!(keep(&["/a"], &json!("a person's name")), json!(null));
        assert_eq!(keep(&["/a/b"], &json!({"a": "a person's name"})), json!({}));
    }

    #[test]
    fn a_list_that_means_nothing_is_refused() {
        assert_eq!(fields(&[]), Err(FieldsError::Empty));
        assert_eq!(fields(&["a"]), Err(FieldsError::Pointer("a".into())));
        assert_eq!(fields(&["/a~"]), Err(FieldsError::Escape("/a~".into())));
        assert_eq!(fields(&["/a~3"]), Err(FieldsError::Escape("/a~3".into())));
        assert_eq!(fields(&["/a", "/b", "/a"]), Err(FieldsError::Twice("/a".into())));
    }

    #[test]
    fn a_whole_person_is_reduced_to_what_the_application_reads() {
        let text = include_str!("../rehearsal/people/legacy/offender-all/Z9001XA.json");
        let whole: Value = serde_json::from_str(text).expect("the fixture is JSON");
        let kept = keep(
            &[
                "/otherIds/crn",
                "/currentTier",
                "/offenderManagers/*/active",
                "/offenderManagers/*/team/localDeliveryUnit/code",
            ],
            &whole,
        );
        let team = |code| json!({"localDeliveryUnit": {"code": code}});
        assert_eq!(
            kept,
            json!({
                "otherIds": {"crn": "Z900001"},
                "currentTier": "A-2",
                "offenderManagers": [
                    {"active": true, "team": team("N99TLDU")},
                    {"active": false, "team": team("N99SLDU")},
                ],
            })
        );
    }
}
