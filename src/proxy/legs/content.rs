//! The content of a request that has to be in memory before it is sent: what did not come with the head.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Code, Fault};
use crate::proxy::client::Client;
use crate::proxy::exchange::body_too_large;
use crate::proxy::intake::Forwarded;
use crate::proxy::own::invite;
use crate::wire::body::{Decoder, Step};
use crate::wire::framing::Length;

/// Reads all of it from the caller.
///
/// # Errors
/// [`Fault`] of the caller: too much, not in time, not readable. Its connection is then in the middle of a message.
pub(in crate::proxy) async fn gather(
    client: &mut Client,
    terms: &mut Forwarded,
    patience: Duration,
) -> Result<Vec<u8>, Fault> {
    let mut content = Vec::new();
    if terms.length == Length::Empty {
        return Ok(content);
    }
    let late = || {
        Fault::new(
            Code::RequestTimeout,
            "the caller began a request and did not send its content in time",
        )
    };
    if !invite(client, terms).await {
        return Err(late());
    }
    let deadline = Instant::now() + patience;
    let mut decoder = Decoder::new(terms.length);
    loop {
        let step = decoder.step(client.buffer.filled());
        match step.map_err(|error| Fault::new(Code::RequestMalformed, error.to_string()))? {
            Step::Data { skip, data } => {
                client.buffer.consume(skip);
                if content.len() as u64 + data as u64 > terms.body_limit {
                    return Err(body_too_large(terms.body_limit));
                }
                content.extend_from_slice(&client.buffer.filled()[..data]);
                client.buffer.consume(data);
                decoder.taken(data);
            }
            Step::End { skip } => {
                client.buffer.consume(skip);
                terms.length = Length::Empty;
                return Ok(content);
            }
            Step::More { skip } => {
                client.buffer.consume(skip);
                let filled = poll_fn(|cx| match client.poll_fill(cx) {
                    Poll::Ready(read) => Poll::Ready(Some(read)),
                    Poll::Pending => client.watchdog.poll_expired(cx, deadline).map(|()| None),
                })
                .await;
                if !matches!(filled, Some(Ok(count)) if count > 0) {
                    return Err(late());
                }
            }
        }
    }
}
