//! A CA certificate with its key: signs leafs, requests, issuing CAs and revocation lists.

use rcgen::{BasicConstraints, CertificateParams, Issuer, KeyPair, SerialNumber};
use rustls_pki_types::CertificateDer;

use super::super::facts::hex;
use super::super::load;
use super::request::Request;
use super::revocation::{self, Reason, Revoked};
use super::{
    IssueError, Issued, KeyKind, Purposes, Signed, Spec, Validity, ca_params, key_to_pem, leaf_params, new_key_pem, pem,
};
use crate::secret::Secret;

/// A CA certificate with its key: a root or an intermediate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key_pem: Secret<String>,
    /// Own certificate first, then its issuers up to, without, the root. A root has only itself.
    path: Vec<CertificateDer<'static>>,
    is_root: bool,
}

impl Authority {
    /// A new root with its own key.
    pub fn new_root(name: &str, validity: Validity) -> Result<Self, IssueError> {
        let params = ca_params(name, validity, BasicConstraints::Unconstrained)?;
        let key = KeyKind::EcdsaP256.generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            key_pem: Secret::new(new_key_pem(&key)?),
            path: vec![certificate.der().clone()],
            issuer: Issuer::new(params, key),
            is_root: true,
        })
    }

    /// An issuing CA below this one; it can sign leafs and no further CA.
    pub fn issue_intermediate(&self, name: &str, validity: Validity) -> Result<Self, IssueError> {
        let params = ca_params(name, validity, BasicConstraints::Constrained(0))?;
        let key = KeyKind::EcdsaP256.generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let mut path = vec![certificate.der().clone()];
        path.extend_from_slice(self.sent_along());
        Ok(Self {
            key_pem: Secret::new(new_key_pem(&key)?),
            path,
            issuer: Issuer::new(params, key),
            is_root: false,
        })
    }

    /// A CA from its files: its certificate (for an intermediate followed by its issuers) and its key.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, IssueError> {
        let bundle = load::bundle(certificate_pem, key_pem)?;
        let facts = bundle.leaf_facts();
        if !facts.is_ca || facts.key_usage.is_some_and(|usage| !usage.key_cert_sign) {
            return Err(IssueError::NotACa(facts.subject.clone()));
        }
        let key = KeyPair::try_from(bundle.key())?;
        let own = bundle.chain().iter().zip(bundle.chain_facts());
        let path: Vec<_> = own
            .enumerate()
            .filter(|(index, (_, facts))| *index == 0 || !facts.is_self_issued())
            .map(|(_, (certificate, _))| certificate.clone())
            .collect();
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&path[0], key)?,
            key_pem: Secret::new(key_to_pem(bundle.key())),
            is_root: facts.is_self_issued(),
            path,
        })
    }

    /// Signs a leaf with a new key.
    pub fn issue(&self, spec: &Spec) -> Result<Issued, IssueError> {
        let mut params = spec.params()?;
        params.use_authority_key_identifier_extension = true;
        let key = spec.key.generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let signed = self.signed(certificate.der(), &params);
        Ok(Issued {
            chain_pem: signed.chain_pem,
            key_pem: Secret::new(new_key_pem(&key)?),
            leaf: signed.leaf,
            serial: signed.serial,
        })
    }

    /// Signs the key of a certificate request (PEM or DER), see [`Authority::sign`].
    pub fn sign_csr(&self, csr: &str, purposes: Purposes, validity: Validity) -> Result<Signed, IssueError> {
        self.sign(&Request::read(csr.as_bytes())?, purposes, validity)
    }

    /// Signs the key of a request. Subject and alternative names are those that it asks for; dates and purposes are
    /// the CA's to say, and a request to become a CA is refused.
    pub fn sign(&self, request: &Request, purposes: Purposes, validity: Validity) -> Result<Signed, IssueError> {
        if request.wants_ca {
            return Err(IssueError::RequestForCa);
        }
        let mut params = leaf_params(purposes, validity)?;
        request.name(&mut params)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(request.public_key(), &self.issuer)?;
        Ok(self.signed(certificate.der(), &params))
    }

    /// A list (PEM) of the certificates that this CA takes back, all superseded at `this_update`.
    pub fn crl(&self, serials: &[impl AsRef<str>], this_update: i64, next_update: i64) -> Result<String, IssueError> {
        let superseded = |serial: &str| Revoked {
            serial: serial.to_owned(),
            at: this_update,
            reason: Reason::Superseded,
        };
        let revoked: Vec<Revoked> = serials.iter().map(|serial| superseded(serial.as_ref())).collect();
        let number = u64::try_from(this_update).unwrap_or_default(); // grows with every list
        self.revocation_list(&revoked, number, this_update, next_update)
    }

    /// A list (PEM) of the certificates that this CA takes back, each with its time and reason. `number` must grow
    /// from list to list (RFC 5280 section 5.2.3).
    pub fn revocation_list(
        &self,
        revoked: &[Revoked],
        number: u64,
        this_update: i64,
        next_update: i64,
    ) -> Result<String, IssueError> {
        let list = revocation::list(revoked, number, this_update, next_update)?;
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.path[0] // always its own, see the constructors
    }

    /// The CA's own certificate, PEM: for a root, the trust bundle to hand out.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", self.certificate())
    }

    /// The CA's key, PEM.
    #[must_use]
    pub const fn key_pem(&self) -> &Secret<String> {
        &self.key_pem
    }

    /// What goes into a chain after the leaf: never the root, since it is trusted from elsewhere or not at all.
    fn sent_along(&self) -> &[CertificateDer<'static>] {
        if self.is_root { &[] } else { &self.path }
    }

    fn signed(&self, leaf: &CertificateDer<'static>, params: &CertificateParams) -> Signed {
        let mut chain_pem = pem("CERTIFICATE", leaf);
        for certificate in self.sent_along() {
            chain_pem.push_str(&pem("CERTIFICATE", certificate));
        }
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes);
        Signed {
            chain_pem,
            leaf: leaf.clone(),
            serial: hex(&serial.unwrap_or_default()),
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}
