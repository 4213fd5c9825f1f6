//! What a reply says in the shape that the caller reads: the leg's response program, then the fields that it needs.

use serde_json::{Map, Value, json};

use crate::fault::{Code, Fault};
use crate::mapping::{Bounds, Fields, Program};
use crate::proxy::plan::Leg;

use super::ask::Raw;
use super::asked::Asked;

/// A reply that was made anew.
#[derive(Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// `None`: without content.
    pub body: Option<Value>,
}

impl std::fmt::Debug for Reply {
    /// A reply is about a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)
    }
}

/// Makes the caller's reply of what the leg said; `None`: it goes as it came.
///
/// # Errors
/// `mapping_failed`, with which program and why. No sentence holds anything of the reply.
pub fn understand(leg: &Leg, fields: Option<&Fields>, asked: &Asked, raw: &Raw) -> Result<Option<Reply>, Fault> {
    if asked.to_head() {
        return Ok(None);
    }
    let mut reply = match &leg.response {
        Some(program) => Some(respond(program, asked, raw)?),
        None => None,
    };
    if let Some(fields) = fields {
        let (status, body) = match &mut reply {
            Some(reply) => (reply.status, reply.body.take()),
            None => {
                let whole = raw.first();
                (whole.status, json_of(&whole.body))
            }
        };
        if (200..300).contains(&status) {
            let Some(body) = body else {
                // Passing on what was not understood would pass on what is to be left out.
                let sentence = "the reply is not JSON, so the fields that the application reads cannot be picked out";
                return Err(Fault::new(Code::MappingFailed, sentence));
            };
            reply = Some(Reply {
                status,
                body: Some(fields.keep(&body)),
            });
        } else if let Some(reply) = &mut reply {
            reply.body = body;
        }
    }
    Ok(reply)
}

fn respond(program: &Program, asked: &Asked, raw: &Raw) -> Result<Reply, Fault> {
    let failed = |why: &dyn std::fmt::Display| {
        let sentence = format!("the program {} did not turn the reply: {why}", program.name());
        Fault::new(Code::MappingFailed, sentence)
    };
    if let Some(part) = raw.unreadable() {
        return Err(failed(&format!("{part} is a success whose content is not JSON")));
    }
    let mut input = raw.input();
    input.insert("params".to_owned(), asked.values());
    let made = program.run(&Value::Object(input), &Bounds::default());
    let Some(Value::Object(mut made)) = made.map_err(|error| failed(&error))? else {
        return Err(failed(&"its output is not an object"));
    };
    let status = made.get("status").and_then(Value::as_u64);
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (200..600).contains(status));
    let Some(status) = status else {
        return Err(failed(&"`status` is not a status from 200 to 599"));
    };
    if matches!(status, 401 | 403) {
        // The caller would renew its own token, which is not at fault.
        return Err(failed(
            &"it says 401 or 403, which are about the sidecar's own credentials",
        ));
    }
    let body = made.remove("body").filter(|body| !body.is_null());
    Ok(Reply { status, body })
}

/// What of a reply the application really uses.
///
/// # Errors
/// A sentence without any value.
pub fn view(program: &Program, asked: &Asked, raw: &Raw, reply: Option<&Reply>) -> Result<Option<Value>, String> {
    let mut input = raw.input();
    let first = raw.first();
    let as_it_came = json!({"status": first.status, "body": json_of(&first.body)});
    if let Some(reply) = reply {
        input.insert("status".to_owned(), reply.status.into());
        input.insert("body".to_owned(), reply.body.clone().unwrap_or(Value::Null));
    }
    input.insert("raw".to_owned(), as_it_came);
    input.insert("params".to_owned(), asked.values());
    let made = program.run(&Value::Object(input), &Bounds::default());
    match made.map_err(|error| format!("{}: {error}", program.name()))? {
        None | Some(Value::Null) => Ok(None),
        Some(view) => Ok(Some(view)),
    }
}

/// Content as JSON; `None` where it is none, or there is no content.
pub(super) fn json_of(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

impl Raw {
    /// What a program is told of it.
    fn input(&self) -> Map<String, Value> {
        let whole = |whole: &crate::wire::whole::Whole| json!({"status": whole.status, "body": json_of(&whole.body)});
        let mut input = match whole(self.first()) {
            Value::Object(input) => input,
            _ => Map::new(),
        };
        if let Self::Parts(parts) = self {
            let parts: Map<String, Value> = parts.iter().map(|(name, part)| (name.clone(), whole(part))).collect();
            input.insert("parts".to_owned(), Value::Object(parts));
        }
        input
    }

    /// A success whose content is not JSON, in words.
    fn unreadable(&self) -> Option<String> {
        let wrong = |whole: &crate::wire::whole::Whole| {
            (200..300).contains(&whole.status) && !whole.body.is_empty() && json_of(&whole.body).is_none()
        };
        match self {
            Self::One(whole) => wrong(whole).then(|| "the reply".to_owned()),
            Self::Parts(parts) => {
                let found = parts.iter().find(|(_, part)| wrong(part));
                found.map(|(name, _)| format!("the part {name}"))
            }
        }
    }
}
