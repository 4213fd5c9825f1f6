//! Puts a request to one leg and keeps the reply in memory: with its token, in as many parts as the leg has.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use zeroize::Zeroize as _;

use crate::fault::{Code, Fault};
use crate::proxy::client::Client;
use crate::proxy::exchange::Broken;
use crate::proxy::forward::carry;
use crate::proxy::intake::Forwarded;
use crate::proxy::plan::{Leg, Token};
use crate::proxy::story::Story;
use crate::proxy::worker::{Worker, World};
use crate::token::Bearer;
use crate::transport::memory::Memory;
use crate::transport::stream::Stream;
use crate::wire::framing::Length;
use crate::wire::head::{Bounds, Fields, Version};
use crate::wire::whole::Whole;

use super::asked::Asked;
use super::target::{Wanted, wanted, write};

/// What a leg said.
#[derive(Clone, PartialEq, Eq)]
pub enum Raw {
    One(Whole),
    /// By name; never empty.
    Parts(Vec<(String, Whole)>),
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(whole) => whole.fmt(f),
            Self::Parts(parts) => f.debug_list().entries(parts.iter().map(|(_, whole)| whole)).finish(),
        }
    }
}

impl Raw {
    /// The reply, or the first of its parts.
    #[must_use]
    pub fn first(&self) -> &Whole {
        match self {
            Self::One(whole) => whole,
            Self::Parts(parts) => &parts[0].1,
        }
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let of = |whole: &Whole| whole.head.len() + whole.body.len();
        match self {
            Self::One(whole) => of(whole),
            Self::Parts(parts) => parts.iter().map(|(_, part)| of(part)).sum(),
        }
    }

    /// The worst of the statuses.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::One(whole) => whole.status,
            Self::Parts(parts) => parts.iter().map(|(_, part)| part.status).max().unwrap_or(0),
        }
    }

    fn any(&self, status: impl Fn(u16) -> bool) -> bool {
        match self {
            Self::One(whole) => status(whole.status),
            Self::Parts(parts) => parts.iter().any(|(_, part)| status(part.status)),
        }
    }
}

/// Asks for nobody who waits.
///
/// # Errors
/// As [`ask`].
pub async fn ask_aside(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    leg: &Arc<Leg>,
    asked: &Arc<Asked>,
) -> Result<Raw, Fault> {
    ask(worker, world, leg, asked, &mut Story::new()).await
}

/// Asks, with a valid token where the leg has one. A token that the upstream refuses is replaced once.
///
/// # Errors
/// [`Fault`]: the leg did not answer, or not with what can be used. What came of it stands in `story`.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    leg: &Arc<Leg>,
    asked: &Arc<Asked>,
    story: &mut Story,
) -> Result<Raw, Fault> {
    let wanted = wanted(leg, asked)?;
    let Some(token) = &leg.token else {
        return exchange(worker, world, leg, asked, wanted, None, story).await;
    };
    let tokens = &world.plan.tokens;
    let user = user(token, asked);
    let deadline = story.began + leg.total.unwrap_or(world.plan.targets[leg.target].times.total);
    let mut renewed = false;
    loop {
        let bearer = match tokens.bearer(&token.name, user.as_deref()) {
            Some(bearer) => bearer,
            None => tokens.fetch(&token.name, user.as_deref(), deadline).await?,
        };
        let raw = exchange(worker, world, leg, asked, wanted.clone(), Some(bearer.clone()), story).await?;
        let stale = raw.any(|status| status == 401 || (status == 403 && token.forbidden_is_stale));
        let refused = raw.any(|status| matches!(status, 401 | 403));
        if stale {
            tokens.refused(&token.name, user.as_deref(), &bearer)?;
            // What may not be repeated is not sent again, whatever a 401 says of it.
            if !renewed && asked.idempotent && Instant::now() < deadline {
                renewed = true;
                continue;
            }
        }
        if refused {
            let peer = &world.plan.targets[leg.target].peer;
            let sentence = format!(
                "{peer} answers {} to the token {}, which is fresh: look at the roles of its client, and whether the \
                 API believes this authorisation server",
                raw.status(),
                token.name
            );
            return Err(Fault::new(Code::TokenRefused, sentence));
        }
        bearer.worked();
        return Ok(raw);
    }
}

/// For whom the token is.
fn user(token: &Token, asked: &Asked) -> Option<String> {
    let header = token.username_header.as_deref()?;
    let mut fields = Fields::default();
    fields.parse_request(&asked.head, &Bounds::JUDGED).ok()?;
    let mut named = fields
        .iter()
        .filter(|field| field.name_span.of(&asked.head).eq_ignore_ascii_case(header.as_bytes()));
    let value = named.next()?.value.of(&asked.head);
    Some(String::from_utf8_lossy(value).into_owned()).filter(|user| !user.is_empty())
}

async fn exchange(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    leg: &Arc<Leg>,
    asked: &Arc<Asked>,
    wanted: Vec<Wanted>,
    bearer: Option<Arc<Bearer>>,
    story: &mut Story,
) -> Result<Raw, Fault> {
    if leg.parts.is_empty() {
        let single = wanted.into_iter().next().unwrap_or_default();
        return one(worker, world, leg, asked, &single, bearer.as_deref(), story)
            .await
            .map(Raw::One);
    }
    // All at once: one after the other they would take the caller's patience several times.
    let mut under_way = JoinSet::new();
    for (index, part) in wanted.into_iter().enumerate() {
        let (worker, world, leg, asked) = (worker.clone(), world.clone(), leg.clone(), asked.clone());
        let (bearer, mut own) = (bearer.clone(), Story::since(story.began));
        under_way.spawn_local(async move {
            let whole = one(&worker, &world, &leg, &asked, &part, bearer.as_deref(), &mut own).await;
            (index, part.part, whole, own)
        });
    }
    let mut parts = Vec::new();
    while let Some(ended) = under_way.join_next().await {
        let Ok((index, name, whole, own)) = ended else {
            return Err(Fault::new(
                Code::UpstreamReset,
                "one of the requests of this leg broke off",
            ));
        };
        story.take_in(own);
        parts.push((index, name, whole?));
    }
    parts.sort_by_key(|(index, ..)| *index);
    Ok(Raw::Parts(
        parts.into_iter().map(|(_, name, whole)| (name, whole)).collect(),
    ))
}

async fn one(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    leg: &Leg,
    asked: &Asked,
    wanted: &Wanted,
    bearer: Option<&Bearer>,
    story: &mut Story,
) -> Result<Whole, Fault> {
    let limit = world.plan.reply_limit;
    let mut workspace = worker.workspace();
    workspace.head.clear();
    let target = world.lenders[leg.target].target.borrow().clone();
    write(
        &mut workspace.head,
        leg,
        &target,
        asked,
        wanted,
        bearer.map(Bearer::header_value),
    )?;
    let mut client = Client::new(Stream::Memory(Memory::new(limit)), target.times.total);
    let mut terms = Forwarded {
        length: Length::Empty,
        body_limit: 0,
        to_head: asked.to_head(),
        version: Version::Http11,
        keep_alive: true,
        expects_continue: false,
        idempotent: asked.idempotent,
        replayable: true,
    };
    story.progress = Default::default();
    let carried = carry(
        worker,
        world,
        &mut client,
        &mut workspace,
        story,
        leg,
        asked.person,
        &mut terms,
    )
    .await;
    // What went into memory has not reached the caller: a failure can still be said in a reply.
    story.progress.answered = false;
    // The token stood in it.
    workspace.head.zeroize();
    worker.give_back(workspace);
    let Stream::Memory(memory) = client.stream else {
        return Err(Fault::new(Code::UpstreamInvalid, "the reply went elsewhere"));
    };
    match carried {
        Ok(_) => {}
        Err(Broken::CallerGone) if memory.is_full() => {
            let sentence = format!(
                "the reply of {} is larger than {limit} bytes, the limit for a reply that is mapped or compared",
                target.peer
            );
            return Err(Fault::new(Code::UpstreamInvalid, sentence));
        }
        Err(Broken::CallerGone) => return Err(Fault::new(Code::UpstreamReset, "the reply broke off")),
        Err(Broken::Request(fault) | Broken::Upstream(fault)) => return Err(fault),
    }
    let whole = memory
        .into_bytes()
        .and_then(|bytes| Whole::read(&bytes, asked.to_head()));
    whole.ok_or_else(|| {
        Fault::new(
            Code::UpstreamInvalid,
            format!("the reply of {} is not whole", target.peer),
        )
    })
}
