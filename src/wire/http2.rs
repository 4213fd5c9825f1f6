//! Heads between HTTP/1.1 text and the messages of HTTP/2 (RFC 9113 section 8.3).
//!
//! The text is what `headers` wrote: the fields that belong to one connection are gone from it, but the coding of the
//! content. Nothing is repaired on the way: what HTTP/2 cannot carry as it stands is refused.

use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, response};

use super::end::EndFinder;
use super::head::{Bounds, Fields, HeadError};
use super::headers::decimal;
use super::name::Name;

/// The head for the upstream is our own writing.
const OWN_BOUNDS: Bounds = Bounds {
    first_line: usize::MAX,
    bytes: usize::MAX,
    fields: usize::MAX,
};

/// What HTTP/2 cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("the head has no end")]
    Endless,
    #[error("the target holds a character that cannot be sent over HTTP/2; percent-encode it")]
    Target,
    #[error("the method cannot be sent over HTTP/2")]
    Method,
    #[error("a header field cannot be sent over HTTP/2")]
    Field,
    #[error("the upstream's host cannot be sent over HTTP/2")]
    Host,
}

/// The request that `text` is the head of, and the content that stands behind it.
///
/// # Errors
/// [`Unfit`].
pub fn request<'a>(text: &'a [u8], fields: &mut Fields) -> Result<(Request<()>, &'a [u8]), Unfit> {
    let length = EndFinder::default().find(text, &OWN_BOUNDS)?.ok_or(Unfit::Endless)?;
    let (raw, content) = text.split_at(length);
    let line = fields.parse_request(raw, &OWN_BOUNDS)?;
    let target = line.target.of(raw);
    let path = PathAndQuery::try_from(target).map_err(|_| Unfit::Target)?;
    // A fragment is cut off without a word.
    if path.as_str().len() != target.len() {
        return Err(Unfit::Target);
    }
    let mut uri = Parts::default();
    uri.scheme = Some(Scheme::HTTPS);
    uri.path_and_query = Some(path);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(line.method.of(raw)).map_err(|_| Unfit::Method)?;
    for field in fields.iter() {
        let (name, value) = (field.name_span.of(raw), field.value.of(raw));
        match field.name {
            Name::Host => uri.authority = Some(Authority::try_from(value).map_err(|_| Unfit::Host)?),
            // Frames say where the content ends.
            Name::TransferEncoding => {}
            _ => {
                let name = HeaderName::from_bytes(name).map_err(|_| Unfit::Field)?;
                let value = HeaderValue::from_bytes(value).map_err(|_| Unfit::Field)?;
                request.headers_mut().append(name, value);
            }
        }
    }
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Unfit::Host)?;
    Ok((request, content))
}

/// A reply's head as HTTP/1.1 text, to be judged and rewritten like one that came as such.
#[must_use]
pub fn reply_text(head: &response::Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(&mut out, u64::from(head.status.as_u16()));
    out.push(b' ');
    out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &head.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Result<(Request<()>, &[u8]), Unfit> {
        request(text.as_bytes(), &mut Fields::default())
    }

    #[test]
    fn host_becomes_the_authority_and_the_target_keeps_every_byte() {
        let (request, content) =
            sent("PUT /a/%2e?b=%20&c='d HTTP/1.1\r\nHost: ndh.example:8443\r\nX-A: 1\r\nx-a: \u{e9}\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
        assert_eq!(request.uri().to_string(), "https://ndh.example:8443/a/%2e?b=%20&c='d");
        assert_eq!(request.method(), "PUT");
        let values: Vec<_> = request
            .headers()
            .get_all("x-a")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(values, [&b"1"[..], "\u{e9}".as_bytes()]);
        assert_eq!(request.headers().get("content-length").unwrap(), "2");
        assert!(!request.headers().contains_key("host"));
        assert_eq!(content, b"ok");
    }

    #[test]
    fn the_coding_of_the_content_does_not_cross() {
        let (request, content) = sent("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!(request.headers().is_empty(), "{:?}", request.headers());
        assert_eq!(content, b"");
    }

    #[test]
    fn what_would_be_changed_on_the_way_is_refused() {
        for (target, host, expected) in [
            ("/a?b#c", "a", Unfit::Target),
            ("/a?b<c", "a", Unfit::Target),
            ("/a", "a b", Unfit::Host),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(sent(&text).unwrap_err(), expected, "{target} {host}");
        }
        assert_eq!(sent("GET / HTTP/1.1\r\nHost: a\r\n").unwrap_err(), Unfit::Endless);
    }

    #[test]
    fn a_reply_becomes_text_that_is_judged_like_any_other() {
        let reply = http::Response::builder()
            .status(404)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(())
            .unwrap();
        let text = reply_text(&reply.into_parts().0);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "HTTP/1.1 404 Not Found\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n"
        );
    }
}
