//! Replies of our own, and what becomes of the connection after them.

use super::After;
use super::REPLY_PATIENCE;
use super::client::Client;
use super::intake::{Forwarded, Incoming};
use super::story::Story;
use super::worker::Workspace;
use crate::fault::Fault;
use crate::wire::body::{Decoder, Step};
use crate::wire::framing::Length;
use crate::wire::head::Version;
use crate::wire::reply::{self, Manner};

/// Writes a reply of our own to a request whose head was understood. The connection goes on if nothing of the content
/// is left to read.
pub(super) async fn finish(
    client: &mut Client,
    incoming: &Incoming,
    story: &Story,
    write: impl FnOnce(&mut Vec<u8>, Manner),
) -> After {
    client.buffer.consume(incoming.head);
    let unread = skip_content(client, incoming.framing.length);
    let keep_alive = !unread && incoming.framing.keep_alive && !story.last;
    let to_head = story.method.as_str() == "HEAD";
    write(
        &mut client.out,
        Manner {
            version: incoming.line.version,
            keep_alive,
            to_head,
        },
    );
    match (client.send(REPLY_PATIENCE).await, keep_alive) {
        (false, _) => After::Close,
        (true, true) => After::Next,
        (true, false) if !unread && client.buffer.is_empty() => After::Close,
        (true, false) => After::Linger,
    }
}

/// Drops the content as far as it is at hand; `true` if more of it is to come.
fn skip_content(client: &mut Client, length: Length) -> bool {
    let mut decoder = Decoder::new(length);
    loop {
        match decoder.step(client.buffer.filled()) {
            Ok(Step::Data { skip, data }) => {
                decoder.taken(data);
                client.buffer.consume(skip + data);
            }
            Ok(Step::End { skip }) => {
                client.buffer.consume(skip);
                return false;
            }
            Ok(Step::More { .. }) | Err(_) => return true,
        }
    }
}

/// Asks a caller for its content who waits to be asked; `false`: the caller is gone.
pub(super) async fn invite(client: &mut Client, terms: &mut Forwarded) -> bool {
    if std::mem::take(&mut terms.expects_continue) && client.buffer.is_empty() {
        client.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        return client.send(REPLY_PATIENCE).await;
    }
    true
}

/// Refuses what could not be understood: where the next request begins is then unknown, so the connection ends.
pub(super) async fn refuse_unread(
    client: &mut Client,
    story: &mut Story,
    workspace: &Workspace,
    fault: Fault,
) -> After {
    let to_head = story.method.as_str() == "HEAD";
    let manner = Manner {
        version: Version::Http11,
        keep_alive: false,
        to_head,
    };
    reply::write_fault(&mut client.out, &fault, &workspace.request_id, manner);
    story.status = reply::status(&fault);
    story.fault = Some(fault);
    if client.send(REPLY_PATIENCE).await {
        After::Linger
    } else {
        After::Close
    }
}
