//! Generation A (2018): context path `/api`, its own tokens, plain-text errors.
//!
//! No secret is asked for at logon: whoever reaches the port gets a token, which is why mutual TLS is the access
//! control on this route. A refused token is 401 only when there was none; every other refusal is 403.

use http::Method;

use super::data::{Endpoint, Person, Standing};
use super::token::{Claims, Refusal, bearer};
use super::{Ask, Delius, Reply, reading};

const NATIONAL_USER: &str = "NationalUser";

impl Delius {
    pub(super) fn generation_a(&self, ask: &Ask<'_>, rest: &[&str]) -> Reply {
        if rest == ["logon"] {
            return if *ask.method == Method::POST {
                self.logon(ask)
            } else {
                Reply::unhandled(405, ask.path)
            };
        }
        if let Err(refused) = self.admit(ask) {
            return refused;
        }
        match rest {
            ["offenders", "nomsNumber", noms, "all"] => reading(ask, || self.read_2018(ask, noms, Endpoint::All2018)),
            ["offenders", "nomsNumber", noms, "registrations"] => {
                reading(ask, || self.read_2018(ask, noms, Endpoint::Registrations2018))
            }
            _ => Reply::unhandled(404, ask.path),
        }
    }

    fn logon(&self, ask: &Ask<'_>) -> Reply {
        let Ok(name) = std::str::from_utf8(ask.body).map(str::trim) else {
            return Reply::empty(400);
        };
        let (uid, probation_area_codes) = if name == NATIONAL_USER {
            (NATIONAL_USER.to_owned(), Vec::new())
        } else if !is_distinguished_name(name) {
            return Reply::empty(400);
        } else if let Some(user) = self.data.user(name) {
            (user.uid.clone(), user.probation_area_codes.clone())
        } else {
            return Reply::empty(404);
        };
        let life = i64::try_from(self.token_life.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            sub: name.to_owned(),
            uid,
            probation_area_codes,
            exp: ask.now.saturating_add(life),
        };
        Reply::text(200, self.signer.sign(&claims))
    }

    fn admit(&self, ask: &Ask<'_>) -> Result<(), Reply> {
        let Some(token) = ask.authorization.and_then(bearer) else {
            let said = "No Authorization Bearer token found in headers.";
            return Err(Reply::text(401, said));
        };
        self.signer
            .check(token, ask.now)
            .map(drop)
            .map_err(|refusal| match refusal {
                Refusal::Bad => Reply::text(403, "Bad Token."),
                Refusal::ForeignSignature => Reply::text(403, "Invalid signature."),
                Refusal::Expired => Reply::text(403, "Expired Token."),
            })
    }

    /// In 2018 a duplicate was an unhandled 500: the 409 came later.
    fn read_2018(&self, ask: &Ask<'_>, noms: &str, endpoint: Endpoint) -> Reply {
        match self.data.person(noms).map(|person| (person.standing, person)) {
            Some((Standing::Duplicate, _)) => Reply::unhandled(500, ask.path),
            Some((Standing::Known, person)) => known_2018(person, endpoint),
            Some((Standing::Unknown, _)) | None => Reply::empty(404),
        }
    }
}

fn known_2018(person: &Person, endpoint: Endpoint) -> Reply {
    match (person.reply(endpoint), endpoint) {
        (Some(bytes), _) => Reply::file(bytes),
        (None, Endpoint::Registrations2018) => Reply::file(bytes::Bytes::from_static(b"[]\n")),
        (None, _) => Reply::empty(404),
    }
}

/// `attribute=value` parts with commas between; enough to tell a name from something else.
fn is_distinguished_name(name: &str) -> bool {
    let part = |part: &str| {
        let (attribute, value) = part.split_once('=').unwrap_or_default();
        !attribute.trim().is_empty() && !value.trim().is_empty()
    };
    name.split(',').all(part)
}

#[cfg(test)]
mod tests {
    use super::super::rows::{KNOWN, NOW, PLAIN, Request, ask, assert_json, assert_status, body, delius, file};

    #[test]
    fn generation_a_asks_for_its_own_token_and_its_life_ends() {
        let delius = delius();
        let logon = ask(
            &delius,
            "POST",
            "/api/logon",
            &body(&file("legacy-2018/logon-request.txt")),
        );
        assert_eq!(
            (logon.status, logon.content_type),
            (200, Some("text/plain;charset=UTF-8"))
        );
        let token = String::from_utf8(logon.body.to_vec()).unwrap();
        let read = |authorization: Option<&str>, now| {
            let request = Request {
                authorization,
                now,
                ..PLAIN
            };
            let path = "/api/offenders/nomsNumber/z9001xa/all";
            let reply = ask(&delius, "GET", path, &request);
            (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
        };
        let refused = |status, name: &str| {
            (
                status,
                file(&format!("legacy-2018/errors/{name}")).trim_end().to_owned(),
            )
        };
        let bearer = format!("Bearer {token}");
        let end = NOW + 300;
        assert_eq!(
            read(Some(&bearer), end - 1),
            (200, file("legacy-2018/offender-all/Z9001XA.json"))
        );
        assert_eq!(read(Some(&bearer), end), refused(403, "403-expired-token.txt"));
        assert_eq!(read(None, NOW), refused(401, "401-no-token.txt"));
        assert_eq!(read(Some("Basic abc"), NOW), refused(401, "401-no-token.txt"));
        assert_eq!(read(Some("Bearer abc"), NOW), refused(403, "403-bad-token.txt"));
        let foreign = format!("Bearer {}", file("legacy-2018/logon-response.txt").trim_end());
        assert_eq!(read(Some(&foreign), NOW), refused(403, "403-invalid-signature.txt"));
    }

    #[test]
    fn generation_a_answers_every_recorded_read() {
        let delius = delius();
        let token = ask(&delius, "POST", "/api/logon", &body("NationalUser")).body;
        let authorization = format!("bearer {}", std::str::from_utf8(&token).unwrap());
        let read = |noms: &str, endpoint: &str| {
            let request = Request {
                authorization: Some(&authorization),
                ..PLAIN
            };
            let path = format!("/api/offenders/nomsNumber/{noms}/{endpoint}");
            ask(&delius, "GET", &path, &request)
        };
        for noms in KNOWN {
            let all = file(&format!("legacy-2018/offender-all/{noms}.json"));
            assert_json(&read(noms, "all"), 200, &all);
            let registrations = file(&format!("legacy-2018/registrations/{noms}.json"));
            assert_json(&read(noms, "registrations"), 200, &registrations);
        }
        for noms in ["Z9008XH", "Z9009XJ", "Q1234QQ"] {
            assert_status(&read(noms, "all"), 404);
            assert_status(&read(noms, "registrations"), 404);
        }
        assert_eq!(read("Z9010XK", "all").status, 500);
    }

    #[test]
    fn only_users_that_exist_log_on() {
        let delius = delius();
        let logon = |name: &str| ask(&delius, "POST", "/api/logon", &body(name)).status;
        assert_eq!(logon("cn=test.officer,ou=Users,dc=example,dc=org"), 200);
        assert_eq!(logon("cn=nobody,ou=Users,dc=example,dc=org"), 404);
        assert_eq!(logon("somebody"), 400);
        assert_eq!(logon(""), 400);
        assert_eq!(ask(&delius, "GET", "/api/logon", &PLAIN).status, 405);
    }
}
