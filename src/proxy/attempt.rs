//! Whether a request that failed may be sent again: values in, verdict out.
//!
//! It may only where nothing of it can have been processed (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1): no byte
//! was handed to a connection, or a kept connection died before any byte of the reply and the request is idempotent.
//! The second case is the usual race with the other side's idle timer; a *fresh* connection that dies after it took
//! the request has no such excuse. A non-idempotent request that was sent is never sent again. The budget keeps
//! retries a small share of all requests when everything fails at once.

/// One request is tried this often in all: at first, and two more times.
pub const MAX_ATTEMPTS: u8 = 3;

/// What is known of an attempt that failed. Ask only about faults that another attempt can cure: a certificate that
/// the other side refuses is refused again.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The connection came out of the pool.
    pub reused: bool,
    /// Any byte of the request was handed to the connection, whether or not it left.
    pub request_sent: bool,
    /// Any byte of the reply was read.
    pub reply_started: bool,
    /// There is no body, or all of it is still at hand.
    pub body_replayable: bool,
    /// By its method (see [`idempotent`]) or as the route says.
    pub idempotent: bool,
    /// Nobody listened; so nothing was sent.
    pub connection_refused: bool,
    /// Attempts made, this one included.
    pub attempts: u8,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again, on another connection.
    Retry(Why),
    /// Answer with the fault.
    Give(Why),
}

/// The reason for a verdict; `as_str` is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Retry: nobody listened.
    ConnectionRefused,
    /// Retry: no byte of the request was handed over.
    NothingSent,
    /// Retry: a kept connection had died.
    StaleConnection,
    /// Give up: the reply has begun.
    ReplyStarted,
    /// Give up: the request was sent on a fresh connection and may have been processed.
    MayBeProcessed,
    /// Give up: sent, and not idempotent.
    NotIdempotent,
    /// Give up: sent, and the body is gone.
    BodyGone,
    /// Give up: tried often enough.
    Attempts,
    /// Give up: too many retries of late.
    Budget,
}

impl Why {
    /// The reason as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::NothingSent => "nothing_sent",
            Self::StaleConnection => "stale_connection",
            Self::ReplyStarted => "reply_started",
            Self::MayBeProcessed => "may_be_processed",
            Self::NotIdempotent => "not_idempotent",
            Self::BodyGone => "body_gone",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
        }
    }
}

/// The rule. A retry is paid for from `budget`; giving up costs nothing.
#[must_use]
pub fn decide(attempt: &Attempt, budget: &mut RetryBudget) -> Verdict {
    let why = match retryable(attempt) {
        Ok(why) => why,
        Err(why) => return Verdict::Give(why),
    };
    if attempt.attempts >= MAX_ATTEMPTS {
        return Verdict::Give(Why::Attempts);
    }
    if !budget.withdraw() {
        return Verdict::Give(Why::Budget);
    }
    Verdict::Retry(why)
}

/// Why it is safe to send the request again, or why it is not.
const fn retryable(attempt: &Attempt) -> Result<Why, Why> {
    if attempt.reply_started {
        return Err(Why::ReplyStarted);
    }
    // asked before "refused": should the two contradict each other, what was sent counts
    if attempt.request_sent {
        return match attempt {
            Attempt { idempotent: false, .. } => Err(Why::NotIdempotent),
            Attempt { reused: false, .. } => Err(Why::MayBeProcessed),
            Attempt {
                body_replayable: false, ..
            } => Err(Why::BodyGone),
            _ => Ok(Why::StaleConnection),
        };
    }
    if attempt.connection_refused {
        return Ok(Why::ConnectionRefused);
    }
    Ok(Why::NothingSent)
}

/// Whether HTTP says that sending a request twice does what sending it once does (RFC 9110 section 9.2.2). A method
/// that is not known is not idempotent.
#[must_use]
pub fn idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// Bounds retries to a fifth of the requests, and ten more. One per worker.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// In tenths of a retry: whole numbers do not drift.
    tenths: u16,
}

impl RetryBudget {
    const START: u16 = 100;
    const FULL: u16 = 200;
    const DEPOSIT: u16 = 2;
    const RETRY: u16 = 10;

    /// To be called once for each request, at its first attempt.
    pub fn deposit(&mut self) {
        self.tenths = (self.tenths + Self::DEPOSIT).min(Self::FULL);
    }

    fn withdraw(&mut self) -> bool {
        match self.tenths.checked_sub(Self::RETRY) {
            Some(left) => {
                self.tenths = left;
                true
            }
            None => false,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tenths: Self::START }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A request that was idempotent and went out on a pooled connection that proved dead.
    const STALE: Attempt = Attempt {
        reused: true,
        request_sent: true,
        reply_started: false,
        body_replayable: true,
        idempotent: true,
        connection_refused: false,
        attempts: 1,
    };

    fn verdict(attempt: &Attempt) -> Verdict {
        decide(attempt, &mut RetryBudget::default())
    }

    #[test]
    fn each_reason_has_its_case() {
        let unsent = Attempt {
            reused: false,
            request_sent: false,
            body_replayable: false,
            idempotent: false,
            ..STALE
        };
        for (attempt, expected) in [
            (STALE, Verdict::Retry(Why::StaleConnection)),
            (unsent, Verdict::Retry(Why::NothingSent)),
            (Attempt { reused: true, ..unsent }, Verdict::Retry(Why::NothingSent)),
            (
                Attempt {
                    connection_refused: true,
                    ..unsent
                },
                Verdict::Retry(Why::ConnectionRefused),
            ),
            (Attempt { attempts: 2, ..STALE }, Verdict::Retry(Why::StaleConnection)),
            (Attempt { attempts: 3, ..STALE }, Verdict::Give(Why::Attempts)),
            (
                Attempt {
                    attempts: u8::MAX,
                    ..unsent
                },
                Verdict::Give(Why::Attempts),
            ),
            (
                Attempt {
                    reply_started: true,
                    ..STALE
                },
                Verdict::Give(Why::ReplyStarted),
            ),
            (Attempt { reused: false, ..STALE }, Verdict::Give(Why::MayBeProcessed)),
            (
                Attempt {
                    idempotent: false,
                    ..STALE
                },
                Verdict::Give(Why::NotIdempotent),
            ),
            (
                Attempt {
                    body_replayable: false,
                    ..STALE
                },
                Verdict::Give(Why::BodyGone),
            ),
            (
                Attempt {
                    connection_refused: true,
                    idempotent: false,
                    ..STALE
                },
                Verdict::Give(Why::NotIdempotent),
            ),
        ] {
            assert_eq!(verdict(&attempt), expected, "{attempt:?}");
        }
    }

    #[test]
    fn the_whole_truth_table_retries_only_what_cannot_have_been_processed() {
        let mut retried = 0;
        for bits in 0..64_u8 {
            for attempts in 1..=4 {
                let bit = |at: u8| bits >> at & 1 == 1;
                let attempt = Attempt {
                    reused: bit(0),
                    request_sent: bit(1),
                    reply_started: bit(2),
                    body_replayable: bit(3),
                    idempotent: bit(4),
                    connection_refused: bit(5),
                    attempts,
                };
                let unsent = !attempt.request_sent;
                let stale = attempt.reused && attempt.idempotent && attempt.body_replayable;
                let expected = attempts <= 2 && !attempt.reply_started && (unsent || stale);
                let retry = matches!(verdict(&attempt), Verdict::Retry(_));
                assert_eq!(retry, expected, "{attempt:?}");
                retried += u32::from(retry);
            }
        }
        // unsent: 16 combinations, stale: 2; each at the first and the second attempt
        assert_eq!(retried, 36);
    }

    #[test]
    fn ten_retries_are_free_and_then_five_requests_earn_one() {
        let mut budget = RetryBudget::default();
        for _ in 0..10 {
            assert_eq!(decide(&STALE, &mut budget), Verdict::Retry(Why::StaleConnection));
        }
        assert_eq!(decide(&STALE, &mut budget), Verdict::Give(Why::Budget));
        for _ in 0..4 {
            budget.deposit();
        }
        assert_eq!(decide(&STALE, &mut budget), Verdict::Give(Why::Budget));
        budget.deposit();
        assert_eq!(decide(&STALE, &mut budget), Verdict::Retry(Why::StaleConnection));
    }

    #[test]
    fn a_quiet_day_saves_up_twenty_retries_and_no_more() {
        let mut budget = RetryBudget::default();
        for _ in 0..10_000 {
            budget.deposit();
        }
        let retries = (0..100)
            .filter(|_| matches!(decide(&STALE, &mut budget), Verdict::Retry(_)))
            .count();
        assert_eq!(retries, 20);
    }

    #[test]
    fn giving_up_costs_nothing() {
        let mut budget = RetryBudget::default();
        for _ in 0..100 {
            let _ = decide(
                &Attempt {
                    idempotent: false,
                    ..STALE
                },
                &mut budget,
            );
            let _ = decide(&Attempt { attempts: 3, ..STALE }, &mut budget);
        }
        assert_eq!(budget.tenths, RetryBudget::START);
    }

    #[test]
    fn idempotent_methods_are_those_of_the_rfc_as_written_there() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(idempotent(method), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "get", "PURGE", ""] {
            assert!(!idempotent(method), "{method}");
        }
    }

    fn attempts() -> impl Strategy<Value = Attempt> {
        any::<([bool; 6], u8)>().prop_map(|([reused, sent, started, replayable, idempotent, refused], attempts)| {
            Attempt {
                reused,
                request_sent: sent,
                reply_started: started,
                body_replayable: replayable,
                idempotent,
                connection_refused: refused,
                attempts: attempts % 5,
            }
        })
    }

    proptest! {
        #[test]
        fn a_non_idempotent_request_that_was_sent_is_never_sent_again(attempt in attempts(), deposits in 0..50) {
            let mut budget = RetryBudget::default();
            (0..deposits).for_each(|_| budget.deposit());
            let attempt = Attempt { idempotent: false, request_sent: true, ..attempt };
            prop_assert!(matches!(decide(&attempt, &mut budget), Verdict::Give(_)));
        }

        #[test]
        fn retries_never_exceed_ten_and_a_fifth_of_the_requests(
            events in prop::collection::vec(prop::option::of(attempts()), 0..400),
        ) {
            let mut budget = RetryBudget::default();
            let (mut requests, mut retries) = (0, 0);
            for event in events {
                match event {
                    None => {
                        budget.deposit();
                        requests += 1;
                    }
                    Some(attempt) => retries += u32::from(matches!(decide(&attempt, &mut budget), Verdict::Retry(_))),
                }
                prop_assert!(retries * 10 <= 100 + requests * 2);
            }
        }
    }
}
