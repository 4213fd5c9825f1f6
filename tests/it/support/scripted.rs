//! An HTTP API that answers as a closure says, and remembers what it was asked: both legs of a route, and the token server.
//!
//! What it does can be changed while it serves: a leg that hangs, breaks off or floods from now on. Built on [`Hostile`], so
//! that nothing repairs what is meant.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::hostile::{Conn, Hostile, field};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The last segment of the path but `back`.
    pub(crate) fn segment(&self, back: usize) -> &str {
        self.path.rsplit('/').nth(back).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Json(u16, Value),
    /// Status, header lines with CRLF, content.
    Raw(u16, String, Vec<u8>),
    /// Never anything; the connection stays.
    Hang,
    /// A reset in place of an answer.
    Reset,
    /// A success with this many bytes of JSON text.
    Flood(usize),
    After(Duration, Box<Self>),
}

type Act = dyn Fn(&Asked) -> Say + Send + Sync;

pub(crate) struct Scripted {
    upstream: Hostile,
    asked: Arc<Mutex<Vec<Asked>>>,
    act: Arc<Mutex<Arc<Act>>>,
}

impl Scripted {
    pub(crate) fn start(act: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let act: Arc<Mutex<Arc<Act>>> = Arc::new(Mutex::new(Arc::new(act)));
        let upstream = Hostile::plain({
            let (asked, act) = (asked.clone(), act.clone());
            move |_, conn| while serve(conn, &asked, &act).is_some() {}
        });
        Self { upstream, asked, act }
    }

    /// From the next request on it answers so.
    pub(crate) fn act(&self, act: impl Fn(&Asked) -> Say + Send + Sync + 'static) {
        *self.act.lock().expect("act") = Arc::new(act);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.upstream.address())
    }

    /// Everything it was asked, in the order of arrival.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("asked").clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Asked) -> bool) -> usize {
        let asked = self.asked.lock().expect("asked");
        asked.iter().filter(|asked| wanted(asked)).count()
    }

    pub(crate) fn total(&self) -> usize {
        self.asked.lock().expect("asked").len()
    }
}

fn serve(conn: &mut Conn, asked: &Mutex<Vec<Asked>>, act: &Mutex<Arc<Act>>) -> Option<()> {
    let (head, body) = conn.request()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let request = Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        head,
        body,
    };
    asked.lock().expect("asked").push(request.clone());
    let act = act.lock().expect("act").clone();
    let mut say = act(&request);
    while let Say::After(pause, then) = say {
        std::thread::sleep(pause);
        say = *then;
    }
    let to_head = request.method == "HEAD";
    match say {
        Say::Json(status, value) => {
            let kind = "Content-Type: application/json\r\n";
            reply(conn, status, kind, value.to_string().as_bytes(), to_head);
        }
        Say::Raw(status, fields, content) => reply(conn, status, &fields, &content, to_head),
        Say::Hang => {
            conn.head()?; // until the other side gives up
        }
        Say::Reset => {
            conn.reset();
            return None;
        }
        Say::Flood(size) => {
            let kind = "Content-Type: application/json\r\n";
            let head = format!("HTTP/1.1 200 X\r\n{kind}Content-Length: {size}\r\n\r\n\"");
            conn.write(head);
            let block = vec![b'x'; 256 * 1024];
            let mut left = size - 2;
            while left > 0 {
                let now = left.min(block.len());
                conn.write(&block[..now]);
                left -= now;
                if conn.is_gone() {
                    return None;
                }
            }
            conn.write("\"");
        }
        Say::After(..) => {}
    }
    Some(())
}

fn reply(conn: &mut Conn, status: u16, fields: &str, content: &[u8], to_head: bool) {
    let head = format!(
        "HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n",
        content.len()
    );
    let content = if to_head { &[] } else { content };
    conn.write([head.as_bytes(), content].concat());
}

/// A token server: each request gets another token, `name-1`, `name-2` and so on, which is said to live so long.
pub(crate) fn tokens(name: &'static str, life: u64) -> Scripted {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Scripted::start(move |_| {
        let number = 1 + count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        token(&format!("{name}-{number}"), life)
    })
}

pub(crate) fn token(token: &str, life: u64) -> Say {
    Say::Json(
        200,
        json!({"access_token": token, "token_type": "bearer", "expires_in": life, "scope": "read"}),
    )
}
