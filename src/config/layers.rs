//! Layers into one tree: tables key by key, entries of `[[route]]` by name, everything else as the last layer says.
//!
//! Every value keeps the place where it was written, so that a problem of the whole is shown in the layer that has to
//! be edited.

use super::file::{Entry, Kind, Table, Value};
use super::schema::{Fields, Shape};

/// Puts `over` on top of `base`.
pub(super) fn merge(fields: Fields, base: &mut Table, over: Table) {
    for (key, entry) in over.0 {
        let shape = fields.iter().find(|(known, _)| *known == key).map(|(_, shape)| *shape);
        let below = base.0.remove(&key);
        base.0.insert(key, merge_entry(shape, below, entry));
    }
}

fn merge_entry(shape: Option<Shape>, below: Option<Entry>, over: Entry) -> Entry {
    let Some(below) = below else { return over };
    let kind = match (shape, below.value.kind, over.value.kind) {
        (Some(Shape::Table(fields)), Kind::Table(mut base), Kind::Table(over)) => {
            merge(fields, &mut base, over);
            Kind::Table(base)
        }
        (Some(Shape::Named(fields)), Kind::Table(mut base), Kind::Table(over)) => {
            for (name, entry) in over.0 {
                let below = base.0.remove(&name);
                base.0
                    .insert(name, merge_entry(Some(Shape::Table(fields)), below, entry));
            }
            Kind::Table(base)
        }
        (Some(Shape::Rows(fields)), Kind::List(base), Kind::List(over)) => Kind::List(merge_rows(fields, base, over)),
        (_, _, over) => over,
    };
    let place = over.value.place;
    Entry {
        key: over.key,
        value: Value { kind, place },
    }
}

fn merge_rows(fields: Fields, mut base: Vec<Value>, over: Vec<Value>) -> Vec<Value> {
    for item in over {
        let below = base.iter_mut().find(|below| match (row_name(below), row_name(&item)) {
            (Some(below), Some(over)) => below == over,
            _ => false,
        });
        match (below, item.kind) {
            (Some(below), Kind::Table(over)) => {
                below.place = item.place;
                if let Kind::Table(table) = &mut below.kind {
                    merge(fields, table, over);
                }
            }
            (_, kind) => base.push(Value {
                kind,
                place: item.place,
            }),
        }
    }
    base
}

/// The name that tells an entry apart.
pub(super) fn row_name(row: &Value) -> Option<&str> {
    match &row.kind {
        Kind::Table(table) => table.text("name"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::{Place, Report};
    use crate::config::{file, schema};

    fn merged(layers: &[&str]) -> Table {
        let report = Report::default();
        let mut base = Table::default();
        for (source, text) in layers.iter().enumerate() {
            let table = file::parse(source, text, &report).expect("valid TOML");
            merge(schema::RUN, &mut base, table);
        }
        base
    }

    fn inner<'a>(table: &'a Table, key: &str) -> &'a Table {
        match &table.value(key).expect("the key").kind {
            Kind::Table(table) => table,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tables_merge_key_by_key_and_values_keep_their_layer() {
        let found = merged(&[
            "[upstream.ndh]\nurl = \"a\"\ntrust = \"t\"\n[upstream.ndh.timeouts]\nconnect = \"1s\"",
            "[upstream.ndh]\nurl = \"b\"\n[upstream.other]\nurl = \"c\"",
        ]);
        let upstreams = inner(&found, "upstream");
        let ndh = inner(upstreams, "ndh");
        assert_eq!((ndh.text("url"), ndh.text("trust")), (Some("b"), Some("t")));
        assert_eq!(inner(ndh, "timeouts").text("connect"), Some("1s"));
        assert_eq!(inner(upstreams, "other").text("url"), Some("c"));
        let source = |key| match &ndh.value(key).expect("the key").place {
            Place::File { source, .. } => *source,
            Place::Variable(_) => panic!("no variable here"),
        };
        assert_eq!((source("url"), source("trust")), (1, 0));
    }

    #[test]
    fn routes_merge_by_name_and_new_ones_are_added_in_order() {
        let found = merged(&[
            "[[route]]\nname = \"a\"\nmatch = \"GET /a\"\n[[route]]\nname = \"b\"\nmatch = \"GET /b\"",
            "[[route]]\nname = \"c\"\nmatch = \"GET /c\"\n[[route]]\nname = \"a\"\nperson = \"p\"",
        ]);
        let Kind::List(routes) = &found.value("route").expect("routes").kind else {
            panic!()
        };
        let names: Vec<_> = routes.iter().filter_map(row_name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let Kind::Table(a) = &routes[0].kind else { panic!() };
        assert_eq!((a.text("match"), a.text("person")), (Some("GET /a"), Some("p")));
    }

    #[test]
    fn a_list_of_texts_is_replaced_whole() {
        let found = merged(&[
            "[identity.a]\nexpect_dns = [\"x\", \"y\"]",
            "[identity.a]\nexpect_dns = [\"z\"]",
        ]);
        let Kind::List(names) = &inner(inner(&found, "identity"), "a")
            .value("expect_dns")
            .expect("names")
            .kind
        else {
            panic!()
        };
        assert_eq!(names.len(), 1);
    }
}
