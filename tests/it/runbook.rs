//! docs/rotation.md, followed word for word: its commands, in their order, against the real binary. What the page says
//! must be seen is waited for. Secrets arrive as the kubelet brings them; NDH is our own CA and gateway.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::ca::Desk;
use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::hostile::{self, Hostile};
use crate::support::pki::APP;
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};

/// A command of the page, and what it must say.
#[derive(Debug)]
struct Step {
    line: String,
    must_say: Vec<String>,
}

/// The commands in the `sh` blocks of a section.
fn steps(section: &str) -> Vec<Step> {
    let page = include_str!("../../docs/rotation.md");
    let text = page.split(&format!("\n## {section}\n")).nth(1).expect(section);
    let text = text.split("\n## ").next().expect("the section ends");
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("# must say: ") {
            Some(said) => steps.last_mut().expect("a command").must_say.push(said.to_owned()),
            None => steps.push(Step {
                line: line.to_owned(),
                must_say: Vec::new(),
            }),
        }
    }
    assert!(!steps.is_empty(), "{section} has no commands");
    steps
}

/// A volume as the kubelet mounts a secret, and changes it.
struct Volume(PathBuf);

impl Volume {
    /// Another version of the secret; its files, or none where it was deleted.
    fn change(&self, files: &[(&str, String)]) {
        std::fs::create_dir_all(&self.0).expect("a directory");
        let count = std::fs::read_dir(&self.0).expect("listed").count();
        let version = format!("..2026_11_21_{count}");
        let place = self.0.join(&version);
        std::fs::create_dir(&place).expect("a version");
        for (name, content) in files {
            std::fs::write(place.join(name), content).expect("written");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(place.join(name), mode).expect("its mode");
        }
        symlink(&version, self.0.join("..data_tmp")).expect("a link");
        std::fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).expect("the swap");
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            let link = self.0.join(name);
            let wanted = files.iter().any(|(file, _)| *file == name);
            match (wanted, link.is_symlink()) {
                (true, false) => symlink(format!("..data/{name}"), &link).expect("a link"),
                (false, true) => std::fs::remove_file(&link).expect("removed"),
                _ => {}
            }
        }
    }
}

/// One operator, one pod, and NDH.
struct Night {
    /// The operator's machine. The CA is NDH's.
    desk: Desk,
    sidecar: Sidecar,
    _gateway: Sidecar,
    _service: Hostile,
}

impl Night {
    fn begin(promotion: &str) -> Self {
        let desk = Desk::with_ca();
        desk.done("ca issue --dir ca --dns allocation-manager --out now --valid-for 20d");
        desk.done("ca issue --dir ca --dns ndh --ip 127.0.0.1 --purpose server --out ndh");
        let service = Hostile::plain(|_, conn| hostile::go_on(conn));
        let gateway = gateway(&desk, &service);
        let pod = directory();
        let place = |name: &str| text(&pod.path().join(name).display().to_string());
        std::fs::create_dir(pod.path().join("identity-next")).expect("empty, as an optional secret is");
        let first = ["tls.crt", "tls.key"].map(|name| (name, desk.read(&format!("now/{name}"))));
        Volume(pod.path().join("identity")).change(&first);
        let config = World::to_url(&format!("https://127.0.0.1:{}", gateway.listen.port()))
            .no_identity()
            .trust(&desk.read("ca/ca.crt"))
            .set("identity.allocation-manager", "certificate", place("identity/tls.crt"))
            .set("identity.allocation-manager", "private_key", place("identity/tls.key"))
            .set("identity.allocation-manager", "staged", place("identity-next"))
            .set("identity.allocation-manager", "promotion", text(promotion))
            .set("upstream.ndh", "identity", text(APP))
            .set("upstream.ndh", "trial", text("GET /t/health"))
            .set("control", "socket", place("control.sock"))
            .write(pod.path());
        let sidecar = Sidecar::start(pod, &config);
        let night = Self {
            desk,
            sidecar,
            _gateway: gateway,
            _service: service,
        };
        night.serves();
        night
    }

    #[track_caller]
    fn serves(&self) {
        let reply = Client::connect(self.sidecar.listen).get("/t/x");
        let printed = || self.sidecar.printed();
        assert_eq!(reply.expect("a reply").status, 200, "{}", printed());
    }

    /// Everything that the section says.
    #[track_caller]
    fn follow(&self, section: &str) {
        for step in steps(section) {
            self.does(&step);
            self.serves();
        }
    }

    #[track_caller]
    fn does(&self, step: &Step) {
        let line = step.line.as_str();
        if let Some(asked) = line.strip_prefix("ask ") {
            return self.asks(asked, &step.must_say);
        }
        if let Some(secret) = line.strip_prefix("kubectl delete secret ") {
            return self.volume(secret).change(&[]);
        }
        let (command, applied) = match line.strip_suffix(" | kubectl apply -f -") {
            Some(command) => (command, true),
            None => (line, false),
        };
        let Some(command) = command.strip_prefix("delius-sidecar ") else {
            panic!("nobody here can do this: {line}");
        };
        let said = self.desk.done(command);
        for part in &step.must_say {
            assert!(said.contains(part), "{line} does not say {part:?}:\n{said}");
        }
        if command.starts_with("cert request ") {
            // What NDH does with it, and sends back.
            self.desk
                .done("ca sign --dir ca --csr next/allocation-manager.csr --out next");
        }
        if applied {
            assert!(said.contains("kind: Secret"), "{said}");
            let name = command.split(" --name ").nth(1).and_then(|rest| rest.split(' ').next());
            let files = ["tls.crt", "tls.key", "ca.crt"].map(|name| (name, self.desk.read(&format!("next/{name}"))));
            self.volume(name.expect("a secret has a name")).change(&files);
        }
    }

    fn volume(&self, secret: &str) -> Volume {
        let mount = match secret {
            "delius-sidecar-identity" => "identity",
            "delius-sidecar-identity-next" => "identity-next",
            other => panic!("nothing mounts the secret {other}"),
        };
        Volume(self.sidecar.directory().join(mount))
    }

    /// What is only looked at is looked at until it says what it must.
    #[track_caller]
    fn asks(&self, line: &str, must_say: &[String]) {
        let place = format!("{}/", self.sidecar.directory().display());
        let arguments = words(&line.replace("/etc/delius-sidecar/", &place));
        let mut last = String::new();
        let mut ask = || {
            let output = run(&arguments, &self.sidecar.directory().join("config.toml"));
            last = [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat();
            assert!(output.status.success(), "{line}: {last}");
            must_say.iter().all(|part| last.contains(part)).then_some(())
        };
        let found = if line.starts_with("identity status") {
            eventually(ask)
        } else {
            ask()
        };
        assert!(found.is_some(), "{line} does not say {must_say:?}, but:\n{last}");
    }
}

fn gateway(desk: &Desk, service: &Hostile) -> Sidecar {
    let place = |name: &str| text(&desk.path(name).display().to_string());
    let config = format!(
        "[gateway]\naddress = \"127.0.0.1:0\"\ncertificate = {}\nprivate_key = {}\nclient_ca = {}\n\
         [[gateway.allow]]\nname = \"allocation-manager\"\ndns = \"{APP}\"\nroutes = [\"* /t/{{case}}\"]\n\
         [drain]\ndeadline = \"2s\"\nquiet = \"50ms\"\n[log]\nformat = \"json\"\n[observe]\naddress = \"127.0.0.1:0\"\n\
         [upstream.delius]\nurl = \"http://{}\"\nunsafe_plain = true\n",
        place("ndh/tls.crt"),
        place("ndh/tls.key"),
        place("ca/ca.crt"),
        service.address(),
    );
    Sidecar::try_start("gateway", directory(), &config)
        .unwrap_or_else(|(status, printed)| panic!("{status}\n{printed}\n{config}"))
}

fn run(arguments: &[String], config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(arguments)
        .env("DELIUS_SIDECAR_CONFIG", config)
        .stdin(Stdio::null())
        .output()
        .expect("start the binary")
}

/// A line as a shell splits it, of which only quotes are needed.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (position, part) in line.split('"').enumerate() {
        if position % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn a_certificate_is_staged_promoted_taken_back_and_promoted_again_as_the_runbook_says() {
    let night = Night::begin("manual");
    for section in ["Before", "By hand", "Going back"] {
        night.follow(section);
    }
    night.asks("identity promote", &["is in use now".to_owned()]);
    night.follow("After");
}

#[test]
fn a_certificate_that_is_put_into_the_configured_place_is_in_use_as_the_runbook_says() {
    let night = Night::begin("automatic");
    for section in ["Before", "Automatic", "Going back"] {
        night.follow(section);
    }
}
