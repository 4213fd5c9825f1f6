//! The head that a leg's upstream gets: from what was asked, the leg's templates and its request program.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::settings::Authorization;
use crate::fault::{Code, Fault};
use crate::mapping::Bounds;
use crate::proxy::plan::Leg;
use crate::route::path;
use crate::upstream::Target;
use crate::wire::framing::Length;
use crate::wire::head::{self, Fields};
use crate::wire::headers::{RequestRules, may_be_set, write_request};

use super::asked::Asked;

/// Of a path or a query that a program makes.
const LONGEST: usize = 4096;

/// One request to the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Wanted {
    /// The part it stands for; empty where there is only one request.
    pub(super) part: String,
    path: Option<String>,
    /// `Some("")`: none.
    query: Option<String>,
    headers: Vec<(String, String)>,
}

/// What the leg's request program wants; without one, a single request as it came.
pub(super) fn wanted(leg: &Leg, asked: &Asked) -> Result<Vec<Wanted>, Fault> {
    let Some(program) = &leg.request else {
        return Ok(vec![Wanted::default()]);
    };
    let failed = |why: &dyn std::fmt::Display| {
        let sentence = format!("the program {} made no request: {why}", program.name());
        Fault::new(Code::MappingFailed, sentence)
    };
    let made = program.run(&input(asked), &Bounds::default());
    let made = made.map_err(|error| failed(&error))?;
    let Some(Value::Object(made)) = made else {
        return Err(failed(&"its output is not an object"));
    };
    if leg.parts.is_empty() {
        return Ok(vec![one(String::new(), &made).map_err(|why| failed(&why))?]);
    }
    let Some(Value::Object(parts)) = made.get("parts") else {
        return Err(failed(&"`parts` is missing, and the leg is configured with parts"));
    };
    let named = |name: &String| match parts.get(name) {
        Some(Value::Object(part)) => one(name.clone(), part).map_err(|why| failed(&why)),
        _ => Err(failed(&format!("the part {name} is missing"))),
    };
    leg.parts.iter().map(named).collect()
}

/// What a request program is told.
fn input(asked: &Asked) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers = BTreeMap::new();
    let mut fields = Fields::default();
    if fields.parse_request(&asked.head, &head::Bounds::JUDGED).is_ok() {
        for field in fields.iter() {
            let name = text(field.name_span.of(&asked.head)).to_ascii_lowercase();
            // A token is nobody's input.
            if name != "authorization" && name != "cookie" {
                headers.entry(name).or_insert_with(|| text(field.value.of(&asked.head)));
            }
        }
    }
    json!({
        "method": asked.method,
        "params": asked.values(),
        "query": asked.query.get(1..).map(text),
        "headers": headers,
    })
}

fn one(part: String, made: &Map<String, Value>) -> Result<Wanted, String> {
    let text = |key: &str| match made.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= LONGEST => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(format!("`{key}` is longer than {LONGEST} bytes")),
        Some(_) => Err(format!("`{key}` is not a text")),
    };
    let path = text("path")?;
    if let Some(path) = &path {
        let mut scratch = Vec::new();
        // What a program makes of a path must be as unambiguous as what a caller sends.
        match path::normalise(path.as_bytes(), &mut scratch) {
            Ok(normal) if normal == path => {}
            _ => return Err("`path` is not a normalised path that begins with `/`".to_owned()),
        }
    }
    let query = match made.get("query") {
        Some(Value::Null) => Some(String::new()),
        _ => text("query")?,
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if query.iter().any(|query| !query.bytes().all(plain)) {
        return Err("`query` holds what no query can hold; encode it with @uri".to_owned());
    }
    let mut headers = Vec::new();
    match made.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(all)) => {
            for (name, value) in all {
                let Value::String(value) = value else {
                    return Err("a value in `headers` is not a text".to_owned());
                };
                if !may_be_set(name) || !head::is_field_value(value.as_bytes()) {
                    return Err("a field in `headers` cannot be set, or its value is not one of a header".to_owned());
                }
                headers.push((name.clone(), value.clone()));
            }
        }
        Some(_) => return Err("`headers` is not an object".to_owned()),
    }
    Ok(Wanted {
        part,
        path,
        query,
        headers,
    })
}

/// What a request line is made of.
pub(in crate::proxy) struct Line<'a> {
    pub(in crate::proxy) method: &'a str,
    /// Normalised.
    pub(in crate::proxy) path: &'a str,
    /// With its `?`; empty when there is none.
    pub(in crate::proxy) query: &'a [u8],
    /// In place of both, what a request program made.
    pub(in crate::proxy) wanted: Option<&'a Wanted>,
}

/// Appends the request line that a leg's upstream gets (RFC 9112 section 3). `param` has the parameters of the route.
pub(in crate::proxy) fn write_line<'a>(
    out: &mut Vec<u8>,
    leg: &Leg,
    target: &Target,
    line: &Line<'_>,
    param: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Fault> {
    let path = line.wanted.and_then(|wanted| wanted.path.as_ref());
    let query = line.wanted.and_then(|wanted| wanted.query.as_ref());
    out.extend_from_slice(line.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.base_path.as_bytes());
    match (path, &leg.path) {
        (Some(path), _) => out.extend_from_slice(path.as_bytes()),
        // Plans are only made of legs whose parameters the route captures.
        (None, Some(template)) => template
            .expand_with(out, param)
            .map_err(|error| Fault::new(Code::RouteUnknown, error.to_string()))?,
        (None, None) => out.extend_from_slice(line.path.as_bytes()),
    }
    match query {
        Some(query) if query.is_empty() => {}
        Some(query) => {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        None if leg.drops_query => {}
        None => out.extend_from_slice(line.query),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Appends the whole request: head, and the content where it is at hand.
pub(super) fn write(
    out: &mut Vec<u8>,
    leg: &Leg,
    target: &Target,
    asked: &Asked,
    wanted: &Wanted,
    bearer: Option<&[u8]>,
) -> Result<(), Fault> {
    let unreadable = || Fault::new(Code::RequestMalformed, "the request's head could not be read again");
    let mut fields = Fields::default();
    fields
        .parse_request(&asked.head, &head::Bounds::JUDGED)
        .map_err(|_| unreadable())?;
    let line = Line {
        method: &asked.method,
        path: &asked.path,
        query: &asked.query,
        wanted: Some(wanted),
    };
    write_line(out, leg, target, &line, |name| asked.param(name))?;
    let mut set = asked.set.clone();
    set.extend_from_slice(&leg.set);
    let mut without = std::borrow::Cow::Borrowed(&leg.without);
    for (name, value) in &wanted.headers {
        set.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        without.to_mut().push(name.as_str().into());
    }
    if let Some(bearer) = bearer {
        set.extend_from_slice(b"Authorization: ");
        set.extend_from_slice(bearer);
        set.extend_from_slice(b"\r\n");
    }
    let rules = RequestRules {
        host: &target.host,
        pass_authorization: bearer.is_none() && leg.authorization == Authorization::Pass,
        length: match asked.content.len() {
            // What came without content leaves so; a PUT with an empty one says it.
            0 if is_bodiless(&asked.method) => Length::Empty,
            bytes => Length::Known(bytes as u64),
        },
        set: &set,
        without: &without,
        trace_parent: &asked.trace_parent,
        request_id: &asked.request_id,
    };
    write_request(out, &asked.head, &fields, &rules);
    out.extend_from_slice(&asked.content);
    Ok(())
}

fn is_bodiless(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(value: Value) -> Result<Wanted, String> {
        match value {
            Value::Object(made) => one(String::new(), &made),
            _ => panic!("an object"),
        }
    }

    #[test]
    fn a_program_can_set_path_query_and_headers() {
        let wanted = made(json!({"path": "/a/B1", "query": "x=1", "headers": {"x-a": "b"}})).unwrap();
        assert_eq!(wanted.path.as_deref(), Some("/a/B1"));
        assert_eq!(wanted.query.as_deref(), Some("x=1"));
        assert_eq!(wanted.headers, [("x-a".to_owned(), "b".to_owned())]);
        assert_eq!(made(json!({"query": null})).unwrap().query.as_deref(), Some(""));
        assert_eq!(made(json!({})).unwrap(), Wanted::default());
    }

    #[test]
    fn what_a_program_makes_is_held_to_what_a_caller_may_send() {
        for wrong in [
            json!({"path": "a"}),
            json!({"path": "/a/../b"}),
            json!({"path": "/a b"}),
            json!({"path": "/a?x"}),
            json!({"path": "/a\r\nX: y"}),
            json!({"path": 7}),
            json!({"query": "a b"}),
            json!({"query": "a\r\nb"}),
            json!({"headers": {"x": "a\r\nb"}}),
            json!({"headers": {"Host": "elsewhere"}}),
            json!({"headers": {"Authorization": "Bearer x"}}),
            json!({"headers": {"a b": "c"}}),
            json!({"headers": []}),
        ] {
            assert!(made(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
