//! The status page for people: one self-contained HTML text, without script and without anything to be fetched.
//!
//! Whatever comes from a certificate or from the configuration passes through [`Escaped`]; the page's policy
//! ([`policy`]) lets the browser apply the one style sheet below and nothing else.

use std::fmt::{self, Display, Write as _};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::status::{Identity, Status};
use super::{rotation, units};
use crate::identity::status::rfc3339;
use crate::lifecycle::Readiness;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#0b0c0c}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #b1b4b6;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;overflow-wrap:anywhere}\
.up{color:#00703c}.down{color:#d4351c}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif}";

/// Days before its end from which a certificate is shown as a matter of concern, and of urgency.
const SOON: i64 = 30;
const URGENT: i64 = 7;
const DAY: i64 = 86_400;

/// The policy that the page is sent with.
pub(super) fn policy() -> String {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page at `now` (Unix seconds).
pub(super) fn render(status: &Status, readiness: &Readiness, now: i64) -> String {
    let mut out = String::with_capacity(8192);
    // Writing to a string does not fail.
    let _ = write(&mut out, status, readiness, now);
    out
}

fn write(out: &mut String, status: &Status, readiness: &Readiness, now: i64) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>delius-sidecar</title>\
         <style>{STYLE}</style></head><body>\n<h1>delius-sidecar {version}</h1>\n"
    )?;
    let (class, word) = if readiness.ready() {
        ("up", "ready")
    } else {
        ("down", "not ready")
    };
    let draining = if readiness.draining() { ", draining" } else { "" };
    let time = rfc3339(now);
    writeln!(
        out,
        "<p><strong class=\"{class}\">{word}{draining}</strong> at {time}</p>"
    )?;
    let pending = readiness.pending();
    if !pending.is_empty() {
        out.push_str("<ul>");
        for (name, sentence) in &pending {
            write!(out, "<li><code>{}</code>: {}</li>", Escaped(name), Escaped(sentence))?;
        }
        out.push_str("</ul>\n");
    }
    certificates(out, &status.identities, now)?;
    rotation::write(out, &status.lineages)?;
    units::write(out, &status.switch, now)?;
    units::tokens(out, &status.tokens, now)?;
    upstreams(out, status)?;
    routes(out, status)?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn certificates(out: &mut String, identities: &[Identity], now: i64) -> fmt::Result {
    out.push_str("<h2>Certificates</h2>\n");
    if identities.is_empty() {
        out.push_str("<p>None is loaded.</p>\n");
        return Ok(());
    }
    time_line(out, identities, now)?;
    out.push_str(
        "<table><tr><th>role</th><th>name</th><th>generation</th><th>subject and names</th><th>serial, SHA-256</th>\
         <th>valid until</th></tr>\n",
    );
    for identity in identities {
        write!(
            out,
            "<tr><td>{} {}</td><td>{}",
            Escaped(identity.role),
            Escaped(&identity.position),
            Escaped(&identity.name)
        )?;
        if !identity.upstream.is_empty() && identity.upstream != identity.name {
            write!(out, " towards {}", Escaped(&identity.upstream))?;
        }
        writeln!(
            out,
            "</td><td class=\"n\">{}</td><td>{}<br>{}</td><td><code>{}<br>{}</code></td><td>{}<br>{}</td></tr>",
            identity.generation,
            Escaped(&identity.subject),
            Escaped(&identity.names.join(", ")),
            Escaped(&identity.serial),
            Escaped(&identity.fingerprint),
            rfc3339(identity.not_after),
            remaining(identity.not_after, now),
        )?;
    }
    out.push_str("</table>\n");
    Ok(())
}

/// A bar for each certificate from its begin to its end, and a line for now.
fn time_line(out: &mut String, identities: &[Identity], now: i64) -> fmt::Result {
    const LEFT: f64 = 260.0;
    const WIDTH: f64 = 700.0;
    const ROW: usize = 26;
    // A root of twenty years must not squeeze the leaf of ninety days into a dot: at most a year back, two ahead.
    let first = identities.iter().map(|identity| identity.not_before).min();
    let last = identities.iter().map(|identity| identity.not_after).max();
    let from = first.unwrap_or(now).clamp(now - 365 * DAY, now - DAY);
    let to = last.unwrap_or(now).clamp(now + DAY, now + 730 * DAY);
    #[allow(clippy::cast_precision_loss)] // a position on a screen
    let place = |time: i64| LEFT + WIDTH * (time.clamp(from, to) - from) as f64 / (to - from) as f64;
    let height = ROW * identities.len() + 24;
    writeln!(
        out,
        "<svg viewBox=\"0 0 980 {height}\" role=\"img\" aria-label=\"certificates on a time line to their expiry\">"
    )?;
    for (row, identity) in identities.iter().enumerate() {
        let top = row * ROW + 4;
        let (start, end) = (place(identity.not_before), place(identity.not_after));
        let label: String = format!("{} {} {}", identity.name, identity.role, identity.position)
            .chars()
            .take(38)
            .collect();
        writeln!(
            out,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"{start:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"16\" rx=\"2\" \
             fill=\"{}\"><title>{} to {}</title></rect>",
            top + 13,
            Escaped(&label),
            (end - start).max(2.0),
            colour(identity, now),
            rfc3339(identity.not_before),
            rfc3339(identity.not_after),
        )?;
    }
    let (x, bottom) = (place(now), height - 20);
    writeln!(
        out,
        "<line x1=\"{x:.1}\" y1=\"0\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#0b0c0c\"/><text x=\"{x:.1}\" y=\"{}\" \
         text-anchor=\"middle\">now</text><text x=\"960\" y=\"{}\" text-anchor=\"end\">{}</text></svg>",
        height - 6,
        height - 6,
        rfc3339(to),
    )
}

fn colour(identity: &Identity, now: i64) -> &'static str {
    match (identity.not_after - now).div_euclid(DAY) {
        _ if identity.not_before > now => "#505a5f",
        ..URGENT => "#d4351c",
        URGENT..SOON => "#f47738",
        _ => "#00703c",
    }
}

fn remaining(not_after: i64, now: i64) -> String {
    let left = not_after.saturating_sub(now);
    match left / DAY {
        _ if left < 0 => "<strong class=\"down\">expired</strong>".to_owned(),
        0 => format!("<strong class=\"down\">{} hours left</strong>", left / 3600),
        days => format!("{days} days left"),
    }
}

fn upstreams(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str(
        "<h2>Upstreams</h2>\n<table><tr><th>name</th><th>address</th><th>circuit</th><th>connections</th></tr>\n",
    );
    for upstream in &status.upstreams {
        let class = if upstream.circuit == "closed" { "up" } else { "down" };
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>",
            Escaped(&upstream.name),
            Escaped(&upstream.address),
            Escaped(upstream.circuit),
        )?;
        for open in &upstream.connections {
            write!(
                out,
                "generation {}: {} active, {} idle<br>",
                open.generation, open.active, open.idle
            )?;
        }
        out.push_str("</td></tr>\n");
    }
    out.push_str("</table>\n");
    Ok(())
}

fn routes(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str(
        "<h2>Routes</h2>\n<table><tr><th>name</th><th>template</th><th>mode</th><th>leg</th><th>requests</th></tr>\n",
    );
    for route in &status.routes {
        writeln!(
            out,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
            Escaped(&route.name),
            Escaped(&route.template),
            route.mode,
            Escaped(&route.leg),
            route.requests,
        )?;
    }
    out.push_str("</table>\n");
    Ok(())
}

/// Text as HTML content: what could begin an element, an entity or end an attribute is written as an entity.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::{Route, Upstream};
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const EVIL: &str = "\"><script>alert('x')</script>&";

    fn identity(not_after: i64) -> Identity {
        Identity {
            role: "client",
            name: EVIL.to_owned(),
            upstream: format!("u{EVIL}"),
            position: EVIL.to_owned(),
            subject: EVIL.to_owned(),
            names: vec![EVIL.to_owned()],
            serial: EVIL.to_owned(),
            fingerprint: EVIL.to_owned(),
            not_before: NOW - 80 * DAY,
            not_after,
            ..Identity::default()
        }
    }

    #[test]
    fn nothing_from_a_certificate_or_the_configuration_becomes_markup() {
        let status = Status {
            lineages: Vec::new(),
            identities: vec![identity(NOW + 90 * DAY)],
            upstreams: vec![Upstream {
                name: EVIL.to_owned(),
                address: EVIL.to_owned(),
                circuit: "closed",
                connections: Vec::new(),
            }],
            routes: vec![Route {
                name: EVIL.to_owned(),
                template: EVIL.to_owned(),
                leg: EVIL.to_owned(),
                mode: "ndh",
                requests: 3,
            }],
            ..Status::default()
        };
        let page = render(&status, &Readiness::new(), NOW);
        assert!(!page.contains("<script") && !page.contains("\"><s"), "{page}");
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;";
        assert!(page.matches(escaped).count() >= 9, "{page}");
    }

    #[test]
    fn the_end_of_a_certificate_is_told_in_words_and_colour() {
        let with = |not_after| {
            let status = Status {
                lineages: Vec::new(),
                identities: vec![identity(not_after)],
                ..Status::default()
            };
            render(&status, &Readiness::new(), NOW)
        };
        let far = with(NOW + 90 * DAY);
        assert!(
            far.contains("90 days left") && far.contains("fill=\"#00703c\""),
            "{far}"
        );
        let soon = with(NOW + 5 * 3600);
        assert!(
            soon.contains("5 hours left") && soon.contains("fill=\"#d4351c\""),
            "{soon}"
        );
        assert!(with(NOW - 1).contains(">expired<"));
    }

    #[test]
    fn dates_beyond_any_calendar_do_not_break_the_page() {
        let mut odd = identity(i64::MAX);
        odd.not_before = i64::MIN;
        let status = Status {
            lineages: Vec::new(),
            identities: vec![odd],
            ..Status::default()
        };
        let page = render(&status, &Readiness::new(), NOW);
        assert!(page.ends_with("</html>\n"));
    }
}
