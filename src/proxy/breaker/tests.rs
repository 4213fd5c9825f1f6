//! What `breaker` promises, by example.

use proptest::prelude::*;

use super::*;

const SETTINGS: settings::Breaker = settings::Breaker {
    window: Duration::from_secs(10),
    min_results: 20,
    failure_ratio: 0.5,
    min_persons: 5,
    connection_faults: 5,
    open_for: Duration::from_secs(5),
};

const PEOPLE: [&str; 6] = ["A0001AA", "A0002AA", "A0003AA", "A0004AA", "A0005AA", "A0006AA"];

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn breaker() -> Breaker {
    Breaker::new(SETTINGS, 7)
}

fn permit(breaker: &mut Breaker, now: Duration) -> Permit {
    match breaker.admit(|| now) {
        Admission::Pass(permit) => permit,
        Admission::Refuse { retry_after } => panic!("refused for {retry_after:?} at {now:?}"),
    }
}

fn refusal(breaker: &mut Breaker, now: Duration) -> Duration {
    match breaker.admit(|| now) {
        Admission::Pass(permit) => panic!("{permit:?} at {now:?}"),
        Admission::Refuse { retry_after } => retry_after,
    }
}

fn run(breaker: &mut Breaker, now: Duration, outcome: Outcome<'_>) {
    let permit = permit(breaker, now);
    breaker.record(now, permit, outcome);
}

fn failure(person: &str) -> Outcome<'_> {
    Outcome::Failure { person: Some(person) }
}

/// An open circuit, and for how long.
fn opened(now: Duration) -> (Breaker, Duration) {
    let mut breaker = breaker();
    for _ in 0..SETTINGS.connection_faults {
        run(&mut breaker, now, Outcome::ConnectionFault);
    }
    let wait = refusal(&mut breaker, now);
    (breaker, wait)
}

#[test]
fn with_another_certificate_the_circuit_begins_anew() {
    let (mut breaker, _) = opened(at(0));
    let late = breaker.period;
    breaker.begin_anew();
    run(&mut breaker, at(1), Outcome::ConnectionFault);
    assert_eq!((breaker.state(), breaker.faults_in_a_row), (State::Closed, 1));
    assert_ne!(breaker.period, late, "what comes in late from before decides nothing");
}

#[test]
fn connection_faults_in_a_row_open_the_circuit_at_once() {
    let mut breaker = breaker();
    for _ in 0..4 {
        run(&mut breaker, at(0), Outcome::ConnectionFault);
    }
    run(&mut breaker, at(0), Outcome::Success);
    for _ in 0..4 {
        run(&mut breaker, at(0), Outcome::ConnectionFault);
    }
    assert_eq!(breaker.state(), State::Closed);
    run(&mut breaker, at(0), Outcome::ConnectionFault);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn one_bad_person_never_opens_the_circuit() {
    let mut breaker = breaker();
    for millis in 0..10_000 {
        run(&mut breaker, at(millis), failure("A1234BC"));
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn failures_of_several_persons_open_it_once_there_are_enough_of_each() {
    // successes, how many persons fail, how often each, what comes of it
    for (successes, people, times, expected) in [
        (10, 5, 2, State::Open),
        (10, 4, 3, State::Closed), // too few persons
        (14, 6, 2, State::Closed), // too small a share
        (0, 6, 3, State::Closed),  // too few results
        (0, 5, 4, State::Open),
    ] {
        let mut breaker = breaker();
        for _ in 0..successes {
            run(&mut breaker, at(0), Outcome::Success);
        }
        for _ in 0..times {
            for person in &PEOPLE[..people] {
                if breaker.state() == State::Closed {
                    run(&mut breaker, at(0), failure(person));
                }
            }
        }
        assert_eq!(
            breaker.state(),
            expected,
            "{successes} good, {people} persons {times} times"
        );
    }
}

#[test]
fn without_a_person_each_failure_counts_as_another() {
    let mut breaker = breaker();
    for _ in 0..15 {
        run(&mut breaker, at(0), Outcome::Success);
    }
    for _ in 0..15 {
        assert_eq!(breaker.state(), State::Closed);
        run(&mut breaker, at(0), Outcome::Failure { person: None });
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let mut breaker = breaker();
    for turn in 0..19 {
        run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
    }
    run(&mut breaker, at(10_000), failure(PEOPLE[0]));
    assert_eq!(breaker.state(), State::Closed);
    // the same within the window does open it
    let mut breaker = self::breaker();
    for turn in 0..19 {
        run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
    }
    run(&mut breaker, at(9_000), failure(PEOPLE[0]));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn client_errors_are_normal_answers_and_server_errors_are_not() {
    for (status, success) in [
        (200, true),
        (304, true),
        (404, true),
        (409, true),
        (429, true),
        (500, false),
        (503, false),
    ] {
        assert_eq!(
            matches!(Outcome::of_status(status, None), Outcome::Success),
            success,
            "{status}"
        );
    }
}

#[test]
fn an_open_circuit_says_when_to_come_back_and_then_lets_one_through() {
    let (mut breaker, wait) = opened(at(1_000));
    assert!(
        wait >= SETTINGS.open_for && wait < SETTINGS.open_for * 5 / 4,
        "{wait:?}"
    );
    assert_eq!(refusal(&mut breaker, at(2_000)), wait - at(1_000));
    let ready = at(1_000) + wait;
    let probe = permit(&mut breaker, ready);
    assert!(probe.is_probe());
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(refusal(&mut breaker, ready), PROBE_PATIENCE);
    breaker.record(ready, probe, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
    assert!(!permit(&mut breaker, ready).is_probe());
}

#[test]
fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_minute_and_success_starts_over() {
    let mut now = at(0);
    let (mut breaker, mut wait) = opened(now);
    for seconds in [10, 20, 40, 60, 60] {
        now += wait;
        run(&mut breaker, now, Outcome::Failure { person: None });
        wait = refusal(&mut breaker, now);
        let base = Duration::from_secs(seconds);
        assert!(wait >= base && wait < base * 5 / 4, "{wait:?} after {base:?}");
    }
    now += wait;
    run(&mut breaker, now, Outcome::Success);
    for _ in 0..SETTINGS.connection_faults {
        run(&mut breaker, now, Outcome::ConnectionFault);
    }
    assert!(refusal(&mut breaker, now) < SETTINGS.open_for * 5 / 4);
}

#[test]
fn what_failed_before_the_circuit_closed_again_is_not_held_against_it() {
    let mut breaker = breaker();
    for turn in 0..20 {
        run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
    }
    // the probe goes while those failures are still in the window
    let now = refusal(&mut breaker, at(0));
    assert!(now < SETTINGS.window);
    run(&mut breaker, now, Outcome::Success);
    run(&mut breaker, now, failure(PEOPLE[0]));
    assert_eq!(breaker.state(), State::Closed);
    // nor faults in a row
    let (mut breaker, wait) = opened(at(0));
    run(&mut breaker, wait, Outcome::Success);
    run(&mut breaker, wait, Outcome::ConnectionFault);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_result_from_before_the_circuit_opened_is_not_the_probes() {
    let mut breaker = breaker();
    let [early, late] = [permit(&mut breaker, at(0)), permit(&mut breaker, at(0))];
    for _ in 0..SETTINGS.connection_faults {
        run(&mut breaker, at(0), Outcome::ConnectionFault);
    }
    let wait = refusal(&mut breaker, at(1));
    breaker.record(at(1), early, Outcome::ConnectionFault);
    assert_eq!(refusal(&mut breaker, at(1)), wait);
    let probe = permit(&mut breaker, at(60_000));
    breaker.record(at(60_001), late, Outcome::ConnectionFault);
    assert_eq!(breaker.state(), State::HalfOpen);
    breaker.record(at(60_002), probe, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn an_abandoned_probe_makes_room_for_the_next_request() {
    let (mut breaker, wait) = opened(at(0));
    let probe = permit(&mut breaker, wait);
    breaker.abandon(wait, probe);
    assert!(permit(&mut breaker, wait).is_probe());
}

#[test]
fn a_probe_that_is_never_heard_of_again_is_replaced_and_its_late_word_ignored() {
    let (mut breaker, wait) = opened(at(0));
    let lost = permit(&mut breaker, wait);
    refusal(&mut breaker, wait + PROBE_LEASE - at(1));
    let second = permit(&mut breaker, wait + PROBE_LEASE);
    assert!(second.is_probe());
    breaker.record(wait + PROBE_LEASE, lost, Outcome::ConnectionFault);
    assert_eq!(breaker.state(), State::HalfOpen);
    breaker.record(wait + PROBE_LEASE, second, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn different_seeds_wait_for_different_times() {
    let waits: std::collections::BTreeSet<_> = (0..32)
        .map(|seed| {
            let mut breaker = Breaker::new(SETTINGS, seed);
            for _ in 0..SETTINGS.connection_faults {
                run(&mut breaker, at(0), Outcome::ConnectionFault);
            }
            refusal(&mut breaker, at(0))
        })
        .collect();
    assert!(waits.len() > 16, "{} of 32", waits.len());
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Admit,
    Success(usize),
    Failure(usize, Option<usize>),
    Fault(usize),
    Abandon(usize),
    Lose(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (0_u64..20_000).prop_map(Event::Wait),
        6 => Just(Event::Admit),
        1 => any::<usize>().prop_map(Event::Success),
        3 => (any::<usize>(), prop::option::of(0_usize..6)).prop_map(|(which, person)| Event::Failure(which, person)),
        3 => any::<usize>().prop_map(Event::Fault),
        1 => any::<usize>().prop_map(Event::Abandon),
        1 => any::<usize>().prop_map(Event::Lose),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn no_order_of_events_wedges_the_circuit_and_one_probe_goes_at_a_time(
        events in events(),
        seed: u64,
        faults in 1_u32..4,
        window in 0_u64..5_000,
        open_for in 0_u64..100_000,
    ) {
        let settings = settings::Breaker {
            window: at(window),
            min_results: 4,
            min_persons: 2,
            connection_faults: faults,
            open_for: at(open_for),
            ..SETTINGS
        };
        let longest = LONGEST_OPEN.max(settings.open_for) * 5 / 4 + at(1);
        let mut breaker = Breaker::new(settings, seed);
        let mut now = at(0);
        let mut under_way: Vec<Permit> = Vec::new();
        // when the youngest probe that may still speak was let in
        let mut probe_since = None;
        for event in events {
            let which = |which: usize| (!under_way.is_empty()).then(|| which % under_way.len());
            let (index, outcome) = match event {
                Event::Wait(millis) => {
                    now += at(millis);
                    continue;
                }
                Event::Admit => {
                    match breaker.admit(|| now) {
                        Admission::Refuse { retry_after } => {
                            prop_assert!(!retry_after.is_zero() && retry_after <= longest);
                        }
                        Admission::Pass(permit) => {
                            if permit.is_probe() {
                                prop_assert!(probe_since.is_none_or(|since| now >= since + PROBE_LEASE));
                                probe_since = Some(now);
                            }
                            under_way.push(permit);
                        }
                    }
                    continue;
                }
                Event::Success(at) => (which(at), Some(Outcome::Success)),
                Event::Failure(at, person) => {
                    (which(at), Some(Outcome::Failure { person: person.map(|person| PEOPLE[person]) }))
                }
                Event::Fault(at) => (which(at), Some(Outcome::ConnectionFault)),
                Event::Abandon(at) => (which(at), None),
                Event::Lose(at) => {
                    if let Some(index) = which(at) {
                        drop(under_way.swap_remove(index));
                    }
                    continue;
                }
            };
            let Some(index) = index else { continue };
            let permit = under_way.swap_remove(index);
            if permit.probe && permit.period == breaker.period {
                probe_since = None;
            }
            match outcome {
                Some(outcome) => breaker.record(now, permit, outcome),
                None => breaker.abandon(now, permit),
            }
        }
        now += longest.max(PROBE_LEASE);
        let permit = match breaker.admit(|| now) {
            Admission::Pass(permit) => permit,
            Admission::Refuse { retry_after } => {
                return Err(TestCaseError::fail(format!("wedged: {retry_after:?} more, {breaker:?}")));
            }
        };
        breaker.record(now, permit, Outcome::Success);
        prop_assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn failures_of_fewer_persons_than_asked_for_never_open_it(
        results in prop::collection::vec((0_u64..400, prop::option::of(0_usize..4)), 0..300),
    ) {
        let mut breaker = breaker();
        let mut now = at(0);
        for (millis, person) in results {
            now += at(millis);
            run(&mut breaker, now, person.map_or(Outcome::Success, |person| failure(PEOPLE[person])));
            prop_assert_eq!(breaker.state(), State::Closed);
        }
    }
}
