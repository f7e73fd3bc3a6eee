//! Access keys, and the cluster key that their secrets are sealed under.
//!
//! The state holds secrets as AES-256-GCM ciphertext. The cluster key lives in a file of its own on each control node,
//! outside log, snapshots and history; without it a copy of the state opens no secret. The access key's id and account
//! are authenticated with the ciphertext, so a sealed secret cannot be moved to another key.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::Rng as _;
use trireme_types::AccountId;

use crate::Error;

/// A sealed secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// AES-256-GCM's nonce, fresh for each sealing.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// An access key as its holder gets it, once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccessKey {
    /// The public id: `AKIA` and 16 characters.
    pub id: String,
    /// The secret: 40 characters.
    pub secret: String,
}

impl std::fmt::Debug for NewAccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl NewAccessKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Self {
        Self { id: format!("AKIA{}", random_text(ID_ALPHABET, 16)), secret: random_text(SECRET_ALPHABET, 40) }
    }
}

fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
}

/// The cluster key: 32 bytes that every control node holds in a file of mode 0600.
#[derive(Clone)]
pub struct SealingKey {
    cipher: Aes256Gcm,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl SealingKey {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes)) }
    }

    /// Reads the key's file: 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read, others than its owner may read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::KeyFile { path: path.to_owned(), source };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        // The opened file is judged, not the path: nobody can exchange it in between.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Error::KeyFileMode { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        let mut limited = std::io::Read::take(&mut file, 1024);
        std::io::Read::read_to_string(&mut limited, &mut text).map_err(failed)?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| Error::KeyFileContent { path: path.to_owned() })?;
        Ok(Self::from_bytes(bytes))
    }

    /// Makes a new key and its file, which must not exist yet. The file is on disk when this returns.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::KeyFile { path: path.to_owned(), source };
        let bytes: [u8; 32] = rand::rng().random();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        writeln!(file, "{}", hex::encode(bytes)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Seals a secret for one access key of one account.
    ///
    /// # Errors
    /// Only when the secret is longer than the cipher allows.
    pub fn seal(&self, access_key: &str, account: &AccountId, secret: &str) -> Result<Sealed, Error> {
        let nonce: [u8; 12] = rand::rng().random();
        let bound = bound_data(access_key, account);
        let payload = Payload { msg: secret.as_bytes(), aad: &bound };
        let ciphertext = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::Seal { access_key: access_key.to_owned() })?;
        Ok(Sealed { nonce, ciphertext })
    }

    /// Opens a secret that was sealed for this access key of this account.
    ///
    /// # Errors
    /// When it was sealed under another cluster key, for another access key or account, or is damaged.
    pub fn unseal(&self, access_key: &str, account: &AccountId, sealed: &Sealed) -> Result<String, Error> {
        let failed = || Error::Unseal { access_key: access_key.to_owned() };
        let bound = bound_data(access_key, account);
        let payload = Payload { msg: &sealed.ciphertext, aad: &bound };
        let secret = self.cipher.decrypt(&Nonce::from(sealed.nonce), payload).map_err(|_| failed())?;
        String::from_utf8(secret).map_err(|_| failed())
    }
}

/// What a sealed secret is bound to. Neither part can hold a zero byte, so no two pairs are alike.
fn bound_data(access_key: &str, account: &AccountId) -> Vec<u8> {
    [access_key.as_bytes(), b"\0", account.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        AccountId::development()
    }

    #[test]
    fn a_sealed_secret_opens_only_where_it_belongs() {
        let key = SealingKey::from_bytes([7; 32]);
        let sealed = key.seal("AKIA1", &account(), "secret").unwrap();
        assert_eq!(key.unseal("AKIA1", &account(), &sealed).unwrap(), "secret");
        assert!(key.unseal("AKIA2", &account(), &sealed).is_err());
        assert!(key.unseal("AKIA1", &AccountId::new("210987654321").unwrap(), &sealed).is_err());
        assert!(SealingKey::from_bytes([8; 32]).unseal("AKIA1", &account(), &sealed).is_err());
        let mut damaged = sealed.clone();
        damaged.ciphertext[0] ^= 1;
        assert!(key.unseal("AKIA1", &account(), &damaged).is_err());
        let again = key.seal("AKIA1", &account(), "secret").unwrap();
        assert_ne!(again, sealed, "a nonce is never used twice");
    }

    #[test]
    fn the_key_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        let made = SealingKey::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = made.seal("AKIA1", &account(), "secret").unwrap();
        let read = SealingKey::read(&path).unwrap();
        assert_eq!(read.unseal("AKIA1", &account(), &sealed).unwrap(), "secret");
        assert!(matches!(SealingKey::create(&path), Err(Error::KeyFile { .. })), "it is never overwritten");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = SealingKey::read(&path).unwrap_err();
        assert!(matches!(refused, Error::KeyFileMode { mode: 0o640, .. }));
        assert!(refused.to_string().contains("chmod 600"));
    }

    #[test]
    fn other_files_are_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        assert!(matches!(SealingKey::read(&path), Err(Error::KeyFile { .. })));
        for content in ["", "abc", &"g".repeat(64), &"0".repeat(66)] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(SealingKey::read(&path), Err(Error::KeyFileContent { .. })), "{content}");
        }
    }

    #[test]
    fn generated_keys_look_like_awss() {
        let key = NewAccessKey::generate();
        assert_eq!((key.id.len(), key.secret.len()), (20, 40));
        assert!(key.id.starts_with("AKIA"));
        assert_ne!(NewAccessKey::generate(), key);
        assert!(!format!("{key:?}").contains(&key.secret));
    }
}
