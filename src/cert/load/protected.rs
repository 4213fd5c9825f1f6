//! What a password protects: encrypted PKCS#8 (RFC 5958, PBES2 of RFC 8018) and PKCS#12 (RFC 7292).
//!
//! A wrong password is told from a damaged file wherever the format allows it: PKCS#12 by its MAC, PKCS#8 only by what
//! comes out. Work factors are bounded: a file that asks for hours of key derivation is refused.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as StoreError;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2::Kdf;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::{LoadError, Part};
use crate::secret::Secret;

/// OpenSSL asks for 2,048, keytool for 10,000, careful people for a million.
const MOST_ITERATIONS: u32 = 10_000_000;

/// OpenSSL asks for 16 MiB.
const MOST_SCRYPT_MEMORY: u64 = 1 << 28;

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The password in the content of its file: one line end after it is not a part of it.
pub(super) fn password(file: &[u8]) -> &[u8] {
    let line = file.strip_suffix(b"\n").unwrap_or(file);
    line.strip_suffix(b"\r")
        .filter(|_| line.len() < file.len())
        .unwrap_or(line)
}

/// The one encrypted key of a PEM file, decrypted.
pub(super) fn private_key(pem: &[u8], password: &[u8]) -> Result<Secret<PrivateKeyDer<'static>>, LoadError> {
    let damaged = |reason: &str| LoadError::DamagedPem {
        part: Part::PrivateKey,
        reason: reason.to_owned(),
    };
    let text = String::from_utf8_lossy(pem);
    let (_, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| damaged("a \"-----BEGIN\" line is not complete"))?;
    let (body, _) = rest
        .split_once(END)
        .ok_or_else(|| damaged("the last section has no \"-----END\" line; the file is cut off"))?;
    let base64: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = BASE64.decode(base64).map_err(|_| damaged("a section is not base64"))?;
    let info = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
        .map_err(|_| LoadError::KeyEncryption("an algorithm that is older than PBES2 or unknown".to_owned()))?;
    match info.encryption_algorithm.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(kdf)) if kdf.iteration_count <= MOST_ITERATIONS => {}
        Some(Kdf::Scrypt(kdf))
            if u64::from(kdf.block_size)
                .saturating_mul(u64::from(kdf.parallelization))
                .saturating_mul(kdf.cost_parameter)
                .saturating_mul(128)
                <= MOST_SCRYPT_MEMORY => {}
        Some(Kdf::Pbkdf2(_) | Kdf::Scrypt(_)) => {
            return Err(LoadError::KeyEncryption(
                "a key derivation that would take hours".to_owned(),
            ));
        }
        _ => {
            return Err(LoadError::KeyEncryption(
                "an algorithm that is older than PBES2".to_owned(),
            ));
        }
    }
    let document = info.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            LoadError::KeyEncryption(format!("algorithm {oid}"))
        }
        _ => LoadError::WrongPassword(Part::PrivateKey),
    })?;
    Ok(Secret::new(
        PrivatePkcs8KeyDer::from(document.as_bytes().to_vec()).into(),
    ))
}

/// The key and every certificate of a PKCS#12 file, in the file's order. The library's own copy of the key is freed
/// without being wiped; nothing outside of it can.
#[allow(clippy::type_complexity)]
pub(super) fn pkcs12(
    file: &[u8],
    password: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, Secret<PrivateKeyDer<'static>>), LoadError> {
    let password = std::str::from_utf8(password).map_err(|_| LoadError::PasswordEncoding(Part::Pkcs12))?;
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|error| explain(&error, file))?;
    let certificates: Vec<_> = archive
        .certs
        .iter()
        .map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()))
        .collect();
    let mut keys: Vec<_> = archive.keys.iter().map(|bag| &bag.key).collect();
    keys.dedup_by(|one, other| one == other);
    match keys.as_slice() {
        [] => Err(LoadError::Pkcs12Without(Part::PrivateKey)),
        _ if certificates.is_empty() => Err(LoadError::Pkcs12Without(Part::Certificate)),
        [key] => {
            let key = PrivatePkcs8KeyDer::from(key.as_der().to_vec());
            Ok((certificates, Secret::new(key.into())))
        }
        many => Err(LoadError::ManyKeys(many.len())),
    }
}

fn explain(error: &StoreError, file: &[u8]) -> LoadError {
    match error {
        // Without a MAC, a wrong password shows as nonsense after decryption.
        StoreError::MacError(_) | StoreError::UnpadError | StoreError::Pkcs5Error(_) => {
            LoadError::WrongPassword(Part::Pkcs12)
        }
        StoreError::UnsupportedEncryptionScheme
        | StoreError::UnsupportedMacAlgorithm
        | StoreError::UnsupportedContentType
        | StoreError::InvalidParameters => LoadError::Pkcs12Protection(error.to_string().to_lowercase()),
        _ if file.starts_with(&[0x30, 0x80]) => {
            LoadError::Pkcs12Protection("BER with lengths that are not stated".to_owned())
        }
        StoreError::UnsupportedCertificateType | StoreError::X509Error(_) => {
            LoadError::NotPkcs12("a certificate in it cannot be read".to_owned())
        }
        StoreError::InvalidPrivateKey => LoadError::NotPkcs12("the private key in it cannot be read".to_owned()),
        _ => LoadError::NotPkcs12("it is damaged, cut off, or another kind of file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_after_a_password_is_not_a_part_of_it() {
        for (file, expected) in [
            ("open", "open"),
            ("open\n", "open"),
            ("open\r\n", "open"),
            ("open\n\n", "open\n"),
            ("open\r", "open\r"),
            (" open ", " open "),
            ("", ""),
            ("\n", ""),
        ] {
            assert_eq!(password(file.as_bytes()), expected.as_bytes(), "{file:?}");
        }
    }
}
