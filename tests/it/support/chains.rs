//! Certificate chains of every shape, right and wrong, for the judgement of them. Each certificate is made from its
//! parameters, so that a test says only what is odd about it.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) const DAY: i64 = 86_400;

/// A certificate with its key; whether it may sign others is up to its parameters.
pub(crate) struct Made {
    pub(crate) params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

/// What a certificate says unless a test says otherwise: valid for a month around now.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    valid(&mut params, -15, 15);
    params
}

/// First and last moment, in days from now.
pub(crate) fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let now = delius_sidecar::clock::unix_seconds();
    let at = |days: i64| {
        let seconds = u64::try_from(now + days * DAY).expect("after 1970");
        date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

/// The parameters of a CA that may sign anything.
pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The parameters of a leaf for servers with these names.
pub(crate) fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let alternative_names = CertificateParams::new(names).expect("names").subject_alt_names;
    let mut params = params("server");
    params.subject_alt_names = alternative_names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// The parameters of a leaf for clients.
pub(crate) fn client(name: &str) -> CertificateParams {
    let mut params = server(&[name]);
    params.distinguished_name = self::params(name).distinguished_name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Made {
    /// A certificate that signed itself.
    pub(crate) fn alone(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("signed").der().clone();
        Self { params, key, der }
    }

    /// A certificate signed by this one, whether that may or not.
    pub(crate) fn signs(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        self.certifies(params, key)
    }

    /// The same key and name as another, certified by this one: what a cross-signature is.
    pub(crate) fn cross_signs(&self, other: &Self) -> Self {
        let key = KeyPair::from_pem(&other.key.serialize_pem()).expect("its key");
        let mut params = other.params.clone();
        params.serial_number = None;
        self.certifies(params, key)
    }

    fn certifies(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).expect("signed").der().clone();
        Self { params, key, der }
    }

    /// A list of the revoked by this CA, made and to be renewed so many days from now.
    pub(crate) fn revokes(
        &self,
        certificates: &[&Self],
        made: i64,
        renewed: i64,
    ) -> CertificateRevocationListDer<'static> {
        let mut times = params("");
        valid(&mut times, made, renewed);
        let entry = |certificate: &&Self| RevokedCertParams {
            serial_number: certificate.params.serial_number.clone().expect("a serial of its own"),
            revocation_time: times.not_before,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: times.not_before,
            next_update: times.not_after,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: certificates.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        list.signed_by(&issuer).expect("signed").der().clone()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// With a serial number, as whoever is to be revoked needs one.
pub(crate) fn numbered(mut params: CertificateParams, serial: u64) -> CertificateParams {
    params.serial_number = Some(SerialNumber::from(serial));
    params
}
