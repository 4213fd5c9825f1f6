//! What operators ask through the control socket, and the answers that have to wait for the end of a trial.

use tokio::sync::{mpsc, oneshot};

use super::identities::{Happening, Identities};
use crate::control::{Asked, Refusal, Reply, Which};
use crate::identity::lineage::News;
use crate::identity::rotation::{Objection, Phase};

type Answer = oneshot::Sender<Result<Reply, Refusal>>;

/// Commands that came, and those that wait.
pub(super) struct Wishes {
    asked: Option<mpsc::Receiver<Asked>>,
    waiting: Vec<Waiting>,
}

/// A promotion that is asked for and hangs on trials.
struct Waiting {
    /// Upstream and number of what is on trial.
    trials: Vec<(String, u64)>,
    said: Vec<String>,
    /// Trials that did not pass.
    failed: Vec<Refusal>,
    answer: Answer,
}

impl Wishes {
    /// `None`: there is no control socket.
    pub(super) const fn new(asked: Option<mpsc::Receiver<Asked>>) -> Self {
        Self {
            asked,
            waiting: Vec::new(),
        }
    }

    /// The next command; waits for it.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        match &mut self.asked {
            Some(asked) => asked.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Promotes what waits, or has it tried first; then the answer waits for the trial.
    pub(super) fn promote(&mut self, identities: &mut Identities, which: &Which, answer: Answer) -> Vec<Happening> {
        let outcome = identities.wish(which, |lineage, now, traffic| lineage.promote(now, traffic));
        let trials: Vec<(String, u64)> = identities
            .managed()
            .filter(|(upstream, lineage)| which.means(upstream, lineage))
            .filter_map(|(upstream, lineage)| match lineage.candidate() {
                Some((number, Phase::OnTrial)) => Some((upstream.to_owned(), number)),
                _ => None,
            })
            .collect();
        if trials.is_empty() || outcome.said.is_empty() {
            let _ = answer.send(settle(&outcome.said, &outcome.objections));
        } else {
            self.waiting.push(Waiting {
                trials,
                said: Vec::new(),
                failed: Vec::new(),
                answer,
            });
        }
        outcome.happened
    }

    /// Goes back to the generation before.
    pub(super) fn roll_back(identities: &mut Identities, which: &Which, answer: Answer) -> Vec<Happening> {
        let outcome = identities.wish(which, |lineage, now, traffic| lineage.roll_back(now, traffic));
        let _ = answer.send(settle(&outcome.said, &outcome.objections));
        outcome.happened
    }

    /// Answers those whose trial has ended.
    pub(super) fn hear(&mut self, happened: &[Happening]) {
        for (upstream, news) in happened {
            let (number, ended) = match news {
                News::Promoted { number, .. } => (
                    *number,
                    Ok(format!(
                        "{upstream}: the trial passed; generation {number} is in use now"
                    )),
                ),
                News::NotPassed {
                    number, sentence, next, ..
                } => (
                    *number,
                    Err(Refusal::new(
                        409,
                        "trial_not_passed",
                        format!(
                            "{upstream}: generation {number} was tried and did not pass: {sentence}; what is in use stays, and {next}"
                        ),
                    )),
                ),
                News::Found { number, next, .. } => {
                    self.supersede(upstream, *number, next);
                    continue;
                }
                News::Withdrawn { number } => (
                    *number,
                    Err(Refusal::new(
                        409,
                        "withdrawn",
                        format!("{upstream}: the files of generation {number} were taken away during its trial"),
                    )),
                ),
                _ => continue,
            };
            for waiting in &mut self.waiting {
                let before = waiting.trials.len();
                waiting.trials.retain(|trial| *trial != (upstream.clone(), number));
                if waiting.trials.len() < before {
                    match &ended {
                        Ok(sentence) => waiting.said.push(sentence.clone()),
                        Err(refusal) => waiting.failed.push(refusal.clone()),
                    }
                }
            }
        }
        let (ended, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter(|waiting| !waiting.answer.is_closed())
            .partition(|waiting| waiting.trials.is_empty());
        self.waiting = waiting;
        for Waiting {
            said, failed, answer, ..
        } in ended
        {
            let _ = answer.send(match failed.into_iter().next() {
                Some(refusal) => Err(refusal),
                None => Ok(Reply::Done(said.join("; "))),
            });
        }
    }

    /// Other files came during a trial: what was asked for is not on its way any more.
    fn supersede(&mut self, upstream: &str, number: u64, next: &str) {
        for waiting in &mut self.waiting {
            let before = waiting.trials.len();
            waiting
                .trials
                .retain(|(name, tried)| name != upstream || *tried >= number);
            if waiting.trials.len() < before {
                waiting.failed.push(Refusal::new(
                    409,
                    "superseded",
                    format!("{upstream}: other files were found during the trial: generation {number}; {next}"),
                ));
            }
        }
    }

    /// No more commands are taken: whoever waits is told that the process ends.
    pub(super) fn close(&mut self) {
        self.asked = None;
        self.waiting.clear();
    }
}

/// Nothing of the kind is configured.
pub(super) fn unknown() -> Refusal {
    Refusal::new(
        404,
        "unknown_identity",
        "no certificate of that identity or upstream is managed here; `identity status` lists them",
    )
}

/// What another look came to, in words.
pub(super) fn found(happened: &[Happening]) -> String {
    let one = |(upstream, news): &Happening| match news {
        News::Found { number, next, .. } => Some(format!("{upstream}: found generation {number}; {next}")),
        News::Refused { source, reason } => Some(format!("{upstream}: {} not accepted: {reason}", source.as_str())),
        News::Promoted { number, .. } => Some(format!("{upstream}: generation {number} is in use now")),
        News::Try { number, .. } => Some(format!("{upstream}: trying generation {number} against the other side")),
        _ => None,
    };
    let said: Vec<String> = happened.iter().filter_map(one).collect();
    if said.is_empty() {
        return "looked again and found nothing new".to_owned();
    }
    said.join("; ")
}

/// One that could is enough; otherwise the objections are the answer.
fn settle(said: &[String], objections: &[Objection]) -> Result<Reply, Refusal> {
    if !said.is_empty() {
        return Ok(Reply::Done(said.join("; ")));
    }
    let mut sentences: Vec<String> = objections.iter().map(ToString::to_string).collect();
    sentences.dedup();
    let code = match objections.first() {
        Some(Objection::NothingToPromote) => "nothing_to_promote",
        Some(Objection::NotYetValid(_)) => "not_yet_valid",
        Some(Objection::NothingToGoBackTo) => "nothing_to_go_back_to",
        Some(Objection::PreviousExpired(_)) => "previous_expired",
        None => "unknown_identity",
    };
    Err(Refusal::new(409, code, sentences.join("; ")))
}
