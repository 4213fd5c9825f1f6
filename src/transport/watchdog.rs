//! One timer for a connection, whatever it waits for.
//!
//! A request passes half a dozen deadlines and meets none of them. Setting and clearing a timer for each would cost
//! more than the deadlines are worth; so the timer is left alone while it would fire too early, and only then looks at
//! the deadline that is in force. It is moved only when a deadline comes before the moment it is set to.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that follows a moving deadline.
#[derive(Debug)]
pub struct Watchdog {
    sleep: Pin<Box<Sleep>>,
    set_to: Instant,
}

impl Watchdog {
    /// A timer that is first set to `deadline`.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(deadline)),
            set_to: deadline,
        }
    }

    /// Ready once `deadline` has passed. A call with a later deadline than the one before costs no timer operation.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline < self.set_to {
            self.set(deadline);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.set(deadline);
        }
    }

    fn set(&mut self, to: Instant) {
        self.sleep.as_mut().reset(to);
        self.set_to = to;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_the_deadline_in_force_and_not_at_one_that_was_moved() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start + Duration::from_secs(1));
        let later = start + Duration::from_secs(5);
        poll_fn(|cx| dog.poll_expired(cx, later)).await;
        assert!(Instant::now() >= later && Instant::now() < later + Duration::from_millis(50));
        let earlier = Instant::now() + Duration::from_secs(2);
        let mut dog = Watchdog::new(earlier + Duration::from_secs(60));
        poll_fn(|cx| dog.poll_expired(cx, earlier)).await;
        assert!(Instant::now() < earlier + Duration::from_millis(50));
    }
}
