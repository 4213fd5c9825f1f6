//! Client identifier and secret are a pair: which one is in use, which one is on trial. Pure.
//!
//! HMPPS Auth rotates a client by a copy of another name: both change, and their files may arrive apart. A changed pair is proven by
//! a token before it replaces the old one; until then the old one goes on, and one that is refused is tried again when the
//! files change, or slowly: the other side may learn of it later than we do.

use std::sync::Arc;
use std::time::Duration;

use super::gate::{Gate, Trouble};
use crate::secret::Secret;

/// After a change of both files, until they are tried: one may have been read before the other was replaced.
const SETTLE: Duration = Duration::from_secs(1);
/// After a change of one file only: the other one is likely on its way.
const SETTLE_ONE: Duration = Duration::from_secs(5);

/// What tells contents apart: of the identifier's file and of the secret's.
pub(super) type Marks = [[u8; 32]; 2];

/// One client.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) id: String,
    pub(super) secret: Secret<String>,
    /// When the secret's file was written, in Unix seconds.
    pub(super) since: Option<i64>,
}

/// The pair in use and the one on trial.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    current: Option<(Marks, Arc<Pair>)>,
    candidate: Option<Candidate>,
    /// The content that could not be used, said once.
    unusable: Option<Marks>,
}

#[derive(Debug)]
struct Candidate {
    marks: Marks,
    pair: Arc<Pair>,
    not_before: Duration,
    /// It was refused, and that was said.
    refused: bool,
    gate: Gate,
}

/// What a look at the files came to.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing new.
    Nothing,
    /// The first pair: the next fetch is its proof.
    First(Arc<Pair>),
    /// Another pair is going to be tried.
    Found,
    /// The files are those of the pair in use again.
    Withdrawn,
    /// The files cannot be used; the pair in use, if any, goes on.
    Unusable(String),
}

impl Pairs {
    pub(super) fn current(&self) -> Option<&Arc<Pair>> {
        self.current.as_ref().map(|(_, pair)| pair)
    }

    /// The files were never looked at.
    pub(super) fn is_unseen(&self) -> bool {
        self.current.is_none() && self.unusable.is_none()
    }

    /// The files were looked at; a pair that cannot be used is the sentence why. `in_need`: the pair in use is refused.
    pub(super) fn saw(&mut self, now: Duration, marks: Marks, pair: Result<Pair, String>, in_need: bool) -> News {
        if self.current.as_ref().is_some_and(|(current, _)| *current == marks) {
            self.unusable = None;
            return match self.candidate.take() {
                Some(_) => News::Withdrawn,
                None => News::Nothing,
            };
        }
        if self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.marks == marks)
            || self.unusable == Some(marks)
        {
            return News::Nothing;
        }
        let pair = match pair {
            Ok(pair) => Arc::new(pair),
            Err(sentence) => {
                self.unusable = Some(marks);
                self.candidate = None;
                return News::Unusable(sentence);
            }
        };
        self.unusable = None;
        let Some((current, _)) = &self.current else {
            self.current = Some((marks, pair.clone()));
            return News::First(pair);
        };
        let one = current.iter().zip(&marks).any(|(before, now)| before == now);
        self.candidate = Some(Candidate {
            marks,
            pair,
            not_before: now + if one && !in_need { SETTLE_ONE } else { SETTLE },
            refused: false,
            gate: Gate::default(),
        });
        News::Found
    }

    /// The pair that is to be tried at this moment.
    pub(super) fn to_try(&self, now: Duration) -> Option<&Arc<Pair>> {
        let candidate = self.candidate.as_ref()?;
        (candidate.not_before.max(candidate.gate.opens_at()) <= now).then_some(&candidate.pair)
    }

    /// A token came with this pair. The pair that it replaces; `None`: it is no longer on trial, or it is in use already.
    pub(super) fn proven(&mut self, pair: &Arc<Pair>) -> Option<Arc<Pair>> {
        let candidate = self.candidate.take_if(|candidate| Arc::ptr_eq(&candidate.pair, pair))?;
        let before = self.current.replace((candidate.marks, candidate.pair));
        before.map(|(_, pair)| pair)
    }

    /// No token came with this pair on trial. True: it is refused, for the first time.
    pub(super) fn not_proven(&mut self, now: Duration, pair: &Arc<Pair>, trouble: Trouble, roll: f64) -> bool {
        let Some(candidate) = self.candidate.as_mut() else {
            return false;
        };
        if !Arc::ptr_eq(&candidate.pair, pair) {
            return false;
        }
        let refused = trouble.kind.is_lasting();
        candidate.gate.close(now, trouble, roll);
        refused && !std::mem::replace(&mut candidate.refused, true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Kind;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pair(id: &str) -> Result<Pair, String> {
        Ok(Pair {
            id: id.to_owned(),
            secret: Secret::new("s".to_owned()),
            since: None,
        })
    }

    fn with_first() -> Pairs {
        let mut pairs = Pairs::default();
        assert!(matches!(
            pairs.saw(seconds(0), [[1; 32], [1; 32]], pair("a-1"), false),
            News::First(_)
        ));
        pairs
    }

    fn in_use(pairs: &Pairs) -> &str {
        &pairs.current().expect("a pair").id
    }

    #[test]
    fn a_changed_pair_is_tried_before_it_is_used() {
        let mut pairs = with_first();
        let marks = [[2; 32], [2; 32]];
        assert!(matches!(pairs.saw(seconds(10), marks, pair("a-2"), false), News::Found));
        assert!(pairs.to_try(seconds(10)).is_none(), "it settles first");
        assert!(matches!(
            pairs.saw(seconds(11), marks, pair("a-2"), false),
            News::Nothing
        ));
        let tried = pairs.to_try(seconds(11)).expect("tried").clone();
        assert_eq!(in_use(&pairs), "a-1");
        assert_eq!(pairs.proven(&tried).expect("replaced").id, "a-1");
        assert_eq!(in_use(&pairs), "a-2");
        assert!(pairs.to_try(seconds(99)).is_none());
    }

    #[test]
    fn files_that_arrive_apart_are_tried_together() {
        let mut pairs = with_first();
        pairs.saw(seconds(10), [[2; 32], [1; 32]], pair("mixed"), false);
        assert!(pairs.to_try(seconds(14)).is_none(), "the secret is on its way");
        pairs.saw(seconds(14), [[2; 32], [2; 32]], pair("a-2"), false);
        assert_eq!(pairs.to_try(seconds(15)).expect("tried").id, "a-2");
        let mut secret_only = with_first();
        secret_only.saw(seconds(10), [[1; 32], [2; 32]], pair("a-1"), false);
        assert!(secret_only.to_try(seconds(15)).is_some(), "no second file came");
    }

    #[test]
    fn who_has_no_client_that_works_does_not_wait_for_a_second_file() {
        let mut pairs = with_first();
        pairs.saw(seconds(10), [[1; 32], [2; 32]], pair("a-1"), true);
        assert!(pairs.to_try(seconds(11)).is_some());
    }

    #[test]
    fn a_refused_pair_is_said_once_and_tried_again_slowly_or_when_the_files_change() {
        let mut pairs = with_first();
        pairs.saw(seconds(10), [[2; 32], [2; 32]], pair("wrong"), false);
        let tried = pairs.to_try(seconds(11)).expect("tried").clone();
        let refused = || Trouble::new(Kind::Refused, "401");
        assert!(pairs.not_proven(seconds(11), &tried, refused(), 0.5));
        assert!(pairs.to_try(seconds(20)).is_none());
        assert!(pairs.to_try(seconds(42)).is_some(), "slowly");
        assert!(!pairs.not_proven(seconds(42), &tried, refused(), 0.5), "said already");
        assert_eq!(in_use(&pairs), "a-1");
        pairs.saw(seconds(43), [[3; 32], [3; 32]], pair("a-3"), false);
        assert_eq!(pairs.to_try(seconds(44)).expect("at once").id, "a-3");
        assert!(
            pairs.proven(&tried).is_none(),
            "what is no longer on trial cannot be proven"
        );
    }

    #[test]
    fn an_unreachable_server_says_nothing_of_a_pair() {
        let mut pairs = with_first();
        pairs.saw(seconds(10), [[2; 32], [2; 32]], pair("a-2"), false);
        let tried = pairs.to_try(seconds(11)).expect("tried").clone();
        assert!(!pairs.not_proven(seconds(11), &tried, Trouble::new(Kind::Timeout, "slow"), 0.5));
        assert!(pairs.to_try(seconds(12)).is_some(), "soon again");
    }

    #[test]
    fn files_that_cannot_be_used_leave_the_old_pair_in_use_and_are_said_once() {
        let mut pairs = with_first();
        let missing = || Err("the file is missing".to_owned());
        assert!(matches!(
            pairs.saw(seconds(10), [[0; 32], [1; 32]], missing(), false),
            News::Unusable(_)
        ));
        assert!(matches!(
            pairs.saw(seconds(11), [[0; 32], [1; 32]], missing(), false),
            News::Nothing
        ));
        assert_eq!(in_use(&pairs), "a-1");
        pairs.saw(seconds(12), [[2; 32], [2; 32]], pair("a-2"), false);
        assert!(matches!(
            pairs.saw(seconds(13), [[1; 32], [1; 32]], pair("a-1"), false),
            News::Withdrawn
        ));
        assert!(pairs.to_try(seconds(99)).is_none());
    }
}
