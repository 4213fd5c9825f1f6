//! Heads that are read, and heads that are refused; httparse is the oracle.

use proptest::prelude::*;

use super::*;
use crate::wire::end::EndFinder;

const BOUNDS: Bounds = Bounds {
    first_line: 100,
    bytes: 1000,
    fields: 5,
};

fn parse(raw: &[u8]) -> Result<(RequestLine, Fields), HeadError> {
    let end = EndFinder::default().find(raw, &BOUNDS)?.expect("a whole head");
    let mut fields = Fields::default();
    let line = fields.parse_request(&raw[..end], &BOUNDS)?;
    Ok((line, fields))
}

#[test]
fn a_plain_request_is_split_into_spans() {
    let raw = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Spaced: \t a b \t\r\n\r\nrest";
    let (line, fields) = parse(raw).unwrap();
    assert_eq!(line.method.of(raw), b"GET");
    assert_eq!(line.target.of(raw), b"/a?b=c");
    let seen: Vec<_> = fields.iter().map(|f| (f.name_span.of(raw), f.value.of(raw))).collect();
    assert_eq!(
        seen,
        [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"X-Spaced", b"a b")]
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (raw, error) in [
        (&b"GET / HTTP/1.1\nHost: x\n\n"[..], HeadError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: x\n\r\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", HeadError::BareCr),
        (b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", HeadError::Folded),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", HeadError::Folded),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", HeadError::FieldName),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", HeadError::FieldName),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", HeadError::FieldName),
        (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", HeadError::FieldValue),
        (b"GET  / HTTP/1.1\r\n\r\n", HeadError::Target),
        (b"GET / HTTP/1.1 \r\n\r\n", HeadError::Version),
        (b"GET /\r\n\r\n", HeadError::RequestLine),
        (b"GET / HTTP/1.2\r\n\r\n", HeadError::Version),
        (b"PRI * HTTP/2.0\r\n\r\n", HeadError::Version),
        (b"G(T / HTTP/1.1\r\n\r\n", HeadError::Method),
        (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", HeadError::Target),
        (
            b"GET / HTTP/1.1\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\n\r\n",
            HeadError::TooManyFields,
        ),
    ] {
        assert_eq!(parse(raw).err(), Some(error), "{}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn status_lines_are_read_strictly() {
    let status = |line: &[u8]| status_line(line).map(|l| l.status);
    assert_eq!(status(b"HTTP/1.1 200 OK"), Ok(200));
    assert_eq!(status(b"HTTP/1.0 404 "), Ok(404));
    assert_eq!(status(b"HTTP/1.1 204"), Ok(204));
    for bad in [
        &b"HTTP/1.1  200 OK"[..],
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/2.0 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 600 x",
    ] {
        assert!(status(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

proptest! {
    #[test]
    fn whatever_is_accepted_httparse_reads_the_same_way(raw in "(GET|P[A-Z\\(]{0,3}) /[a-z%\\x00-\\x20]{0,4} HTTP/1\\.[0-2](\r?\n([A-Za-z: \t\r\\x00\\x7f-]{0,12}))*\r\n\r\n") {
        if let Ok((line, fields)) = parse(raw.as_bytes()) {
            let mut storage = [httparse::EMPTY_HEADER; 64];
            let mut oracle = httparse::Request::new(&mut storage);
            prop_assert!(matches!(oracle.parse(raw.as_bytes()), Ok(httparse::Status::Complete(_))));
            prop_assert_eq!(oracle.method.unwrap().as_bytes(), line.method.of(raw.as_bytes()));
            prop_assert_eq!(oracle.path.unwrap().as_bytes(), line.target.of(raw.as_bytes()));
            let ours: Vec<_> = fields.iter().map(|f| (f.name_span.of(raw.as_bytes()), f.value.of(raw.as_bytes()))).collect();
            let theirs: Vec<_> = oracle.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut fields = Fields::default();
        let _ = fields.parse_request(&raw, &BOUNDS);
        let _ = fields.parse_reply(&raw, &BOUNDS);
    }
}
