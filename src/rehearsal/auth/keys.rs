//! The signing keys of the Auth stand-in: made at its start, published as a JWK set (RFC 7517), changed on request.
//!
//! RS256 (RFC 7518 section 3.3), as the real server signs. A key never leaves the process and ends with it.

use std::fmt;
use std::io;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use crate::cert::facts::hex;

/// The keys, the one that signs first.
pub(in crate::rehearsal) struct Keyring(RwLock<Vec<Key>>);

struct Key {
    id: String,
    pair: RsaKeyPair,
    jwk: Value,
}

impl Keyring {
    pub(in crate::rehearsal) fn fresh() -> io::Result<Self> {
        Ok(Self(RwLock::new(vec![Key::fresh()?])))
    }

    /// A new key signs from now on.
    pub(super) fn change(&self, keep_the_old: bool) -> io::Result<()> {
        let key = Key::fresh()?; // takes its time: before the lock
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !keep_the_old {
            keys.clear();
        }
        keys.insert(0, key);
        Ok(())
    }

    /// What clients and APIs may know of the keys.
    pub(in crate::rehearsal) fn jwks(&self) -> Value {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        json!({ "keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>() })
    }

    /// A signed token that says `claims`.
    pub(in crate::rehearsal) fn sign(&self, claims: &Value) -> io::Result<String> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys
            .first()
            .ok_or_else(|| io::Error::other("there is no key to sign with"))?;
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": key.id });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| io::Error::other("the token could not be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Key {
    fn fresh() -> io::Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| io::Error::other("the system could not make an RSA key"))?;
        let id = format!("stand-in-{}", hex(&random::<8>()?));
        let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref())
            .map_err(|_| io::Error::other("the RSA key that was made cannot be read"))?;
        let number = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count(); // DER's sign is not part of it
            URL_SAFE_NO_PAD.encode(&bytes[zeros..])
        };
        let jwk = json!({
            "kty": "RSA",
            "e": number(public.exponent),
            "use": "sig",
            "kid": id,
            "alg": "RS256",
            "n": number(public.modulus),
        });
        Ok(Self { id, pair, jwk })
    }
}

/// An identifier in the form of a random UUID (RFC 9562 section 5.4).
pub(super) fn uuid() -> io::Result<String> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    Ok(parts.join("-"))
}

fn random<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    Ok(bytes)
}
