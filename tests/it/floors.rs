//! The house keeps its own rules: this reads `src/` and fails on what the compiler lets through.
//!
//! The one rule stands in `src/lib.rs`: a module imports only from groups listed before its own. Test code may also look
//! sideways in its own group. Beside it: files stay short and say what they are, the lower rooms touch no world, the wall
//! clock is read in one place and text is printed in one place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{Named, paths};

const LONGEST: usize = 400;

/// Files that are longer, each with the reason. A listed file that is not long fails too.
const LONG_FILES: &[(&str, &str)] = &[];

/// Rooms that touch no world: what they need comes as an argument.
const PURE: &[&str] = &[
    "fault", "secret", "cert", "mapping", "route", "wire", "compare", "switch", "config",
];

/// What is plain data in `std::net`; everything else there opens sockets or asks the resolver.
const ADDRESS_TYPES: &[&str] = &[
    "SocketAddr",
    "SocketAddrV4",
    "SocketAddrV6",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "AddrParseError",
];

#[test]
fn every_module_imports_only_from_groups_before_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = Order::read(&fs::read_to_string(root.join("lib.rs")).expect("src/lib.rs is readable"));
    let mut files = Vec::new();
    collect(&root, &mut files);
    let (mut problems, mut imports, mut lines_named) = (Vec::new(), 0, 0);
    for path in &files {
        let name = path
            .strip_prefix(&root)
            .expect("it is below src")
            .to_string_lossy()
            .into_owned();
        let source = fs::read_to_string(path).expect("a source file is UTF-8");
        let verdict = judge(&name, &source, &order);
        problems.extend(verdict.problems);
        imports += verdict.imports;
        lines_named += source.lines().count();
    }
    for module in order.modules() {
        let there = files
            .iter()
            .any(|f| f.ends_with(format!("src/{module}.rs")) || f.ends_with(format!("{module}/mod.rs")));
        assert!(there, "src/lib.rs lists `{module}`, and no file of that name was read");
    }
    println!(
        "floors: {} files, {lines_named} lines, {imports} imports within the crate",
        files.len()
    );
    assert!(
        files.len() >= order.modules().count(),
        "only {} files found below src/",
        files.len()
    );
    assert!(imports > 0, "no import was checked: the reader is broken");
    assert!(
        problems.is_empty(),
        "{} wrong:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    into.sort();
}

/// The groups of `src/lib.rs`, first to last, each with its title.
struct Order(Vec<(String, Vec<String>)>);

impl Order {
    fn read(lib: &str) -> Self {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let mut title = None;
        for line in lib.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("// ") {
                title = Some(text.to_owned());
            } else if let Some(module) = line.strip_prefix("pub mod ").and_then(|m| m.strip_suffix(';')) {
                if let Some(title) = title.take() {
                    groups.push((title, Vec::new()));
                }
                groups
                    .last_mut()
                    .expect("a group has a title comment before its first module")
                    .1
                    .push(module.to_owned());
            }
        }
        assert!(groups.len() > 1, "src/lib.rs lists no groups");
        Self(groups)
    }

    fn modules(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|g| &g.1)
    }

    fn floor(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|g| g.1.iter().any(|m| m == module))
    }
}

#[derive(Default)]
struct Verdict {
    problems: Vec<String>,
    imports: usize,
}

/// Judges one file; `name` is its path below `src/`.
fn judge(name: &str, source: &str, order: &Order) -> Verdict {
    let mut verdict = Verdict::default();
    let long = source.lines().count() > LONGEST;
    match LONG_FILES.iter().find(|(file, _)| *file == name) {
        None if long => verdict.problems.push(format!(
            "src/{name}: {} lines, at most {LONGEST}: split it by idea, or list it with a reason",
            source.lines().count()
        )),
        Some(_) if !long => verdict
            .problems
            .push(format!("src/{name}: no longer long: remove it from LONG_FILES")),
        _ => {}
    }
    if !source.starts_with("//! ") {
        verdict.problems.push(format!(
            "src/{name}: does not open with a `//!` line that says what it is"
        ));
    }
    let home = modules_of(name);
    for path in paths(source, name.ends_with("/tests.rs")) {
        let said = path.segments.join("::");
        if let Some(target) = path.top_level(&home) {
            verdict.imports += 1;
            if let Some(why) = wrong_floor(&home, target, path.test, order) {
                verdict
                    .problems
                    .push(format!("src/{name}:{}: `{said}`: {why}", path.line));
            }
        }
        if let Some(why) = forbidden(&home, &path) {
            verdict
                .problems
                .push(format!("src/{name}:{}: `{said}`: {why}", path.line));
        }
    }
    verdict
}

/// `route/path.rs` is `["route", "path"]`; `lib.rs` and `main.rs` are the root.
fn modules_of(name: &str) -> Vec<&str> {
    let stem = name.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(stem, "lib" | "main") {
        Vec::new()
    } else {
        stem.split('/').collect()
    }
}

fn wrong_floor(home: &[&str], target: &str, test: bool, order: &Order) -> Option<String> {
    let Some(&room) = home.first() else {
        return (target != "cli").then(|| "main.rs calls `cli` and nothing else".to_owned());
    };
    if target == room {
        return None;
    }
    let Some(theirs) = order.floor(target) else {
        return Some("not a module listed in src/lib.rs: name the module that the thing lives in".to_owned());
    };
    let ours = order
        .floor(room)
        .map_or(0, |floor| if test { floor + 1 } else { floor });
    (theirs >= ours).then(|| {
        format!(
            "`{target}` ({}) is not in a group before `{room}`: move what is shared down, or hand it in as an argument",
            order.0[theirs].0
        )
    })
}

fn forbidden(home: &[&str], path: &Named<'_>) -> Option<&'static str> {
    let segments = &path.segments[..];
    let at = |i: usize| segments.get(i).copied();
    if path.invoked && matches!(segments.last(), Some(&("todo" | "unimplemented" | "dbg"))) {
        return Some("unfinished work");
    }
    if path.test {
        return None;
    }
    let printed = matches!(segments.last(), Some(&("println" | "print" | "eprintln" | "eprint")));
    if path.invoked && printed && home.first() != Some(&"cli") {
        return Some("only cli prints: return text, or log it");
    }
    if let [.., "SystemTime" | "Timestamp" | "Zoned", "now"] = segments
        && home != ["clock"]
    {
        return Some("the wall clock is read in clock.rs only: take `now` as an argument");
    }
    if !home.first().is_some_and(|room| PURE.contains(room)) {
        return None;
    }
    let worldly = match (at(0)?, at(1), at(2)) {
        ("tokio" | "tracing" | "socket2", ..) => true,
        ("std", Some("fs" | "env" | "process" | "thread"), _) => true,
        ("std", Some("net"), what) => !what.is_some_and(|w| ADDRESS_TYPES.contains(&w)),
        ("std", Some("os"), Some("unix" | "fd")) => true,
        _ => false,
    };
    worldly.then_some("this room is pure: no tasks, files, sockets, environment or logging")
}

/// The rules can fail: each on a line made for it.
mod rules {
    use super::{Order, judge};

    const LIB: &str =
        "// words\npub mod clock;\n\n// judgement\npub mod cert;\npub mod route;\n\n// doors\npub mod proxy;\n";

    fn wrong(name: &str, code: &str) -> Vec<String> {
        judge(name, &format!("//! x\n{code}"), &Order::read(LIB)).problems
    }

    #[track_caller]
    fn refused(name: &str, code: &str) {
        assert_eq!(wrong(name, code).len(), 1, "{name}: {code}: {:?}", wrong(name, code));
    }

    #[track_caller]
    fn accepted(name: &str, code: &str) {
        assert!(wrong(name, code).is_empty(), "{name}: {code}: {:?}", wrong(name, code));
    }

    #[test]
    fn down_and_within_the_room_is_fine() {
        accepted(
            "proxy/mod.rs",
            "use crate::{clock::Now, route::{self, path}}; fn f() { crate::cert::load() }",
        );
        accepted(
            "route/path.rs",
            "use super::table::Table; use crate::route::table; pub(crate) fn f() {}",
        );
        accepted("clock.rs", "mod inner { use super::Now; }");
    }

    #[test]
    fn up_and_sideways_is_refused_however_it_is_written() {
        refused("route/path.rs", "use crate::proxy::x;");
        refused("route/path.rs", "use crate::cert::x;");
        refused("route/path.rs", "fn f() { let x = crate::proxy::attempt::x(); }");
        refused("route/path.rs", "use crate::{clock, proxy::{self as p}};");
        refused("route/path.rs", "use super::super::proxy;");
        refused("route/mod.rs", "use super::{proxy};");
        refused("clock.rs", "mod inner { use super::super::cert; }");
        refused("proxy/mod.rs", "use crate::*;");
    }

    #[test]
    fn comments_and_literals_are_not_imports() {
        accepted(
            "clock.rs",
            "// crate::proxy\n/* a /* b */ crate::proxy */ const A: (&str, char) = (\"\\\"crate::proxy\", '\"');",
        );
        accepted(
            "clock.rs",
            "const A: &str = r#\"crate::proxy \" \"#; fn f<'a>(x: &'a str) -> &'a str { x }",
        );
        refused(
            "clock.rs",
            "const A: char = '\\''; const B: &str = \"\\\\\"; use crate::proxy;",
        );
    }

    #[test]
    fn test_code_may_look_sideways_but_not_up() {
        accepted(
            "route/path.rs",
            "#[cfg(test)] mod tests { use super::*; use crate::cert::issue; }",
        );
        refused("route/path.rs", "#[cfg(test)] mod tests { use crate::proxy; }");
        refused(
            "route/path.rs",
            "#[cfg(test)] mod tests { fn f(a: [u8; 2]) {} } use crate::cert;",
        );
        refused("route/path.rs", "#[cfg(not(test))] use crate::cert;");
    }

    #[test]
    fn lower_rooms_touch_no_world() {
        accepted("cert/load.rs", "use std::net::{IpAddr, SocketAddr};");
        refused("cert/load.rs", "use std::net::{IpAddr, TcpStream};");
        refused("cert/load.rs", "fn f() { std::env::var(\"A\"); }");
        refused("route/mod.rs", "use tokio::time;");
        accepted("proxy/mod.rs", "use tokio::time; use std::fs;");
    }

    #[test]
    fn clock_print_length_and_opening_are_kept() {
        refused("proxy/mod.rs", "fn f() { let n = std::time::SystemTime::now(); }");
        accepted("clock.rs", "fn f() { let n = SystemTime::now(); }");
        refused("proxy/mod.rs", "fn f() { println!(\"a\") }");
        accepted("cli/output.rs", "fn f() { anstream::println!(\"a\") }");
        refused("cli/output.rs", "fn f() { todo!() }");
        refused("proxy/mod.rs", &"\n".repeat(400));
        assert_eq!(judge("clock.rs", "fn f() {}", &Order::read(LIB)).problems.len(), 1);
    }
}
