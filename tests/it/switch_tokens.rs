//! Tokens on the way of a request: what reaches the legs, how often the token server is asked, what the application sees.
//!
//! What tokens do by themselves is in `token`; here they go through the real binary. Times are short, and none is waited for
//! but the end of a token.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delius_sidecar::rehearsal::delius::Data as Legacy;
use delius_sidecar::rehearsal::standin::{DeliusStandIn, Options};
use serde_json::{Value, json};

use crate::support::bin::NOMS;
use crate::support::eventually;
use crate::support::raw::Client;
use crate::support::scripted::{Say, Scripted, token, tokens};
use crate::support::switch::{CLIENT, Switch, all, legs, manager, noms, standard, wait_for, write_pair};

const STANDARD_MODE: &str = "mode = \"standard\"";

#[test]
fn two_hundred_first_requests_make_one_token_request() {
    let (ndh, other) = legs();
    let auth = Scripted::start(|_| Say::After(Duration::from_millis(300), Box::new(token("tok-1", 600))));
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .start();
    let barrier = Arc::new(Barrier::new(200));
    let threads: Vec<_> = (0..200)
        .map(|number| {
            let (barrier, listen) = (barrier.clone(), scene.sidecar.listen);
            std::thread::spawn(move || {
                let mut client = Client::connect(listen);
                barrier.wait();
                client.get(&all(&noms(number))).expect("a reply").status
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("a thread"), 200);
    }
    assert_eq!(auth.total(), 1);
    assert!(
        other
            .asked()
            .iter()
            .all(|asked| asked.header("authorization") == Some("Bearer tok-1"))
    );
}

#[test]
fn an_expired_token_is_never_sent() {
    let (ndh, other) = legs();
    let issued = Arc::new(Mutex::new(Vec::<Instant>::new()));
    let log = issued.clone();
    let auth = Scripted::start(move |_| {
        let mut issued = log.lock().expect("issued");
        issued.push(Instant::now());
        token(&format!("tok-{}", issued.len() - 1), 2)
    });
    let log = issued.clone();
    let late = Arc::new(Mutex::new(Vec::new()));
    let found = late.clone();
    other.act(move |asked| {
        let sent = asked.header("authorization").unwrap_or_default();
        let number: Option<usize> = sent.strip_prefix("Bearer tok-").and_then(|text| text.parse().ok());
        let issued = number.and_then(|number| log.lock().expect("issued").get(number).copied());
        match issued.map(|at| at.elapsed()) {
            Some(age) if age < Duration::from_secs(2) => {}
            other => found.lock().expect("late").push(format!("{other:?}")),
        }
        standard(asked)
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .start();
    let mut client = scene.client();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(client.get(&all("Q0001AA")).expect("a reply").status, 200);
        std::thread::sleep(Duration::from_millis(10));
    }
    let late = late.lock().expect("late").clone();
    assert!(late.is_empty(), "{late:?}");
    let fetched = auth.total();
    assert!(
        (2..=12).contains(&fetched),
        "{fetched} fetches in five seconds of tokens that live two"
    );
    // With nobody to give a new one, none is sent at all.
    auth.act(|_| Say::Json(503, Value::Null));
    wait_for("its end", || {
        client.get(&all("Q0001AA")).expect("a reply").status == 503
    });
    let asked = other.total();
    let reply = client.get(&all("Q0001AA")).expect("a reply");
    assert_eq!((reply.status, reply.fault()), (503, Some("token_unavailable")));
    assert_eq!(other.total(), asked);
    auth.act(|_| token("tok-0", 600));
    issued.lock().expect("issued")[0] = Instant::now();
    wait_for("it comes back", || {
        client.get(&all("Q0001AA")).expect("a reply").status == 200
    });
}

#[test]
fn a_token_that_the_api_refuses_once_is_replaced_and_the_request_succeeds() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    other.act(|asked| match asked.header("authorization") {
        Some("Bearer tok-1") => Say::Json(401, json!({"message": "expired"})),
        _ => standard(asked),
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .start();
    let threads: Vec<_> = (0..50)
        .map(|number| {
            let listen = scene.sidecar.listen;
            std::thread::spawn(move || {
                Client::connect(listen)
                    .get(&all(&noms(number)))
                    .expect("a reply")
                    .status
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("a thread"), 200);
    }
    assert_eq!(auth.total(), 2, "one new token for all of them");
}

#[test]
fn a_write_that_was_refused_for_its_token_is_sent_again_with_its_content() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    other.act(|asked| match asked.header("authorization") {
        Some("Bearer tok-1") => Say::Json(401, Value::Null),
        _ => standard(asked),
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .start();
    let mut client = scene.client();
    let content = "{\"staff\": 1}";
    client.send(format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        manager("Q0001AA"),
        content.len()
    ));
    assert!(client.first_byte(), "the head is read before the content comes");
    client.send(content);
    assert_eq!(client.reply("PUT").expect("a reply").status, 200);
    let puts = other.asked();
    assert_eq!(puts.len(), 2, "the refused one has written nothing");
    assert!(
        puts.iter()
            .all(|asked| asked.body == content.as_bytes() && asked.method == "PUT")
    );
}

#[test]
fn an_api_that_refuses_every_token_is_a_503_and_never_a_401_and_fetches_are_bounded() {
    for status in [401, 403] {
        let (ndh, other) = legs();
        let auth = tokens("tok", 600);
        other.act(move |_| Say::Json(status, json!({"message": "no"})));
        let scene = Switch::new(&ndh.url(), &other.url())
            .unit(STANDARD_MODE)
            .only("group.person.gate", "window_samples = 100000")
            .token(&auth.url())
            .start();
        let mut client = scene.client();
        for number in 0..100 {
            let reply = client.get(&all(&noms(number))).expect("a reply");
            assert_eq!(
                (reply.status, reply.fault()),
                (503, Some("token_refused")),
                "{}",
                reply.text()
            );
            assert!(!reply.text().contains("tok-") && !reply.text().contains(&noms(number)));
        }
        let fetched = auth.total();
        // One at first; after a 401 others, but not one for each request.
        assert!(
            fetched <= if status == 401 { 20 } else { 1 },
            "{status}: {fetched} fetches"
        );
    }
}

#[test]
fn when_the_token_server_goes_down_the_token_serves_to_its_end() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 5);
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .only("group.person.gate", "window_samples = 100000")
        .token(&auth.url())
        .start();
    let mut client = scene.client();
    let began = Instant::now();
    assert_eq!(client.get(&all("Q0001AA")).expect("a reply").status, 200);
    auth.act(|_| Say::Reset);
    let mut last = Duration::ZERO;
    let fault = loop {
        let reply = client.get(&all("Q0001AA")).expect("a reply");
        if reply.status != 200 {
            break reply;
        }
        last = began.elapsed();
        assert!(last < Duration::from_secs(5), "it is sent beyond its end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((fault.status, fault.fault()), (503, Some("token_unavailable")));
    assert!(last > Duration::from_secs(3), "given up after {last:?}");
    // ndh is not concerned.
    scene.set("ndh", None);
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
}

#[test]
fn the_pair_is_rotated_under_load_with_no_request_failed() {
    let (ndh, other) = legs();
    // The server takes the pairs that are in `good`; the API takes every token.
    let good = Arc::new(Mutex::new(BTreeSet::from([CLIENT.to_owned()])));
    let (known, count) = (good.clone(), AtomicUsize::new(0));
    let auth = Scripted::start(move |asked| {
        let basic = asked
            .header("authorization")
            .and_then(|value| value.strip_prefix("Basic "));
        let pair = basic.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let pair = String::from_utf8_lossy(&pair).into_owned();
        let id = pair.split(':').next().unwrap_or_default();
        if !known.lock().expect("good").contains(id) {
            return Say::Json(401, json!({"error": "invalid_client"}));
        }
        token(&format!("tok-{id}-{}", count.fetch_add(1, Ordering::Relaxed)), 2)
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .start();
    let stop = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|thread| {
            let (stop, listen) = (stop.clone(), scene.sidecar.listen);
            std::thread::spawn(move || {
                let mut client = Client::connect(listen);
                let mut failed = Vec::new();
                let mut count = 0;
                while stop.load(Ordering::Relaxed) == 0 {
                    count += 1;
                    let reply = client.get(&all(&noms(thread * 1000 + count))).expect("a reply");
                    if reply.status != 200 {
                        failed.push(reply.text());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                (count, failed)
            })
        })
        .collect();
    wait_for("load", || other.total() > 20);
    let directory = scene.sidecar.directory().to_owned();
    // A pair that the server does not take never comes into use.
    write_pair(&directory, "mistyped", "x");
    wait_for("it is tried", || {
        auth.count(|asked| {
            asked
                .header("authorization")
                .is_some_and(|value| value.contains(&STANDARD.encode("mistyped:x")))
        }) > 0
    });
    good.lock().expect("good").insert("next".to_owned());
    write_pair(&directory, "next", "another secret");
    let with_next = || {
        other.count(|asked| {
            asked
                .header("authorization")
                .is_some_and(|value| value.contains("tok-next"))
        })
    };
    wait_for("the new pair is in use", || with_next() > 0);
    good.lock().expect("good").remove(CLIENT);
    let seen = with_next();
    wait_for("it goes on", || with_next() > seen + 50);
    stop.store(1, Ordering::Relaxed);
    for thread in load {
        let (count, failed) = thread.join().expect("load");
        assert!(
            failed.is_empty(),
            "{} of {count} failed: {:?}",
            failed.len(),
            failed.first()
        );
    }
}

#[test]
fn the_applications_own_authorization_reaches_neither_leg() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    let scene = Switch::new(&ndh.url(), &other.url()).token(&auth.url()).start();
    let ask = || {
        let mut client = scene.client();
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer of-the-app\r\nCookie: a=b\r\n\
             Proxy-Authorization: Basic b2YtdGhlLWFwcA==\r\nX-Forwarded-Client-Cert: Hash=1\r\n\r\n",
            all("Q0001AA")
        ));
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    };
    ask();
    // A comparison that the next mode no longer asks for is dropped, and a worker takes a mode in at its next turn.
    scene.set("shadow", None);
    wait_for("the shadow", || {
        ask();
        other.total() > 0
    });
    scene.set("standard", None);
    wait_for("standard answers", || {
        let before = ndh.total();
        ask();
        ndh.total() == before
    });
    for asked in ndh.asked() {
        assert_eq!(asked.header("authorization"), None);
    }
    for asked in other.asked() {
        assert_eq!(asked.header("authorization"), Some("Bearer tok-1"));
    }
    for asked in [ndh.asked(), other.asked(), auth.asked()].concat() {
        assert!(
            !asked.head.contains("of-the-app") && !asked.head.contains("b2YtdGhlLWFwcA"),
            "{}",
            asked.head
        );
        assert_eq!(asked.header("x-forwarded-client-cert"), None);
    }
}

#[test]
fn each_user_has_a_token_of_their_own_and_the_header_does_not_cross() {
    let (ndh, other) = legs();
    let auth = Scripted::start(|asked| {
        let form = String::from_utf8_lossy(&asked.body).into_owned() + "&" + &asked.query;
        let user = form
            .split('&')
            .find_map(|pair| pair.strip_prefix("username="))
            .unwrap_or("nobody");
        token(&format!("tok-of-{user}"), 600)
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .token(&auth.url())
        .table("token.hmpps-auth", "username_header = \"x-delius-username\"")
        .start();
    let ask = |user: Option<&str>| {
        let mut client = scene.client();
        let header = user
            .map(|user| format!("X-Delius-Username: {user}\r\n"))
            .unwrap_or_default();
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n",
            all("Q0001AA")
        ));
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    };
    let users = [Some("JANE_GEN"), Some("JOHN_GEN"), None, Some("JANE_GEN")];
    for mode in ["ndh", "shadow", "standard"] {
        scene.set(mode, None);
        users.iter().for_each(|user| ask(*user));
        wait_for("they were asked", || {
            other.total()
                >= match mode {
                    "ndh" => 0,
                    "shadow" => 4,
                    _ => 8,
                }
        });
    }
    assert_eq!(auth.total(), 3, "a token for each");
    let sent: Vec<String> = other
        .asked()
        .iter()
        .filter_map(|asked| asked.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(
        sent[4..],
        ["JANE_GEN", "JOHN_GEN", "nobody", "JANE_GEN"].map(|user| format!("Bearer tok-of-{user}"))
    );
    // A name cannot become another parameter of the token request.
    ask(Some("A&username=JANE_GEN&scope=all"));
    let last = auth.asked().pop().expect("asked");
    let form = String::from_utf8_lossy(&last.body).into_owned() + "&" + &last.query;
    assert!(
        form.contains("username=A%26username%3DJANE_GEN%26scope%3Dall"),
        "{form}"
    );
    for asked in [ndh.asked(), other.asked()].concat() {
        assert_eq!(asked.header("x-delius-username"), None, "{}", asked.path);
    }
}

#[test]
fn a_logon_token_of_the_2018_delius_that_died_is_replaced_and_nobody_notices() {
    let mut options = Options::new(Legacy::embedded().expect("people"));
    options.token_life = Duration::from_secs(3600);
    let delius = DeliusStandIn::start(options).expect("a stand-in");
    let address = delius.address();
    let route = "[[route]]\nname = \"offender\"\nmatch = \"GET /secure/offenders/nomsNumber/{nomsNumber}/all\"\n\
                 person = \"nomsNumber\"\n[route.ndh]\nupstream = \"ndh\"\n\
                 path = \"/api/offenders/nomsNumber/{nomsNumber}/all\"\ntoken = \"delius\"\n";
    let scene = Switch::new(delius.url(), "http://127.0.0.1:1")
        .routes(route)
        .table(
            "token.delius",
            "kind = \"delius-logon\"\nupstream = \"ndh\"\npath = \"/api/logon\"",
        )
        .start();
    let mut client = scene.client();
    for _ in 0..3 {
        let reply = client.get(&all(NOMS)).expect("a reply");
        assert!(
            reply.status == 200 && reply.text().contains("offenderManagers"),
            "{}",
            reply.text()
        );
    }
    assert_eq!(delius.requests("POST", "/api/logon"), 1);
    // Another Delius at the same address: what the first has signed means nothing to it (403).
    delius.stop();
    let again = || {
        let mut options = Options::new(Legacy::embedded().expect("people"));
        options.listen = address;
        DeliusStandIn::start(options).ok()
    };
    // For a moment another test's connection may have this port.
    let delius = eventually(again).expect("a stand-in at the same address");
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let listen = scene.sidecar.listen;
            std::thread::spawn(move || Client::connect(listen).get(&all(NOMS)).expect("a reply").status)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("a thread"), 200);
    }
    assert_eq!(delius.requests("POST", "/api/logon"), 1, "one logon for all of them");
    // A 404 is a person that is not there, and no reason to log on.
    assert_eq!(client.get(&all("Q0001AA")).expect("a reply").status, 404);
    assert_eq!(delius.requests("POST", "/api/logon"), 1);
}
