//! Throw-away certificates of every kind that the tests need, made once for each test process.
//!
//! Two roots that do not know each other; server and client leafs below them; the wrong ones (expired, not yet valid,
//! for servers only, of the other root, with another name). No file in the repository ever expires.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use delius_sidecar::cert::issue::{Authority, Issued, KeyKind, Purposes, Spec, Validity};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::peer::Tls;

/// The name in every server certificate, and the name that clients verify.
pub(crate) const NDH: &str = "ndh.example";
/// The name in every client certificate.
pub(crate) const APP: &str = "allocation-manager";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Rsa,
    Ecdsa,
}

/// A chain (leaf first) with its key.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    /// Lower-case hexadecimal.
    pub(crate) serial: String,
}

impl Leaf {
    fn of(issued: Issued) -> Self {
        Self {
            chain_pem: issued.chain_pem,
            key_pem: issued.key_pem.expose().clone(),
            serial: issued.serial,
        }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.chain()[0].to_vec()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .expect("own PEM")
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("own PEM")
    }
}

/// What a leaf is for and when it holds. Times in days from now.
#[derive(Clone, Copy)]
struct Order<'a> {
    name: &'a str,
    purposes: Purposes,
    key: Key,
    from: i64,
    until: i64,
}

struct Root(Authority);

impl Root {
    fn new(name: &str) -> Self {
        Self(Authority::new_root(name, window(-1, 30)).expect("make a root"))
    }

    fn issue(&self, order: Order<'_>) -> Leaf {
        let mut spec = Spec::new(order.name, order.purposes, window(order.from, order.until));
        spec.dns = vec![order.name.to_owned()];
        if order.name == NDH {
            spec.dns.push("localhost".to_owned());
            spec.ip = vec![Ipv4Addr::LOCALHOST.into()];
        }
        spec.key = match order.key {
            Key::Rsa => KeyKind::Rsa2048,
            Key::Ecdsa => KeyKind::EcdsaP256,
        };
        Leaf::of(self.0.issue(&spec).expect("issue a leaf"))
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(self.0.certificate().clone()).expect("own root");
        store
    }
}

fn window(from: i64, until: i64) -> Validity {
    let now = delius_sidecar::clock::unix_seconds();
    Validity {
        not_before: now + from * 86_400,
        not_after: now + until * 86_400,
    }
}

/// Whether a test server asks for a client certificate, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Nothing,
    /// Verified against our root.
    Ours,
    /// Verified against the other root: our client certificate will be refused.
    Theirs,
}

pub(crate) struct Pki {
    root: Root,
    other: Root,
    rsa_server: OnceLock<Leaf>,
    rsa_client: OnceLock<Leaf>,
}

/// The certificates of this test process.
pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| Pki {
        root: Root::new("Test root"),
        other: Root::new("Other root"),
        rsa_server: OnceLock::new(),
        rsa_client: OnceLock::new(),
    })
}

impl Pki {
    pub(crate) fn root_pem(&self) -> String {
        self.root.0.certificate_pem()
    }

    pub(crate) fn other_root_pem(&self) -> String {
        self.other.0.certificate_pem()
    }

    pub(crate) fn server(&self, key: Key) -> Leaf {
        let make = || self.root.issue(Order { key, ..SERVER });
        match key {
            // generating an RSA key is slow; one is enough
            Key::Rsa => self.rsa_server.get_or_init(make).clone(),
            Key::Ecdsa => make(),
        }
    }

    pub(crate) fn server_expired(&self) -> Leaf {
        self.root.issue(Order {
            from: -20,
            until: -10,
            ..SERVER
        })
    }

    pub(crate) fn server_with_other_name(&self) -> Leaf {
        self.root.issue(Order {
            name: "somebody-else.example",
            ..SERVER
        })
    }

    pub(crate) fn server_for_clients_only(&self) -> Leaf {
        self.root.issue(Order {
            purposes: Purposes::Client,
            ..SERVER
        })
    }

    /// Its name stands in the subject and nowhere else.
    pub(crate) fn server_with_common_name_only(&self) -> Leaf {
        let spec = Spec::new(NDH, Purposes::Server, window(-1, 20));
        Leaf::of(self.root.0.issue(&spec).expect("issue a leaf"))
    }

    /// Issued by an intermediate, which is not sent along.
    pub(crate) fn server_without_its_intermediate(&self) -> Leaf {
        let issuing = self.root.0.issue_intermediate("Test issuing CA", window(-1, 25));
        let mut spec = Spec::new(NDH, Purposes::Server, window(-1, 20));
        spec.dns = vec![NDH.to_owned()];
        let mut leaf = Leaf::of(issuing.expect("an intermediate").issue(&spec).expect("issue a leaf"));
        let end = "-----END CERTIFICATE-----\n";
        let first = leaf.chain_pem.find(end).expect("own PEM") + end.len();
        assert!(leaf.chain_pem.len() > first, "an intermediate follows");
        leaf.chain_pem.truncate(first);
        leaf
    }

    /// The root's list of these, made an hour ago; its next one is due in so many days.
    pub(crate) fn crl(&self, revoked: &[&Leaf], next: i64) -> String {
        Self::list(&self.root, revoked, next)
    }

    /// The root's list with nobody on it, good for so many seconds.
    pub(crate) fn crl_for(&self, seconds: i64) -> String {
        let now = delius_sidecar::clock::unix_seconds();
        let nobody: [&str; 0] = [];
        let list = self.root.0.crl(&nobody, now - 3_600, now + seconds);
        list.expect("a list")
    }

    /// A list of the other root's, with nobody on it.
    pub(crate) fn crl_of_other_root(&self) -> String {
        Self::list(&self.other, &[], 1)
    }

    fn list(root: &Root, revoked: &[&Leaf], next: i64) -> String {
        let serials: Vec<&str> = revoked.iter().map(|leaf| leaf.serial.as_str()).collect();
        let now = delius_sidecar::clock::unix_seconds();
        let made = now.min(now + next * 86_400) - 3_600;
        root.0.crl(&serials, made, now + next * 86_400).expect("a list")
    }

    /// The root with its key, as `ca init` lays it out.
    pub(crate) fn write_ca(&self, directory: &Path) {
        std::fs::write(directory.join("ca.crt"), self.root_pem()).expect("write the CA");
        std::fs::write(directory.join("ca.key"), self.root.0.key_pem().expose()).expect("write the CA's key");
    }

    pub(crate) fn server_of_other_root(&self) -> Leaf {
        self.other.issue(SERVER)
    }

    pub(crate) fn client(&self, key: Key) -> Leaf {
        let make = || self.root.issue(Order { key, ..CLIENT });
        match key {
            Key::Rsa => self.rsa_client.get_or_init(make).clone(),
            Key::Ecdsa => make(),
        }
    }

    pub(crate) fn client_named(&self, name: &str) -> Leaf {
        self.root.issue(Order { name, ..CLIENT })
    }

    pub(crate) fn client_expired(&self) -> Leaf {
        self.root.issue(Order {
            from: -20,
            until: -10,
            ..CLIENT
        })
    }

    pub(crate) fn client_not_yet_valid(&self) -> Leaf {
        self.root.issue(Order {
            from: 10,
            until: 20,
            ..CLIENT
        })
    }

    pub(crate) fn client_for_servers_only(&self) -> Leaf {
        self.root.issue(Order {
            purposes: Purposes::Server,
            ..CLIENT
        })
    }

    pub(crate) fn client_of_other_root(&self) -> Leaf {
        self.other.issue(CLIENT)
    }

    /// A server that speaks only this TLS version, shows this leaf, and asks as told.
    pub(crate) fn server_config(&self, tls: Tls, leaf: &Leaf, ask: Ask) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions(tls));
        let builder = builder.expect("protocol versions");
        let verifier = |root: &Root| {
            WebPkiClientVerifier::builder_with_provider(Arc::new(root.store()), provider())
                .build()
                .expect("verifier")
        };
        let builder = match ask {
            Ask::Nothing => builder.with_no_client_auth(),
            Ask::Ours => builder.with_client_cert_verifier(verifier(&self.root)),
            Ask::Theirs => builder.with_client_cert_verifier(verifier(&self.other)),
        };
        builder
            .with_single_cert(leaf.chain(), leaf.key())
            .expect("server certificate")
    }

    /// What judges our client certificates.
    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        WebPkiClientVerifier::builder_with_provider(Arc::new(self.root.store()), provider())
            .build()
            .expect("verifier")
    }

    /// A server that judges clients in its own way.
    pub(crate) fn server_config_with(
        &self,
        tls: Tls,
        leaf: &Leaf,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls))
            .expect("protocol versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(leaf.chain(), leaf.key())
            .expect("server certificate")
    }

    /// A client certificate of ours that is valid from and until so many seconds from now.
    pub(crate) fn client_between(&self, from: i64, until: i64) -> Leaf {
        let now = delius_sidecar::clock::unix_seconds();
        let validity = Validity {
            not_before: now + from,
            not_after: now + until,
        };
        let mut spec = Spec::new(APP, Purposes::Client, validity);
        spec.dns = vec![APP.to_owned()];
        Leaf::of(self.root.0.issue(&spec).expect("issue a leaf"))
    }

    /// A server as it should be: TLS 1.3, our names, our client certificates required.
    pub(crate) fn good_server(&self) -> ServerConfig {
        self.server_config(Tls::V13, &self.server(Key::Ecdsa), Ask::Ours)
    }

    /// A client that trusts our root and shows this leaf, or none.
    pub(crate) fn client_config(&self, tls: Tls, leaf: Option<&Leaf>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions(tls));
        let builder = builder
            .expect("protocol versions")
            .with_root_certificates(self.root.store());
        Arc::new(match leaf {
            Some(leaf) => builder
                .with_client_auth_cert(leaf.chain(), leaf.key())
                .expect("client certificate"),
            None => builder.with_no_client_auth(),
        })
    }
}

const SERVER: Order<'_> = Order {
    name: NDH,
    purposes: Purposes::Server,
    key: Key::Ecdsa,
    from: -1,
    until: 20,
};
const CLIENT: Order<'_> = Order {
    name: APP,
    purposes: Purposes::Client,
    key: Key::Ecdsa,
    from: -1,
    until: 20,
};

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

fn versions(tls: Tls) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static V12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    static V13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match tls {
        Tls::V12 => V12,
        Tls::V13 => V13,
    }
}
