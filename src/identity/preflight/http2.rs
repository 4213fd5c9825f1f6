//! The same request over HTTP/2 (RFC 9113): one stream, of which only the head is read.

use bytes::Bytes;
use http::HeaderValue;

use super::{Reply, Request, Unanswered};
use crate::fault::{Code, Fault};
use crate::transport::stream::Stream;
use crate::transport::tls;

pub(super) async fn ask(stream: &mut Stream, request: &Request, peer: &str) -> Result<Reply, Unanswered> {
    let failed = |error: h2::Error| {
        if let Some(error) = error.get_io() {
            let (failure, fault) = tls::judge(error, "after the TLS handshake", &peer);
            return if failure == tls::Failure::Closed {
                Unanswered::Silently(fault)
            } else {
                Unanswered::Fault(fault)
            };
        }
        let sentence = format!("{peer} does not answer {request} over HTTP/2: {error}");
        Unanswered::Fault(Fault::new(Code::UpstreamInvalid, sentence))
    };
    let authority = String::from_utf8_lossy(&request.host);
    let asked = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("https://{authority}{}", request.target))
        .header("user-agent", "delius-sidecar")
        .header("cache-control", "no-store");
    let asked = match &request.authorization {
        Some(authorization) => {
            let value = HeaderValue::from_bytes(authorization.expose()).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            value
                .map_err(http::Error::from)
                .and_then(|value| asked.header("authorization", value).body(()))
        }
        None => asked.body(()),
    };
    let asked = asked.map_err(|error| {
        let sentence = format!("{request} cannot be asked of {peer}: {error}");
        Unanswered::Fault(Fault::new(Code::UpstreamInvalid, sentence))
    })?;
    let (mut sender, connection) = h2::client::handshake::<_>(stream).await.map_err(failed)?;
    let (reply, _): (_, h2::SendStream<Bytes>) = sender.send_request(asked, true).map_err(failed)?;
    tokio::select! {
        // First: what ended the connection says more than that the stream ended with it.
        biased;
        ended = connection => match ended {
            Err(error) => Err(failed(error)),
            Ok(()) => {
                let sentence = format!("{peer} closed the connection before any answer to {request}");
                Err(Unanswered::Silently(Fault::new(Code::UpstreamReset, sentence)))
            }
        },
        reply = reply => {
            let reply = reply.map_err(failed)?;
            let value = |name| reply.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok(Reply {
                status: reply.status().as_u16(),
                date: value("date"),
                challenge: value("www-authenticate"),
            })
        }
    }
}
