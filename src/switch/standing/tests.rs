//! The rules of the standing, one by one, and in any order of events.

use proptest::prelude::*;

use super::*;
use crate::switch::gate::Short;
use crate::switch::{in_canary, share_of};

const NOW: i64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn terms(mode: Mode, share: f64) -> Terms {
    Terms {
        mode,
        share,
        able: Able::ALL,
        ..Terms::default()
    }
}

fn unit(terms: Terms) -> Standing {
    Standing::new("person", terms, None, None, NOW).0
}

fn set(mode: Mode, share: Option<f64>, reason: &str) -> Event {
    Event::Set(Order {
        mode,
        share,
        reason: reason.to_owned(),
        by: "uid 1".to_owned(),
        hold: HOUR,
    })
}

fn broken() -> Event {
    Event::Judged(vec![Lack::new(Short::Errors, "errors 50 %")])
}

fn reset() -> Event {
    Event::Reset {
        reason: "repaired".to_owned(),
        by: "uid 1".to_owned(),
    }
}

#[track_caller]
fn mode(standing: &Standing, now: i64) -> Mode {
    standing.effective(now).mode
}

fn audited(actions: &[Action]) -> Vec<&'static str> {
    let event = |action: &Action| match action {
        Action::Audit { event, .. } => Some(*event),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}

#[test]
fn the_configuration_rules_and_a_change_of_it_is_told() {
    let (mut standing, actions) = Standing::new("person", terms(Mode::Shadow, 0.1), None, None, NOW);
    let shadow = Effective {
        mode: Mode::Shadow,
        share: 0.0,
    };
    assert_eq!(actions, [Action::Effective(shadow)]);
    let actions = standing
        .apply(Event::Configured(terms(Mode::Canary, 0.1)), NOW)
        .expect("taken");
    assert_eq!(audited(&actions), ["mode_configured"]);
    let canary = Effective {
        mode: Mode::Canary,
        share: 0.1,
    };
    assert_eq!(actions.last(), Some(&Action::Effective(canary)));
    let same = standing.apply(Event::Configured(terms(Mode::Canary, 0.1)), NOW);
    assert_eq!(same, Ok(Vec::new()));
}

#[test]
fn an_override_rules_until_it_expires_and_both_are_audited() {
    let mut standing = unit(terms(Mode::Ndh, 0.05));
    let actions = standing.apply(set(Mode::Canary, None, "try"), NOW).expect("set");
    assert_eq!(audited(&actions), ["override_set"]);
    assert!(actions.contains(&Action::NewWindow));
    assert_eq!(standing.effective(NOW).share, 0.05, "the configured share");
    let end = standing.next_tick().expect("it expires");
    assert_eq!(end, NOW + 3_600);
    assert_eq!(standing.apply(Event::Tick, end - 1), Ok(Vec::new()));
    assert_eq!(mode(&standing, end - 1), Mode::Canary);
    assert_eq!(mode(&standing, end), Mode::Ndh, "also before the tick comes");
    let actions = standing.apply(Event::Tick, end).expect("taken");
    assert_eq!(audited(&actions), ["override_expired"]);
    assert!(matches!(actions.last(), Some(Action::Effective(e)) if e.mode == Mode::Ndh));
    assert_eq!(standing.next_tick(), None);
}

#[test]
fn a_broken_gate_rolls_back_to_shadow_with_an_alarm_and_stays() {
    let mut standing = unit(terms(Mode::Standard, 0.0));
    let actions = standing.apply(broken(), NOW).expect("taken");
    assert_eq!(audited(&actions), ["rolled_back"]);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Alarm(said) if said.contains("errors 50 %")))
    );
    assert!(actions.contains(&Action::NewWindow));
    assert_eq!(mode(&standing, NOW), Mode::Shadow);
    assert_eq!(standing.apply(Event::Tick, NOW + 1_000_000), Ok(Vec::new()));
    assert_eq!(
        standing.apply(Event::Configured(terms(Mode::Standard, 0.0)), NOW),
        Ok(Vec::new())
    );
    assert_eq!(mode(&standing, NOW + 1_000_000), Mode::Shadow);
    assert_eq!(standing.apply(broken(), NOW), Ok(Vec::new()), "standard answers nobody");
}

#[test]
fn what_cannot_be_compared_rolls_back_to_ndh() {
    let able = Able {
        compare: false,
        ..Able::ALL
    };
    let mut standing = unit(Terms {
        able,
        ..terms(Mode::Standard, 0.0)
    });
    standing.apply(broken(), NOW).expect("taken");
    assert_eq!(mode(&standing, NOW), Mode::Ndh);
}

#[test]
fn a_roll_back_ends_with_a_reset_a_changed_configuration_or_an_order_for_as_much() {
    for end in [
        reset(),
        Event::Configured(terms(Mode::Canary, 0.2)),
        Event::Configured(terms(Mode::Canary, 0.05)),
        set(Mode::Canary, Some(0.1), "mapping repaired"),
        set(Mode::Standard, None, "mapping repaired"),
    ] {
        let mut standing = unit(terms(Mode::Canary, 0.1));
        standing.apply(broken(), NOW).expect("taken");
        let actions = standing.apply(end.clone(), NOW + 1).expect("taken");
        assert_eq!(standing.rolled_back(), None, "{end:?}");
        assert!(mode(&standing, NOW + 1).lets_standard_answer(), "{end:?}");
        assert!(actions.contains(&Action::NewWindow), "{end:?}");
    }
}

#[test]
fn an_order_for_less_rules_while_it_lasts_and_leaves_the_roll_back_beneath() {
    for (order, now_in) in [
        (set(Mode::Ndh, None, "quiet"), Mode::Ndh),
        (set(Mode::Canary, Some(0.01), "a first try"), Mode::Canary),
    ] {
        let mut standing = unit(terms(Mode::Standard, 0.0));
        standing.apply(broken(), NOW).expect("taken");
        standing.apply(order, NOW).expect("set");
        assert_eq!(mode(&standing, NOW), now_in);
        standing.apply(Event::Tick, NOW + 3_600).expect("taken");
        assert_eq!(
            mode(&standing, NOW + 3_600),
            Mode::Shadow,
            "not the configured standard"
        );
    }
}

#[test]
fn a_roll_back_ends_the_override_and_wants_a_reason_that_is_new() {
    let mut standing = unit(terms(Mode::Shadow, 0.05));
    standing.apply(set(Mode::Canary, None, "Try it"), NOW).expect("set");
    standing.apply(broken(), NOW).expect("taken");
    assert_eq!(standing.override_at(NOW), None);
    let before = standing.clone();
    let refused = standing
        .apply(set(Mode::Canary, None, " try it "), NOW)
        .expect_err("old");
    assert_eq!(refused.code(), "reason_not_new");
    assert_eq!(standing, before);
    assert!(standing.apply(set(Mode::Canary, None, "mapping repaired"), NOW).is_ok());
    assert_eq!(mode(&standing, NOW), Mode::Canary);
}

#[test]
fn an_order_that_cannot_be_followed_changes_nothing_and_says_why() {
    let writes = Able {
        compare: false,
        person: false,
        standard: true,
        only_standard: false,
    };
    let none = Able::default();
    for (able, order, code) in [
        (writes, set(Mode::Shadow, None, "r"), "mode_impossible"),
        (writes, set(Mode::Canary, Some(0.1), "r"), "mode_impossible"),
        (none, set(Mode::Standard, None, "r"), "mode_impossible"),
        (Able::ALL, set(Mode::Standard, Some(0.1), "r"), "share_wrong"),
        (Able::ALL, set(Mode::Canary, None, "r"), "share_wrong"),
        (Able::ALL, set(Mode::Canary, Some(1.1), "r"), "share_wrong"),
        (Able::ALL, set(Mode::Canary, Some(f64::NAN), "r"), "share_wrong"),
        (Able::ALL, set(Mode::Shadow, None, "  "), "reason_missing"),
    ] {
        let mut standing = unit(Terms {
            able,
            ..terms(Mode::Ndh, 0.0)
        });
        let before = standing.clone();
        let refused = standing.apply(order.clone(), NOW).expect_err("refused");
        assert_eq!(refused.code(), code, "{order:?}");
        assert_eq!(standing, before);
    }
    for hold in [Duration::ZERO, LONGEST + HOUR] {
        let Event::Set(order) = set(Mode::Shadow, None, "r") else {
            return;
        };
        let refused = unit(terms(Mode::Ndh, 0.0)).apply(Event::Set(Order { hold, ..order }), NOW);
        assert_eq!(refused, Err(SetError::Hold));
    }
}

#[test]
fn an_override_is_dropped_with_an_alarm_when_the_routes_are_no_longer_fit_for_it() {
    let mut standing = unit(terms(Mode::Ndh, 0.1));
    standing.apply(set(Mode::Shadow, None, "r"), NOW).expect("set");
    let unfit = Terms {
        able: Able::default(),
        ..terms(Mode::Ndh, 0.1)
    };
    let actions = standing.apply(Event::Configured(unfit), NOW).expect("taken");
    assert_eq!(audited(&actions), ["override_dropped"]);
    assert!(actions.iter().any(|action| matches!(action, Action::Alarm(_))));
    assert_eq!(mode(&standing, NOW), Mode::Ndh);
}

#[test]
fn a_new_process_takes_up_what_the_old_one_knew() {
    let mut old = unit(terms(Mode::Standard, 0.0));
    old.apply(broken(), NOW).expect("taken");
    old.apply(set(Mode::Ndh, None, "quiet"), NOW).expect("set");
    let known = || (old.override_at(NOW).cloned(), old.rolled_back().cloned());
    let again = |terms: Terms, now| {
        let (set, rolled_back) = known();
        Standing::new("person", terms, set, rolled_back, now)
    };
    assert_eq!(mode(&again(terms(Mode::Standard, 0.0), NOW + 1).0, NOW + 1), Mode::Ndh);
    let (later, actions) = again(terms(Mode::Standard, 0.0), NOW + 3_600);
    assert_eq!(mode(&later, NOW + 3_600), Mode::Shadow);
    assert_eq!(audited(&actions), ["override_expired"]);
    let (changed, actions) = again(terms(Mode::Canary, 0.1), NOW + 3_600);
    assert_eq!(mode(&changed, NOW + 3_600), Mode::Canary);
    assert_eq!(audited(&actions), ["override_expired", "roll_back_lifted"]);
}

fn any_event() -> impl Strategy<Value = Event> {
    let share = prop_oneof![Just(0.0), Just(0.05), Just(0.5), Just(1.0)];
    let mode = proptest::sample::select(&Mode::ALL[..]);
    let able = (any::<bool>(), any::<bool>(), any::<bool>());
    prop_oneof![
        2 => (mode.clone(), share.clone(), able).prop_map(|(mode, share, (standard, compare, person))| {
            let able = Able {
                standard,
                compare,
                person,
            only_standard: false,
            };
            Event::Configured(Terms {
                able,
                ..terms(mode, share)
            })
        }),
        2 => (mode, proptest::option::of(share), "[ab]", 1_u64..200).prop_map(|(mode, share, reason, hold)| {
            Event::Set(Order {
                mode,
                share,
                reason,
                by: "uid 1".to_owned(),
                hold: Duration::from_secs(hold),
            })
        }),
        1 => Just(reset()),
        4 => Just(Event::Tick),
        4 => Just(broken()),
    ]
}

proptest! {
    #[test]
    fn after_a_roll_back_only_an_operator_or_a_changed_configuration_lets_standard_answer(
        events in proptest::collection::vec((any_event(), 0_i64..100), 1..60),
    ) {
        let mut standing = unit(terms(Mode::Standard, 0.0));
        let mut now = NOW;
        let mut announced = standing.effective(now);
        for (event, later) in events {
            // As the application does: a tick when one is due.
            while let Some(due) = standing.next_tick().filter(|due| *due <= now + later) {
                let rolled_back = standing.rolled_back().is_some();
                let actions = standing.apply(Event::Tick, due).expect("a tick is taken");
                prop_assert_eq!(standing.rolled_back().is_some(), rolled_back);
                prop_assert!(standing.override_at(due).is_none(), "an expired override rules");
                if rolled_back {
                    prop_assert!(!mode(&standing, due).lets_standard_answer());
                }
                if let Some(Action::Effective(effective)) = actions.last() {
                    announced = *effective;
                }
            }
            now += later;
            let before = (standing.clone(), standing.effective(now));
            let operator = matches!(event, Event::Set(_) | Event::Reset { .. });
            let outcome = standing.apply(event.clone(), now);
            let (after, terms) = (standing.effective(now), standing.terms());
            let changed = (terms.mode, terms.share) != (before.0.terms().mode, before.0.terms().share);
            if before.0.rolled_back().is_some() && !before.1.mode.lets_standard_answer() && !operator && !changed {
                prop_assert!(!after.mode.lets_standard_answer(), "{:?} brought standard back", event);
                prop_assert!(standing.rolled_back().is_some(), "{:?} lifted it", event);
            }
            if matches!(event, Event::Judged(_)) {
                prop_assert!(!after.mode.lets_standard_answer(), "a broken gate and standard answers");
            }
            match outcome {
                Ok(actions) => for action in actions {
                    if let Action::Effective(effective) = action {
                        announced = effective;
                    }
                },
                Err(_) => prop_assert_eq!(&standing, &before.0),
            }
            prop_assert_eq!(after, announced, "who answers was not told");
            prop_assert!(terms.able.allows(after.mode).is_ok());
            prop_assert_eq!(after.mode == Mode::Standard, after.share == 1.0 && after.mode != Mode::Canary);
        }
    }

    #[test]
    fn nobody_leaves_the_canary_while_its_effective_share_grows(
        person in "[A-Z][0-9]{4}[A-Z]{2}",
        mut shares in proptest::collection::vec(0.001..=1.0, 2..12),
    ) {
        shares.sort_by(f64::total_cmp);
        let mut standing = unit(terms(Mode::Ndh, 0.0));
        let mut inside = false;
        for share in shares {
            standing.apply(set(Mode::Canary, Some(share), "more"), NOW).expect("set");
            let now_inside = in_canary(share_of("person", &person), standing.effective(NOW).share);
            prop_assert!(now_inside || !inside);
            inside = now_inside;
        }
        standing.apply(set(Mode::Standard, None, "all"), NOW).expect("set");
        prop_assert!(in_canary(share_of("person", &person), standing.effective(NOW).share));
    }
}

fn standard(able: Able, share: f64) -> Terms {
    Terms {
        mode: Mode::Standard,
        share,
        able,
        ..Terms::default()
    }
}

#[test]
fn a_unit_without_an_ndh_leg_never_goes_where_nobody_answers() {
    let able = Able {
        only_standard: true,
        ..Able::ALL
    };
    let (mut standing, _) = Standing::new("person", standard(able, 0.0), None, None, 0);
    let actions = standing.apply(broken(), 10).expect("taken");
    assert!(actions.iter().any(|action| matches!(action, Action::Alarm(_))));
    assert_eq!(standing.effective(10).mode, Mode::Standard);
    assert!(standing.rolled_back().is_none());
    for mode in [Mode::Ndh, Mode::Shadow, Mode::Canary] {
        able.allows(mode).expect_err("there is no way back");
    }
}

#[test]
fn a_share_that_rules_nothing_does_not_lift_a_roll_back() {
    let (mut standing, _) = Standing::new("person", standard(Able::ALL, 0.0), None, None, 0);
    standing.apply(broken(), 10).expect("taken");
    let other = Event::Configured(standard(Able::ALL, 0.05));
    standing.apply(other, 20).expect("taken");
    assert_eq!(standing.effective(20).mode, Mode::Shadow);
}
