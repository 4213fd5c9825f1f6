//! What a mapping may say: checked on its tokens and its tree before jaq compiles it, with the place of every refusal.
//!
//! Refused are what reaches outside (time, environment, other inputs, the end of the process), definitions that call
//! themselves (so that a program without a loop ends), modules, and texts nested so deep that reading them would
//! overflow the stack. jq has no other recursion than a definition that names itself or one it stands in.

use jaq_core::compile::Undefined;
use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::{Lexer, Parser, span};
use jaq_core::path::{Part, Path};

use super::language::INNER;

/// Bytes of a program.
const LONGEST: usize = 64 * 1024;
/// Brackets within brackets.
const DEEPEST: usize = 40;
/// Levels of the tree, as far as words and signs can nest it.
const MOST: usize = 200;

/// Why a text is refused.
pub(super) struct Fault<'s> {
    pub(super) place: &'s str,
    pub(super) what: String,
    pub(super) hint: String,
}

fn fault<'s>(place: &'s str, what: impl Into<String>, hint: impl Into<String>) -> Fault<'s> {
    Fault {
        place,
        what: what.into(),
        hint: hint.into(),
    }
}

const WORLD: &str = "a mapping sees its input and nothing else: no time, no environment, no other input, no log";
const ENDLESS: &str = "a mapping has to end: use map, reduce, limit or `..` over the data";

/// Why a name of jq's manual is not there, and what to do instead.
fn refused(name: &str, arity: usize) -> Option<&'static str> {
    Some(match name {
        "now" | "localtime" | "strflocaltime" | "gmtime" | "mktime" | "strftime" | "strptime" | "todate"
        | "fromdate" | "date" | "dateadd" | "datesub" | "todateiso8601" | "fromdateiso8601" => {
            "a mapping knows no time: dates are texts, which compare and cut as they are (.[0:10])"
        }
        "env" | "input" | "inputs" | "input_filename" | "input_line_number" | "debug" | "stderr" | "halt"
        | "halt_error" | "get_search_list" | "$ENV" | "$__loc__" | "$__prog_args" => WORLD,
        "path" | "path_value" | "pick" if arity == 1 => {
            "say what is wanted as an object, {a: .a}, or name paths by paths, getpath, setpath, del and |="
        }
        "repeat" => ENDLESS,
        name if INNER.contains(&name) => {
            "this is the sidecar's own: use test, match, capture, scan, split, sub or gsub"
        }
        _ => return None,
    })
}

/// The definitions of a text of ours.
pub(super) fn definitions(text: &'static str) -> Vec<Def<&'static str>> {
    jaq_core::load::parse(text, |p| p.defs()).unwrap_or_default()
}

/// Line and column, both from 1, of a part of a text.
pub(super) fn position(text: &str, place: &str) -> (usize, usize) {
    let (from, to) = (text.as_ptr().addr(), text.as_ptr().addr() + text.len());
    let start = if (from..=to).contains(&place.as_ptr().addr()) {
        span(text, place).start
    } else {
        0
    };
    let before = text.get(..start).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    (line, column)
}

/// What is said about a name that nothing defines.
pub(super) fn undefined(name: &str, kind: &Undefined) -> (String, String) {
    let arity = match kind {
        Undefined::Filter(arity) => *arity,
        _ => 0,
    };
    if let Some(reason) = refused(name, arity) {
        return (format!("`{name}` is not there"), reason.to_owned());
    }
    match kind {
        Undefined::Filter(0) => (
            format!("there is no filter `{name}`"),
            format!("define it, or write \"{name}\" in quotes if it is meant as a text"),
        ),
        Undefined::Filter(n) => (
            format!(
                "there is no filter `{name}` with {n} argument{}",
                if *n == 1 { "" } else { "s" }
            ),
            "see the manual of jq for its arguments, which are parted by `;`".to_owned(),
        ),
        Undefined::Var => (
            format!("there is no variable `{name}` here"),
            format!("bind it before: … as {name} | …"),
        ),
        other => (
            format!("there is no {} `{name}`", other.as_str()),
            "see the manual of jq".to_owned(),
        ),
    }
}

/// Reads a text and refuses what a mapping may not say.
pub(super) fn check(text: &str) -> Result<(), Fault<'_>> {
    if text.len() > LONGEST {
        return Err(fault(
            &text[..0],
            format!("the program has {} bytes, at most {LONGEST} are read", text.len()),
            "split it: a mapping serves one route",
        ));
    }
    brackets(text)?;
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || fault(text, "this is not jq", "see the manual of jq"),
            |(expected, place)| {
                let found = place.chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"));
                let expected = expected.as_str();
                fault(
                    place,
                    format!("found {found}, expected {expected}"),
                    "correct it at this place",
                )
            },
        )
    })?;
    weight(&tokens, false, 0)?;
    if let Some(token) = tokens
        .first()
        .filter(|t| matches!(t.0, "import" | "include" | "module"))
    {
        return Err(fault(
            token.0,
            format!("`{}` is not there", token.0),
            "a mapping is one file: copy the definitions into it",
        ));
    }
    let term = Parser::new(&tokens).parse(|p| p.term()).map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || fault(text, "this is not jq", "see the manual of jq"),
            |(expected, found)| {
                let place = found.map_or(&text[text.len()..], |token| token.0);
                let short: String = place.chars().take(20).take_while(|c| *c != '\n').collect();
                let found = if short.is_empty() {
                    "the end".to_owned()
                } else {
                    format!("`{short}`")
                };
                let expected = match expected.as_str() {
                    "" => "end",
                    expected => expected,
                };
                fault(
                    place,
                    format!("found {found}, expected {expected}"),
                    "correct it at this place",
                )
            },
        )
    })?;
    Scope::default().term(&term)
}

/// Nesting of brackets, before anything reads them recursively.
fn brackets(text: &str) -> Result<(), Fault<'_>> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            let place = text.get(at..).unwrap_or_default();
            return Err(fault(
                place,
                format!("brackets are nested deeper than {DEEPEST} levels"),
                "give the inner part a name: def name: …;",
            ));
        }
    }
    Ok(())
}

/// What is open in a row of tokens: the row itself, a `def` until its `;`, an `if` until its `end`.
struct Open {
    word: &'static str,
    /// How deep a term that begins here stands.
    start: usize,
    /// Signs since the last `|`, and whether `as` is among the words: what follows `… as $x |` stands within them.
    signs: usize,
    binds: bool,
}

impl Open {
    const fn new(word: &'static str, start: usize) -> Self {
        Self {
            word,
            start,
            signs: 0,
            binds: false,
        }
    }

    /// The depth after a `|`.
    const fn pipe(&mut self) -> usize {
        self.start += 1 + if self.binds { self.signs } else { 0 };
        (self.signs, self.binds) = (0, false);
        self.start
    }
}

/// How deep the tree may nest by what is no bracket: `try try try …`, a chain of pipes, a long sum. An upper bound.
fn weight<'s>(tokens: &[Token<&'s str>], object: bool, before: usize) -> Result<(), Fault<'s>> {
    let mut open = vec![Open::new("", before)];
    let mut depth = before;
    for Token(text, kind) in tokens {
        let nested = open.len() > 1;
        let Some(top) = open.last_mut() else { break };
        match (kind, *text) {
            (Tok::Block(inner), _) => weight(inner, text.starts_with('{'), depth + 1)?,
            (Tok::Str(parts), _) => {
                for part in parts {
                    if let StrPart::Term(token) = part {
                        weight(std::slice::from_ref(token), false, depth + 1)?;
                    }
                }
            }
            (Tok::Sym, "|") => depth = top.pipe(),
            (Tok::Sym, ",") if object && !nested => depth = top.pipe(),
            (Tok::Sym, ";") if top.word == "def" => {
                depth = top.start;
                open.pop();
                // what follows stands within the definition
                if let Some(around) = open.last_mut() {
                    around.start += 1;
                }
            }
            (Tok::Sym, ";") if !nested => depth = before + 1,
            (Tok::Word, "end") if top.word == "if" => {
                depth = top.start;
                open.pop();
            }
            (Tok::Word, "then" | "elif" | "else") if top.word == "if" => depth = top.pipe(),
            (Tok::Word, "def") => {
                depth += 1;
                open.push(Open::new("def", depth));
            }
            (Tok::Word, "if") => {
                depth += 1;
                open.push(Open::new("if", depth));
            }
            (Tok::Word, word) => {
                top.binds |= word == "as";
                depth += 1;
            }
            (Tok::Sym, sign) if !matches!(sign, ":" | "?") && !sign.starts_with('.') => {
                top.signs += 1;
                depth += 1;
            }
            _ => {}
        }
        if depth > MOST {
            return Err(fault(
                text,
                format!("the program nests deeper than {MOST} levels here"),
                "give a part of it a name: def name: …;",
            ));
        }
    }
    Ok(())
}

/// Definitions in sight: name, number of arguments, and whether its body is being read.
#[derive(Default)]
struct Scope<'s> {
    seen: Vec<(&'s str, usize, bool)>,
}

impl<'s> Scope<'s> {
    fn definition(&mut self, def: &Def<&'s str>) -> Result<(), Fault<'s>> {
        let outer = self.seen.len();
        self.seen.push((def.name, def.args.len(), true));
        for arg in def.args.iter().filter(|arg| !arg.starts_with('$')) {
            self.seen.push((arg, 0, false));
        }
        let body = self.term(&def.body);
        self.seen.truncate(outer);
        self.seen.push((def.name, def.args.len(), false));
        body
    }

    fn call(&self, name: &'s str, arity: usize) -> Result<(), Fault<'s>> {
        match self.seen.iter().rev().find(|(n, a, _)| (*n, *a) == (name, arity)) {
            Some((.., true)) => Err(fault(
                name,
                format!("`{name}` calls itself"),
                "a mapping has to end: use map, reduce, walk or `..` over the data instead of recursion",
            )),
            Some(_) => Ok(()),
            None => match refused(name, arity) {
                Some(reason) => Err(fault(name, format!("`{name}` is not there"), reason)),
                None => Ok(()),
            },
        }
    }

    fn term(&mut self, term: &Term<&'s str>) -> Result<(), Fault<'s>> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) => Ok(()),
            Term::Str(format, parts) => {
                if let Some(format) = format {
                    self.call(format, 0)?;
                }
                parts.iter().try_for_each(|part| match part {
                    StrPart::Term(term) => self.term(term),
                    StrPart::Str(_) | StrPart::Char(_) => Ok(()),
                })
            }
            Term::Arr(inner) => inner.iter().try_for_each(|t| self.term(t)),
            Term::Obj(entries) => entries.iter().try_for_each(|(key, value)| {
                self.term(key)?;
                value.iter().try_for_each(|t| self.term(t))
            }),
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(l, op, r) => {
                self.term(l)?;
                if let BinaryOp::Pipe(Some(pattern)) = op {
                    self.pattern(pattern)?;
                }
                self.term(r)
            }
            Term::Fold(_, xs, pattern, args) => {
                self.term(xs)?;
                self.pattern(pattern)?;
                args.iter().try_for_each(|t| self.term(t))
            }
            Term::TryCatch(body, catch) => {
                self.term(body)?;
                catch.iter().try_for_each(|t| self.term(t))
            }
            Term::IfThenElse(branches, or) => {
                for (condition, then) in branches {
                    self.term(condition)?;
                    self.term(then)?;
                }
                or.iter().try_for_each(|t| self.term(t))
            }
            Term::Def(defs, body) => {
                let outer = self.seen.len();
                defs.iter().try_for_each(|def| self.definition(def))?;
                let body = self.term(body);
                self.seen.truncate(outer);
                body
            }
            Term::Call(name, args) => {
                self.call(name, args.len())?;
                args.iter().try_for_each(|t| self.term(t))
            }
            Term::Path(from, Path(parts)) => {
                self.term(from)?;
                parts.iter().try_for_each(|(part, _)| match part {
                    Part::Index(i) => self.term(i),
                    Part::Range(a, b) => a.iter().chain(b).try_for_each(|t| self.term(t)),
                })
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Result<(), Fault<'s>> {
        match pattern {
            Pattern::Var(_) => Ok(()),
            Pattern::Arr(parts) => parts.iter().try_for_each(|p| self.pattern(p)),
            Pattern::Obj(entries) => entries.iter().try_for_each(|(key, p)| {
                self.term(key)?;
                self.pattern(p)
            }),
        }
    }
}
