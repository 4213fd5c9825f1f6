//! Certificate requests (PKCS#10, RFC 2986): made for a key of ours, read from somebody else.
//!
//! Read by hand and not by the library's own reader, which refuses every extension that it does not know; requests
//! made with Java's keytool have one. A [`Request`] that exists was signed by the key in it.

use std::net::IpAddr;

use aws_lc_rs::signature::{
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm,
    UnparsedPublicKey,
};
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyPair, SanType, SubjectPublicKeyInfo};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::Oid;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::super::facts::{Key, KeyAlgorithm, Purposes as Stated, address, pin, printable};
use super::spec::alternative_names;
use super::{IssueError, KeyKind, Purposes, distinguished_name, extended_key_usages, new_key_pem};
use crate::secret::Secret;

/// Who a certificate is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub common_name: String,
    pub organisation: Option<String>,
    pub organisational_unit: Option<String>,
    pub dns: Vec<String>,
    pub uri: Vec<String>,
    pub ip: Vec<IpAddr>,
    pub purposes: Purposes,
}

/// A request of ours and the key that it is for.
#[derive(Clone, Debug)]
pub struct Requested {
    pub csr_pem: String,
    /// PKCS#8.
    pub key_pem: Secret<String>,
}

/// Somebody's request, as read. Text is fit for a terminal.
#[derive(Clone, Debug)]
pub struct Request {
    pub subject: String,
    pub dns_names: Vec<String>,
    pub uri_names: Vec<String>,
    pub ip_names: Vec<String>,
    pub key: Key,
    /// The pin of the public key.
    pub spki: String,
    /// What it asks to be used for, if it says.
    pub purposes: Option<Stated>,
    /// It asks for a certificate that can sign others.
    pub wants_ca: bool,
    distinguished_name: Result<DistinguishedName, String>,
    alternative_names: Result<Vec<SanType>, String>,
    public_key: SubjectPublicKeyInfo,
}

impl Wish {
    /// A request for a new key.
    pub fn with_new_key(&self, kind: KeyKind) -> Result<Requested, IssueError> {
        let key = kind.generate()?;
        let key_pem = Secret::new(new_key_pem(&key)?);
        let csr_pem = self.signed_by(&key)?;
        Ok(Requested { csr_pem, key_pem })
    }

    /// A request for a key that exists (PEM, not encrypted).
    pub fn with_key(&self, key_pem: &[u8]) -> Result<Requested, IssueError> {
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|_| IssueError::Key(String::from("no readable, unencrypted private key was found (PEM)")))?;
        let key = KeyPair::try_from(&key).map_err(|error| IssueError::Key(error.to_string()))?;
        let key_pem = Secret::new(new_key_pem(&key)?);
        let csr_pem = self.signed_by(&key)?;
        Ok(Requested { csr_pem, key_pem })
    }

    fn signed_by(&self, key: &KeyPair) -> Result<String, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(
            &self.common_name,
            self.organisational_unit.as_deref(),
            self.organisation.as_deref(),
        );
        params.subject_alt_names = alternative_names(&self.dns, &self.uri, &self.ip)?;
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = extended_key_usages(self.purposes);
        Ok(params.serialize_request(key)?.pem()?)
    }
}

impl Request {
    /// Reads a request, PEM or DER, and checks that the key in it signed it.
    pub fn read(bytes: &[u8]) -> Result<Self, IssueError> {
        let der = der(bytes)?;
        let unreadable = |what: &str| IssueError::Request(what.to_owned());
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| unreadable("it is not a PKCS#10 request"))?;
        if !rest.is_empty() {
            return Err(unreadable("bytes follow its end"));
        }
        let info = &request.certification_request_info;
        let key = Key::read(&info.subject_pki);
        if key.algorithm == KeyAlgorithm::Other || key.algorithm == KeyAlgorithm::Rsa && key.bits < 2048 {
            return Err(IssueError::RequestKey(key.to_string()));
        }
        own_signature(&request, key)?;
        let public_key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
            .map_err(|_| IssueError::RequestKey(key.to_string()))?;
        let mut read = Self {
            subject: printable(&info.subject.to_string()),
            dns_names: Vec::new(),
            uri_names: Vec::new(),
            ip_names: Vec::new(),
            key,
            spki: pin(info.subject_pki.raw),
            purposes: None,
            wants_ca: false,
            distinguished_name: subject(&info.subject),
            alternative_names: Ok(Vec::new()),
            public_key,
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(names) => read.take_names(&names.general_names),
                ParsedExtension::BasicConstraints(constraints) => read.wants_ca = constraints.ca,
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    read.purposes = Some(Stated {
                        client_auth: usage.client_auth,
                        server_auth: usage.server_auth,
                        any: usage.any,
                    });
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// Every alternative name with its kind, in one line for people.
    #[must_use]
    pub fn names(&self) -> String {
        let dns = self.dns_names.iter().map(|name| format!("dns:{name}"));
        let uri = self.uri_names.iter().map(|name| format!("uri:{name}"));
        let ip = self.ip_names.iter().map(|name| format!("ip:{name}"));
        let all: Vec<String> = dns.chain(uri).chain(ip).collect();
        if all.is_empty() {
            String::from("none")
        } else {
            all.join(", ")
        }
    }

    pub(super) const fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.public_key
    }

    /// Puts the names of the request into a certificate, all of them or none.
    pub(super) fn name(&self, params: &mut CertificateParams) -> Result<(), IssueError> {
        params.distinguished_name = self.distinguished_name.clone().map_err(IssueError::RequestName)?;
        params.subject_alt_names = self.alternative_names.clone().map_err(IssueError::RequestName)?;
        if params.subject_alt_names.is_empty() && params.distinguished_name.iter().next().is_none() {
            let nobody = "it names nobody; expected a subject, or better alternative names";
            return Err(IssueError::RequestName(nobody.to_owned()));
        }
        Ok(())
    }

    fn take_names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push(printable(name)),
                GeneralName::URI(name) => self.uri_names.push(printable(name)),
                GeneralName::IPAddress(bytes) => self.ip_names.push(address(bytes)),
                _ => {}
            }
        }
        self.alternative_names = names.iter().map(alternative_name).collect();
    }
}

fn der(bytes: &[u8]) -> Result<CertificateSigningRequestDer<'static>, IssueError> {
    if bytes.first() == Some(&0x30) {
        return Ok(CertificateSigningRequestDer::from(bytes.to_vec()));
    }
    let text = String::from_utf8_lossy(bytes);
    // What old tools write; the content is the same.
    let text = text.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        IssueError::Request(String::from(
            "no \"CERTIFICATE REQUEST\" was found; expected PEM or DER, as \"cert request\" or \"openssl req -new\" write it",
        ))
    })
}

/// Whether the key in a request signed it. What cannot be judged is not called damaged.
fn own_signature(request: &X509CertificationRequest<'_>, key: Key) -> Result<(), IssueError> {
    match request.verify_signature() {
        Ok(()) => Ok(()),
        Err(X509Error::SignatureVerificationError) => Err(IssueError::RequestSignature),
        // The library that reads requests does not know the largest curve.
        Err(_) => {
            let info = &request.certification_request_info;
            let unknown = || IssueError::RequestAlgorithm(key.to_string());
            let algorithm = p521(&request.signature_algorithm.algorithm)
                .filter(|_| key.algorithm == KeyAlgorithm::Ecdsa && key.bits == 521)
                .ok_or_else(unknown)?;
            UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data)
                .verify(info.raw, &request.signature_value.data)
                .map_err(|_| IssueError::RequestSignature)
        }
    }
}

fn p521(signature: &Oid<'_>) -> Option<&'static EcdsaVerificationAlgorithm> {
    [
        (OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P521_SHA256_ASN1),
        (OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P521_SHA384_ASN1),
        (OID_SIG_ECDSA_WITH_SHA512, &ECDSA_P521_SHA512_ASN1),
    ]
    .into_iter()
    .find_map(|(oid, algorithm)| (oid == *signature).then_some(algorithm))
}

/// The subject as it stands there, so that the certificate says the very same.
fn subject(name: &X509Name<'_>) -> Result<DistinguishedName, String> {
    let mut out = DistinguishedName::new();
    for attribute in name.iter_attributes() {
        let oid: Vec<u64> = attribute
            .attr_type()
            .iter()
            .map(Iterator::collect)
            .ok_or("an attribute type of the subject is too large")?;
        let kind = DnType::from_oid(&oid);
        let text = attribute
            .as_str()
            .map_err(|_| format!("the subject's attribute {} is not text", attribute.attr_type()))?;
        if out.get(&kind).is_some() {
            return Err(format!(
                "the subject has the attribute {} twice; put each attribute once",
                attribute.attr_type()
            ));
        }
        let value = if kind == DnType::CountryName {
            PrintableString::try_from(text).map_or_else(|_| DnValue::from(text), DnValue::PrintableString)
        } else {
            DnValue::from(text)
        };
        out.push(kind, value);
    }
    Ok(out)
}

fn alternative_name(name: &GeneralName<'_>) -> Result<SanType, String> {
    let ascii =
        |text: &str| Ia5String::try_from(text).map_err(|_| format!("the name \"{}\" is not ASCII", printable(text)));
    match name {
        GeneralName::DNSName(name) => ascii(name).map(SanType::DnsName),
        GeneralName::URI(name) => ascii(name).map(SanType::URI),
        GeneralName::RFC822Name(name) => ascii(name).map(SanType::Rfc822Name),
        GeneralName::IPAddress(bytes) => address(bytes)
            .parse()
            .map(SanType::IpAddress)
            .map_err(|_| format!("an IP address is {}", address(bytes))),
        other => Err(format!(
            "it asks for a name of a kind that is not signed here: {}; expected DNS, URI, IP and e-mail names",
            printable(&other.to_string())
        )),
    }
}
