//! A request's path, made safe to compare (RFC 3986 sections 2, 3.3 and 6.2.2).
//!
//! [`normalise`] gives every path exactly one spelling, or refuses it. What passes has no empty segment, no dot
//! segment, no hidden slash and no byte that two servers read differently, so "the route that matched here" and "the
//! resource that was served there" are the same thing. It runs on each request: one pass, no copy unless a byte
//! must change.

/// Why a request path is refused. The words never contain the path: it holds person identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not start with a slash")]
    NotAbsolute,
    #[error("the path has a raw byte that no path may contain (such as a space, a control, a backslash or non-ascii)")]
    ForbiddenByte,
    #[error("the path has a percent sign that two hexadecimal digits do not follow")]
    BrokenEncoding,
    #[error("the path has an encoded slash or backslash: servers disagree on whether it separates segments")]
    EncodedSlash,
    #[error("the path has an encoded control character or NUL")]
    EncodedControl,
    #[error("the path has an empty segment (a doubled or trailing slash)")]
    EmptySegment,
    #[error("the path has a dot segment, plain, encoded or before a semicolon")]
    DotSegment,
}

/// The one spelling of an origin-form path (without query), or why there is none.
///
/// Encoded unreserved characters are decoded, other encodings stay with upper-case digits (RFC 3986 6.2.2).
/// Decoding happens once: `%252e` is the data `%2e` and stays `%252e`, and whoever decodes it twice is at fault.
/// A trailing slash is an empty last segment and refused, but for the path `/` itself: some servers drop it and some
/// do not, so a route with it and one without could be one resource there and two here.
///
/// `scratch` is cleared and used only where the input has to change; keep it between requests.
pub fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut segment = 1;
    let mut at = 1;
    let notable = |&byte: &u8| !matches!(CLASSES[usize::from(byte)], Class::Plain);
    // skipping plain bytes in a loop of its own halves the time
    while let Some(plain) = path[at..].iter().position(notable) {
        at += plain;
        match CLASSES[usize::from(path[at])] {
            Class::Slash => {
                sound(&path[segment..at])?;
                at += 1;
                segment = at;
            }
            Class::Percent => match decode(&path[at..])? {
                Decoded::Canonical => at += 3,
                Decoded::Unreserved(_) | Decoded::LowerCase(_) => {
                    rewrite(path, at, segment, scratch)?;
                    return text(scratch);
                }
            },
            Class::Forbidden | Class::Plain => return Err(PathError::ForbiddenByte),
        }
    }
    if path.len() > 1 {
        sound(&path[segment..])?;
    }
    text(path)
}

/// What a piece of a normalised path stands for: every `%XX` decoded, once. Of what is then no UTF-8 nothing is.
#[must_use]
pub fn decoded(piece: &str) -> String {
    let raw = piece.as_bytes();
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let digits = raw.get(at + 1..at + 3).filter(|_| byte == b'%');
        match digits.and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?)) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| piece.to_owned())
}

/// Goes on with the pass at `at`, now into `out`. Everything before `at` stands as it came, so `segment` is the start
/// of the segment under way in both.
fn rewrite(path: &[u8], mut at: usize, mut segment: usize, out: &mut Vec<u8>) -> Result<(), PathError> {
    out.clear();
    out.reserve(path.len());
    out.extend_from_slice(&path[..at]);
    while let Some(&byte) = path.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => out.push(byte),
            Class::Slash => {
                sound(&out[segment..])?;
                out.push(b'/');
                segment = out.len();
            }
            Class::Percent => {
                match decode(&path[at..])? {
                    Decoded::Canonical => out.extend_from_slice(&path[at..at + 3]),
                    Decoded::LowerCase(encoded) => out.extend_from_slice(&encoded),
                    Decoded::Unreserved(byte) => out.push(byte),
                }
                at += 2;
            }
            Class::Forbidden => return Err(PathError::ForbiddenByte),
        }
        at += 1;
    }
    sound(&out[segment..])
}

/// Judges one segment in its normal spelling.
///
/// Java servers cut `;name=value` off each segment before they resolve dot segments: `/open/..;/secret` passes a
/// proxy that sees the segment `..;` and reaches `/secret` in Tomcat. What stands before the first semicolon must
/// therefore be a sound segment by itself, and so must what stands before an encoded one, for servers that decode first.
fn sound(segment: &[u8]) -> Result<(), PathError> {
    // nearly every segment is decided by its first byte
    match segment.first() {
        None => return Err(PathError::EmptySegment),
        Some(b'.' | b';' | b'%') => {}
        Some(_) => return Ok(()),
    }
    let dots = segment.iter().take_while(|&&byte| byte == b'.').count();
    let ended = matches!(&segment[dots..], [] | [b';', ..] | [b'%', b'3', b'B', ..]);
    match (ended, dots) {
        (true, 0) => Err(PathError::EmptySegment),
        (true, 1 | 2) => Err(PathError::DotSegment),
        _ => Ok(()),
    }
}

enum Decoded {
    /// Stands for a reserved byte and is written as it should be.
    Canonical,
    /// Stands for a reserved byte, with lower-case digits: this is how it should be.
    LowerCase([u8; 3]),
    /// Need not have been encoded.
    Unreserved(u8),
}

/// Reads the `%XX` that `rest` starts with.
fn decode(rest: &[u8]) -> Result<Decoded, PathError> {
    let [_, high, low, ..] = rest else {
        return Err(PathError::BrokenEncoding);
    };
    let value = match (hex(*high), hex(*low)) {
        (Some(high), Some(low)) => high << 4 | low,
        _ => return Err(PathError::BrokenEncoding),
    };
    match value {
        b'/' | b'\\' => Err(PathError::EncodedSlash),
        0..=0x1f | 0x7f => Err(PathError::EncodedControl),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Ok(Decoded::Unreserved(value)),
        _ if high.is_ascii_lowercase() || low.is_ascii_lowercase() => Ok(Decoded::LowerCase([
            b'%',
            high.to_ascii_uppercase(),
            low.to_ascii_uppercase(),
        ])),
        _ => Ok(Decoded::Canonical),
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The classes let only ASCII through, so this cannot fail; it is cheaper to ask than to use `unsafe`.
fn text(path: &[u8]) -> Result<&str, PathError> {
    std::str::from_utf8(path).map_err(|_| PathError::ForbiddenByte)
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Percent,
    Forbidden,
}

/// `pchar` of RFC 3986 section 3.3, by byte.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Forbidden; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@";
    let mut at = 0;
    while at < plain.len() {
        classes[plain[at] as usize] = Class::Plain;
        at += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes[b'%' as usize] = Class::Percent;
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Result<String, PathError> {
        let mut scratch = b"left over from the request before".to_vec();
        normalise(path.as_bytes(), &mut scratch).map(str::to_owned)
    }

    #[test]
    fn a_path_in_normal_spelling_is_returned_without_a_copy() {
        for path in [
            "/",
            "/secure/offenders/nomsNumber/A1234BC/all",
            "/a-b._~!$&'()*+,=:@/x;v=1",
            "/%20/%C3%A9/%252e%252E/%3F%3B%23",
            "/.well-known/...;x/.a/a..",
        ] {
            let mut scratch = Vec::new();
            let found = normalise(path.as_bytes(), &mut scratch).unwrap();
            assert_eq!(found, path);
            assert!(std::ptr::eq(found, path), "{path} was copied");
        }
    }

    #[test]
    fn another_spelling_becomes_the_normal_one() {
        for (path, expected) in [
            ("/%41%62%7E%2d", "/Ab~-"),
            ("/a/%6fffenders/%c3%a9", "/a/offenders/%C3%A9"),
            ("/%c3%A9/a%20b/%63", "/%C3%A9/a%20b/c"),
            ("/%2ewell-known", "/.well-known"),
            ("/..%2e", "/..."),
            ("/%61/b", "/a/b"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_piece_is_decoded_once() {
        for (piece, value) in [
            ("A1234BC", "A1234BC"),
            ("A%20B%C3%A9", "A Bé"),
            ("%252F%2520", "%2F%20"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("a%20%FF", "a%20%FF"),
            ("a/b%3Fc", "a/b?c"),
        ] {
            assert_eq!(decoded(piece), value, "{piece}");
        }
    }

    #[test]
    fn encoding_twice_is_data_and_is_decoded_by_nobody_here() {
        assert_eq!(normal("/%252e%252e/%252f").as_deref(), Ok("/%252e%252e/%252f"));
        assert_eq!(normal("/%25%32%65").as_deref(), Ok("/%252e"));
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        use PathError::*;
        for (path, expected) in [
            ("", NotAbsolute),
            ("a", NotAbsolute),
            ("*", NotAbsolute),
            ("http://x/", NotAbsolute),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/", EmptySegment),
            ("/%61/", EmptySegment),
            ("/%61//b", EmptySegment),
            ("/a/;x/b", EmptySegment),
            ("/a/%3b", EmptySegment),
            ("/.", DotSegment),
            ("/a/..", DotSegment),
            ("/a/./b", DotSegment),
            ("/a/../b", DotSegment),
            ("/%2e", DotSegment),
            ("/a/%2E./b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/%61/%2e%2e/b", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/.;x=1/b", DotSegment),
            ("/a/%2e%2e;jsessionid=1", DotSegment),
            ("/a/..%3b/b", DotSegment),
            ("/a/..%3B/b", DotSegment),
            ("/a%2fb", EncodedSlash),
            ("/a%2Fb", EncodedSlash),
            ("/a%5cb", EncodedSlash),
            ("/%61%5Cb", EncodedSlash),
            ("/%00", EncodedControl),
            ("/%61%0a", EncodedControl),
            ("/a%1F", EncodedControl),
            ("/a%7f", EncodedControl),
            ("/%", BrokenEncoding),
            ("/a%2", BrokenEncoding),
            ("/a%g0", BrokenEncoding),
            ("/a%0g", BrokenEncoding),
            ("/%61%", BrokenEncoding),
            ("/%2/a", BrokenEncoding),
        ] {
            assert_eq!(normal(path), Err(expected), "{path}");
        }
    }

    #[test]
    fn a_raw_byte_passes_only_if_the_rfc_names_it() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        for byte in 0..=u8::MAX {
            if matches!(byte, b'/' | b'%') {
                continue;
            }
            for path in [[b'/', b'x', byte].to_vec(), [b"/%61".as_slice(), &[byte]].concat()] {
                let mut scratch = Vec::new();
                let found = normalise(&path, &mut scratch);
                assert_eq!(found.is_ok(), allowed(byte), "{byte:#04x}");
                assert!(allowed(byte) || found == Err(PathError::ForbiddenByte), "{byte:#04x}");
            }
        }
    }

    /// Paths made of the pieces that matter, and of anything.
    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => prop::sample::select(vec![
                "/", "/", "/", ".", "..", ";", "%2e", "%2E", "%3b", "%2F", "%5c", "%00", "%25", "%41", "%c3%a9", "%", "a", "offenders", "A1",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| [b"/".as_slice(), &pieces.concat()].concat())
    }

    proptest! {
        #[test]
        fn a_normal_spelling_is_safe_and_is_its_own_normal_spelling(path in paths()) {
            let mut scratch = Vec::new();
            if let Ok(first) = normalise(&path, &mut scratch) {
                let mut again = Vec::new();
                prop_assert_eq!(normalise(first.as_bytes(), &mut again), Ok(first));
                prop_assert!(again.is_empty(), "the second pass copied");
                for hidden in ["//", "%2F", "%2f", "%5C", "%5c", "%2E", "%2e", "%00", "?", "#", "\\"] {
                    // `%252F` is data; only an encoding that stands by itself counts
                    prop_assert!(!first.replace("%25", "x").contains(hidden), "{first} has {hidden}");
                }
                for segment in first.split('/').skip(1) {
                    let name = segment.split(';').next().unwrap_or_default();
                    prop_assert!(![".", ".."].contains(&name));
                    prop_assert!(!name.is_empty() || first == "/");
                }
            }
        }

        #[test]
        fn any_bytes_at_all_are_judged_without_a_panic(path in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut scratch = Vec::new();
            let _ = normalise(&path, &mut scratch);
        }

        #[test]
        fn encoding_a_harmless_byte_changes_nothing(name in "[a-zA-Z0-9_~-]{1,12}", at in 0_usize..12, upper: bool) {
            let at = at % name.len();
            let byte = name.as_bytes()[at];
            let encoded = if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            let written = format!("/x/{}{encoded}{}/y", &name[..at], &name[at + 1..]);
            prop_assert_eq!(normal(&written), Ok(format!("/x/{name}/y")));
        }
    }
}
