//! Those who wait and the keeper, under tokio's paused time: no server and no file, the fetches end as the test says.

use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use super::reply::Granted;
use super::*;
use crate::clock;
use crate::config::settings::{ClientCredentials, DeliusLogon, GrantIn, Scheme, Source, TlsVersion, Token, Trust};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// No file has to be read for a logon.
fn logon() -> Token {
    Token {
        source: Source::DeliusLogon(DeliusLogon {
            upstream: "ndh".to_owned(),
            path: "/api/logon".to_owned(),
            user_file: None,
        }),
        refresh_ahead: seconds(60),
        timeout: seconds(5),
    }
}

fn naming_users() -> Token {
    Token {
        source: Source::ClientCredentials(Box::new(ClientCredentials {
            scheme: Scheme::Https,
            host: "sign-in.example".to_owned(),
            port: 443,
            path: "/auth/oauth/token".to_owned(),
            server_name: None,
            trust: Trust::System,
            tls_min: TlsVersion::V1_2,
            client_id_file: "missing".into(),
            client_secret_file: "missing".into(),
            username_header: Some("x-user".to_owned()),
            users: 2,
            scopes: Vec::new(),
            parameters: BTreeMap::new(),
            grant_in: GrantIn::Body,
        })),
        ..logon()
    }
}

fn tokens(settings: Token) -> Arc<Tokens> {
    let tokens = Tokens::new(Arc::new(Metrics::new(1)));
    tokens.apply(&BTreeMap::from([("t".to_owned(), settings)]));
    tokens
}

fn ask(tokens: &Arc<Tokens>, user: Option<&'static str>, patience: Duration) -> JoinHandle<Result<Arc<Bearer>, Fault>> {
    let tokens = tokens.clone();
    let deadline = Instant::now() + patience;
    tokio::spawn(async move { tokens.fetch("t", user, deadline).await })
}

type Orders<'a> = MutexGuard<'a, mpsc::UnboundedReceiver<Order>>;

/// The next fetch ends with this token, or fails like this.
async fn land(tokens: &Tokens, orders: &mut Orders<'_>, end: Result<(&str, u64), Kind>) {
    let mut order = orders.recv().await.expect("an order");
    let end = match end {
        Ok((token, life)) => Ok(Granted {
            token: Zeroizing::new(token.to_owned()),
            life: seconds(life),
        }),
        Err(kind) => Err(Trouble::new(kind, "as the test says")),
    };
    order.land(clock::monotonic(), None, end, tokens);
}

async fn end(caller: JoinHandle<Result<Arc<Bearer>, Fault>>) -> Result<String, Code> {
    let ended = caller.await.expect("no panic");
    ended
        .map(|bearer| String::from_utf8_lossy(bearer.header_value()).into_owned())
        .map_err(|fault| fault.code)
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_is_waited_out_and_a_long_one_is_told() {
    let tokens = tokens(logon());
    let mut orders = tokens.taken.lock().await;
    let caller = ask(&tokens, None, seconds(20));
    land(&tokens, &mut orders, Err(Kind::ServerError)).await;
    land(&tokens, &mut orders, Err(Kind::Unreachable)).await;
    land(&tokens, &mut orders, Ok(("a", 1200))).await;
    assert_eq!(end(caller).await, Ok("Bearer a".to_owned()));
    tokio::time::advance(seconds(1200)).await;
    let caller = ask(&tokens, None, seconds(20));
    land(&tokens, &mut orders, Err(Kind::Refused)).await;
    assert_eq!(end(caller).await, Err(Code::TokenUnavailable));
    // Who comes meanwhile is told at once, and nothing is asked for them.
    let before = Instant::now();
    for _ in 0..20 {
        assert_eq!(end(ask(&tokens, None, seconds(20))).await, Err(Code::TokenUnavailable));
    }
    assert_eq!(Instant::now(), before);
    assert!(orders.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_told_at_its_deadline_and_the_token_comes_for_the_next() {
    let tokens = tokens(logon());
    let mut orders = tokens.taken.lock().await;
    let before = Instant::now();
    assert_eq!(end(ask(&tokens, None, seconds(3))).await, Err(Code::TokenUnavailable));
    assert_eq!(Instant::now() - before, seconds(3));
    land(&tokens, &mut orders, Ok(("a", 1200))).await;
    assert!(orders.try_recv().is_err(), "one fetch");
    assert!(tokens.bearer("t", None).is_some());
}

#[tokio::test(start_paused = true)]
async fn no_token_is_handed_out_in_its_last_seconds() {
    let tokens = tokens(logon());
    let mut orders = tokens.taken.lock().await;
    let caller = ask(&tokens, None, seconds(3));
    land(&tokens, &mut orders, Ok(("a", 100))).await;
    end(caller).await.expect("a token");
    tokio::time::advance(seconds(89)).await;
    assert!(tokens.bearer("t", None).is_some());
    tokio::time::advance(seconds(1)).await;
    assert!(tokens.bearer("t", None).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_users_token_is_renewed_once_by_whoever_uses_it() {
    let tokens = tokens(naming_users());
    let mut orders = tokens.taken.lock().await;
    let caller = ask(&tokens, Some("JANE"), seconds(3));
    land(&tokens, &mut orders, Ok(("a", 1200))).await;
    end(caller).await.expect("a token");
    assert!(tokens.bearer("t", Some("JANE")).is_some() && orders.try_recv().is_err());
    tokio::time::advance(seconds(1180)).await;
    for _ in 0..5 {
        assert!(
            tokens.bearer("t", Some(" JANE ")).is_some(),
            "the old one is still good"
        );
    }
    land(&tokens, &mut orders, Ok(("b", 1200))).await;
    assert!(orders.try_recv().is_err(), "one fetch");
    assert_eq!(
        end(ask(&tokens, Some("JANE"), seconds(3))).await,
        Ok("Bearer b".to_owned())
    );
    assert!(tokens.bearer("t", None).is_none() && tokens.bearer("t", Some("JOHN")).is_none());
}

#[tokio::test(start_paused = true)]
async fn more_users_at_once_than_are_kept_are_turned_away() {
    let tokens = tokens(naming_users());
    let orders = tokens.taken.lock().await;
    let (one, two) = (ask(&tokens, Some("A"), seconds(3)), ask(&tokens, Some("B"), seconds(3)));
    tokio::task::yield_now().await;
    assert_eq!(end(ask(&tokens, Some("C"), seconds(3))).await, Err(Code::Overloaded));
    drop(orders);
    assert_eq!(
        (end(one).await, end(two).await),
        (Err(Code::TokenUnavailable), Err(Code::TokenUnavailable))
    );
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_bounded_and_leave_their_places() {
    let tokens = tokens(logon());
    let _orders = tokens.taken.lock().await;
    for _ in 0..2 {
        let mut callers = JoinSet::new();
        for _ in 0..1030 {
            callers.spawn(end(ask(&tokens, None, seconds(3))));
        }
        let ended = callers.join_all().await;
        let turned_away = ended.iter().filter(|end| **end == Err(Code::Overloaded)).count();
        assert_eq!((ended.len(), turned_away), (1030, 6));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_lost_is_made_again() {
    let tokens = tokens(logon());
    let mut orders = tokens.taken.lock().await;
    let caller = ask(&tokens, None, seconds(3));
    drop(orders.recv().await.expect("an order"));
    land(&tokens, &mut orders, Ok(("a", 1200))).await;
    assert_eq!(end(caller).await, Ok("Bearer a".to_owned()));
}

/// Outside production the other side is off at night: it is asked now and then, and that is all.
#[tokio::test(start_paused = true)]
async fn a_night_without_the_other_side_is_no_storm() {
    let tokens = tokens(logon());
    tokens.set_places(|_| Err(Fault::new(Code::UpstreamUnreachable, "off")));
    let keeper = tokio::spawn(tokens.clone().keep());
    tokio::time::sleep(seconds(8 * 3600)).await;
    keeper.abort();
    let text = tokens.metrics.exposition().expect("text");
    let name = "delius_sidecar_token_fetches_total{token=\"t\",result=\"unreachable\"} ";
    let count = text.lines().find_map(|line| line.strip_prefix(name)).expect("counted");
    let count: u32 = count.parse().expect("a number");
    assert!((700..1400).contains(&count), "{count} fetches in eight hours");
}
