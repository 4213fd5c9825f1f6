//! The paths that a Rust file names: just enough of a reader for `floors`.
//!
//! Comments and literals are skipped, `use` trees are flattened, `super` is resolved through inline modules, and what
//! stands under `#[cfg(test)]` is marked. It is not a defence against renaming imports on purpose; a reviewer is.

/// A path as it stands in the source; `use` trees are flattened into one for each leaf.
pub(crate) struct Named<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
    /// Inside `#[cfg(test)]`.
    pub(crate) test: bool,
    /// Followed by `!`.
    pub(crate) invoked: bool,
    /// How many inline modules deep.
    nested: usize,
}

impl<'a> Named<'a> {
    /// The top-level module that this path reaches into through the crate's root, if it does.
    pub(crate) fn top_level(&self, home: &[&str]) -> Option<&'a str> {
        let mut rest = &self.segments[..];
        if let ["crate" | "delius_sidecar", tail @ ..] = rest {
            return tail.first().copied();
        }
        let mut depth = home.len() + self.nested;
        while let ["super", tail @ ..] | ["self", tail @ ..] = rest {
            depth = depth.saturating_sub(usize::from(rest[0] == "super"));
            rest = tail;
        }
        let climbed = rest.len() < self.segments.len();
        (climbed && depth == 0).then(|| rest.first().copied()).flatten()
    }
}

/// Every path that `source` names, in order; `all_test` where the whole file is test code.
pub(crate) fn paths(source: &str, all_test: bool) -> Vec<Named<'_>> {
    let tokens = tokens(source);
    let text = |i: usize| tokens.get(i).map_or("", |t| t.0);
    let (mut found, mut i, mut depth) = (Vec::new(), 0, 0_usize);
    let mut inline: Vec<usize> = Vec::new();
    let mut test_until = if all_test { tokens.len() } else { 0 };
    while i < tokens.len() {
        match text(i) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|opened| *opened == depth);
            }
            "#" if text(i + 1) == "[" && text(i + 2) == "cfg" => {
                let end = closing(&tokens, i + 1);
                let named = |word| tokens[i..end].iter().any(|t| t.0 == word);
                if named("test") && !named("not") {
                    test_until = test_until.max(item_end(&tokens, end + 1));
                }
            }
            "mod" if text(i + 2) == "{" => inline.push(depth),
            word if is_word(word) => {
                let (first, at) = (found.len(), i);
                i = read_path(&tokens, i, &[], &mut found);
                let invoked = text(i) == "!";
                for path in &mut found[first..] {
                    (path.test, path.nested, path.invoked) = (at < test_until, inline.len(), invoked);
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Reads one path, or one `use` tree, from token `i`; gives the index after it.
fn read_path<'a>(tokens: &[Token<'a>], mut i: usize, before: &[&'a str], found: &mut Vec<Named<'a>>) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.0);
    let (mut segments, line) = (before.to_vec(), tokens[i].1);
    while is_word(text(i)) || text(i) == "*" {
        segments.push(text(i));
        i += 1;
        let more = text(i) == ":" && text(i + 1) == ":";
        match text(i + 2) {
            next if more && (is_word(next) || next == "*") => i += 2,
            "{" if more => {
                i += 3;
                while i < tokens.len() && text(i) != "}" {
                    i = if is_word(text(i)) || text(i) == "*" {
                        read_path(tokens, i, &segments, found)
                    } else {
                        i + 1
                    };
                    if text(i) == "as" {
                        i += 2;
                    }
                }
                return i + 1;
            }
            _ => break,
        }
    }
    found.push(Named {
        segments,
        line,
        test: false,
        invoked: false,
        nested: 0,
    });
    i
}

/// The end of the item that starts at `i`: its `;`, or the brace that closes its body.
fn item_end(tokens: &[Token<'_>], mut i: usize) -> usize {
    while let Some(token) = tokens.get(i) {
        match token.0 {
            ";" => return i,
            "{" => return closing(tokens, i),
            "(" | "[" => i = closing(tokens, i),
            _ => {}
        }
        i += 1;
    }
    i
}

fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.0 {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len()
}

/// A word or one punctuation character, and its line.
type Token<'a> = (&'a str, usize);

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut out, mut rest, mut line) = (Vec::new(), source, 1);
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let after = &rest[word..];
        let hashes = after.len() - after.trim_start_matches('#').len();
        let raw = matches!(&rest[..word], "r" | "br" | "cr") && after[hashes..].starts_with('"');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if raw {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = word + hashes + 1;
            body + rest[body..].find(&close).map_or(rest.len() - body, |n| n + close.len())
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            let mut next = rest[1..].chars();
            let (one, two) = (next.next(), next.next());
            if one == Some('\\') || two == Some('\'') {
                quoted(rest, '\'')
            } else {
                1
            }
        } else if word > 0 {
            out.push((&rest[..word], line));
            word
        } else {
            if !first.is_whitespace() {
                out.push((&rest[..first.len_utf8()], line));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    out
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return i + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut i) = (0_usize, 0);
    while i < text.len() {
        match text.as_bytes()[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] if depth == 1 => return i + 2,
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    text.len()
}
