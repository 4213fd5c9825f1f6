//! What the program says and how it ends: help, wrong usage, a broken configuration, an address that is taken.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output, Stdio};

use crate::support::bin::Sidecar;

/// Every command, as it is typed.
const COMMANDS: &[&str] = &[
    "",
    "run",
    "gateway",
    "demo",
    "rehearse",
    "stand-in",
    "stand-in auth",
    "stand-in delius",
    "stand-in standard",
    "check",
    "cert",
    "cert inspect",
    "cert needs-renewal",
    "cert request",
    "cert secret",
    "cert verify",
    "doctor",
    "rehearse",
    "ca",
    "ca init",
    "ca rollover",
    "ca issue",
    "ca sign",
    "ca revoke",
    "ca crl",
    "identity",
    "identity status",
    "identity stage",
    "identity promote",
    "identity rollback",
    "route",
    "route status",
    "route set",
    "route reset",
    "route report",
    "route explain",
    "wait",
    "shutdown",
];

fn delius_sidecar(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(line.split_whitespace())
        .env_remove("DELIUS_SIDECAR_CONFIG")
        .stdin(Stdio::null())
        .output()
        .expect("start the binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration that is right but for what `listen` and `observe` say; its files need not exist.
fn config(listen: &str, observe: &str) -> String {
    format!(
        "[listen]\naddress = \"{listen}\"\n[observe]\naddress = \"{observe}\"\n\
         [upstream.ndh]\nurl = \"http://127.0.0.1:9\"\n\
         [[route]]\nname = \"all\"\nmatch = \"GET /{{file}}\"\n[route.ndh]\nupstream = \"ndh\"\n"
    )
}

/// Ends by itself, since it cannot start: exit code and everything printed.
fn refused(config: &str) -> (String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    match Sidecar::try_start("run", directory, config) {
        Ok(sidecar) => panic!("it runs: {}\n--- configuration\n{config}", sidecar.printed()),
        Err(refused) => refused,
    }
}

#[test]
fn help_of_every_command_ends_well_and_has_an_example() {
    for command in COMMANDS {
        let output = delius_sidecar(&format!("{command} --help"));
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{command}: {help}");
        assert!(help.contains("Usage: delius-sidecar"), "{command}: {help}");
        let (_, examples) = help
            .split_once("Example")
            .unwrap_or_else(|| panic!("no example: {command}\n{help}"));
        assert!(
            examples.contains(&format!("delius-sidecar {command}")),
            "{command}: {help}"
        );
    }
}

#[test]
fn help_names_every_command_there_is() {
    for parent in ["", "stand-in", "cert", "ca", "identity", "route"] {
        let help = text(&delius_sidecar(&format!("{parent} --help")).stdout);
        let (_, listed) = help.split_once("Commands:\n").expect("a list of commands");
        let listed: Vec<&str> = listed
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        assert!(!listed.is_empty(), "{help}");
        for name in listed {
            let command = format!("{parent} {name}");
            assert!(COMMANDS.contains(&command.trim()), "untested: {command}");
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_points_to_the_help() {
    let wrong = [
        "no-such-command",
        "run --no-such-option",
        "check --output xml",
        "doctor --path health",
        "doctor --every 60s",
        "stand-in auth",
        "stand-in auth --client app",
        "stand-in standard",
        "stand-in no-such-side",
        "stand-in delius --listen nonsense",
        "stand-in delius --fault rain:1",
        "ca issue --dir a --out b",
        "ca issue --self-signed --dir a --dns b --out c",
        "ca issue --dir a --cn-only --out b",
        "ca issue --dir a --dns b --valid-for soon --out c",
        "ca sign --dir a --out b",
        "ca revoke --dir a",
        "ca revoke --dir a --serial 1 --reason whim",
        "cert inspect",
        "cert inspect a:1 --cert b",
        "cert request --key-out a --csr-out b",
        "cert request --dns a_b! --key-out a --csr-out b",
        "cert request --dns a --key b --key-out c --csr-out d",
        "cert secret --name UPPER --cert a --key b",
        "cert secret --name a: --cert a --key b",
    ];
    for line in wrong {
        let output = delius_sidecar(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}: {}", text(&output.stdout));
        assert!(
            text(&output.stderr).contains("--help"),
            "{line}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_configuration_that_is_not_there_ends_with_2_and_says_what_to_do() {
    for command in ["run", "gateway", "check", "doctor"] {
        let output = delius_sidecar(&format!("{command} --config /nowhere/config.toml"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        for part in ["/nowhere/config.toml", "there is no such file", "--config FILE"] {
            assert!(said.contains(part), "{command}: {part}: {said}");
        }
    }
}

#[test]
fn a_broken_configuration_ends_with_2_says_all_of_it_and_binds_nothing() {
    // Were it bound, the refusal would be about this address, which is taken.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let broken = config(&address, "127.0.0.1:0")
        .replace("[upstream.ndh]", "[drain]\ndeadlin = \"1s\"\n[upstream.ndh]\nurll = 1");
    let (status, printed) = refused(&broken);
    assert!(status.contains("exit status: 2"), "{status}: {printed}");
    for part in [
        "drain.deadlin",
        "did you mean `deadline`?",
        "upstream.ndh.urll",
        "config.toml:6:",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains("listening"), "{printed}");
}

#[test]
fn an_address_that_is_taken_ends_with_1_and_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    for config in [config(&address, "127.0.0.1:0"), config("127.0.0.1:0", &address)] {
        let (status, printed) = refused(&config);
        assert!(status.contains("exit status: 1"), "{status}: {printed}");
        assert!(printed.contains(&address), "{printed}");
        assert!(printed.contains("in use"), "{printed}");
    }
}
