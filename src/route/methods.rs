//! Which methods a route takes (RFC 9110 section 9).
//!
//! Methods are case-sensitive tokens: `get` is another method than `GET`, and one that nobody means.

/// Which methods a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// `*`
    Any,
    /// As written; methods are case-sensitive.
    Listed(Vec<String>),
}

impl Methods {
    /// Reads `*`, `GET` or `GET,HEAD`.
    pub fn parse(text: &str) -> Result<Self, MethodsError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut listed: Vec<String> = Vec::new();
        for method in text.split(',').map(str::trim) {
            let refuse = |problem| MethodsError {
                method: method.to_owned(),
                problem,
            };
            if method == "*" {
                return Err(refuse(Problem::AnyAmongOthers));
            }
            if method.is_empty() || !method.bytes().all(is_token) {
                return Err(refuse(Problem::NotAMethod));
            }
            let upper = method.to_ascii_uppercase();
            if method != upper && KNOWN.contains(&&*upper) {
                return Err(refuse(Problem::Case(upper)));
            }
            if listed.iter().any(|earlier| earlier == method) {
                return Err(refuse(Problem::Twice));
            }
            listed.push(method.to_owned());
        }
        Ok(Self::Listed(listed))
    }

    /// Whether the route takes a request with this method.
    #[must_use]
    pub fn accepts(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|known| known == method),
        }
    }

    /// Whether some method is taken by both.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Any, Self::Listed(listed)) | (Self::Listed(listed), Self::Any) => !listed.is_empty(),
            (Self::Listed(listed), Self::Listed(_)) => listed.iter().any(|method| other.accepts(method)),
        }
    }
}

/// Those that an operator may write in the wrong case (RFC 9110 section 9.3, RFC 5789).
const KNOWN: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A list of methods that is refused, with the entry that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("method {method:?}: {problem}")]
pub struct MethodsError {
    pub method: String,
    pub problem: Problem,
}

/// What is wrong with a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not a method: expected *, or names such as GET,HEAD")]
    NotAMethod,
    #[error("methods are case-sensitive: write {0}")]
    Case(String),
    #[error("is listed twice")]
    Twice,
    #[error("means every method and stands alone")]
    AnyAmongOthers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_methods_are_taken_as_written_and_no_others() {
        let methods = Methods::parse("GET, HEAD,Purge").unwrap();
        for (method, taken) in [
            ("GET", true),
            ("HEAD", true),
            ("Purge", true),
            ("get", false),
            ("PURGE", false),
            ("", false),
        ] {
            assert_eq!(methods.accepts(method), taken, "{method}");
        }
    }

    #[test]
    fn a_star_takes_every_method() {
        let methods = Methods::parse(" * ").unwrap();
        assert_eq!(methods, Methods::Any);
        assert!(methods.accepts("BREW"));
    }

    #[test]
    fn a_list_that_nobody_can_mean_is_refused() {
        for (text, problem) in [
            ("", Problem::NotAMethod),
            ("GET,,HEAD", Problem::NotAMethod),
            ("GET,", Problem::NotAMethod),
            ("GET HEAD", Problem::NotAMethod),
            ("GÉT", Problem::NotAMethod),
            ("get", Problem::Case("GET".to_owned())),
            ("GET,Head", Problem::Case("HEAD".to_owned())),
            ("GET,GET", Problem::Twice),
            ("GET,*", Problem::AnyAmongOthers),
        ] {
            assert_eq!(Methods::parse(text).unwrap_err().problem, problem, "{text}");
        }
    }

    #[test]
    fn two_lists_overlap_where_one_request_could_be_meant_by_both() {
        for (one, other, expected) in [
            ("*", "*", true),
            ("*", "GET", true),
            ("GET,HEAD", "HEAD,POST", true),
            ("GET,HEAD", "POST", false),
        ] {
            let (one, other) = (Methods::parse(one).unwrap(), Methods::parse(other).unwrap());
            assert_eq!(one.overlap(&other), expected);
            assert_eq!(other.overlap(&one), expected);
        }
    }
}
