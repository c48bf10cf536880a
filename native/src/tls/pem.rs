//! Certificates and keys from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};

use crate::tls::error::ConfigError;

/// A certificate with its chain, and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the chain of certificates, the own one first, and the private key from PEM files. The key may have the form
    /// PKCS #8, PKCS #1 or SEC1, and must not be encrypted. Logs a warning if the certificate is not valid at this time.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, or contains no certificate or no key.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, ConfigError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect);
        let chain = not_empty(chain).map_err(|error| file(CERTIFICATES, certificates, &error))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(KEY, key, &error))?;
        let identity = Self { chain, key };
        if let Some(invalid) = identity.invalid_now() {
            tracing::warn!(file = %certificates.display(), "peers will refuse the certificate: {invalid}");
        }
        Ok(identity)
    }

    /// Parses PEM data as [`from_pem_files`](Self::from_pem_files) does.
    ///
    /// # Errors
    ///
    /// Fails if the data contains no certificate or no key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = not_empty(chain).map_err(|error| data(CERTIFICATES, &error))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| data(KEY, &error))?;
        Ok(Self { chain, key })
    }

    /// Returns the reason why the own certificate is not valid at this time, if it is not.
    #[must_use]
    pub fn invalid_now(&self) -> Option<String> {
        let certificate = ParsedCertificate::try_from(self.chain.first()?).ok()?;
        // The validity is checked before the issuer, which is unknown here.
        let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &RootCertStore::empty(),
            &[],
            UnixTime::now(),
            rustls::crypto::ring::default_provider().signature_verification_algorithms.all,
        );
        match verified {
            Err(Error::InvalidCertificate(
                error @ (CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }),
            )) => Some(error.to_string()),
            _ => None,
        }
    }
}

/// The authorities whose certificates are trusted.
#[derive(Clone, Debug)]
pub struct Roots(pub(super) Arc<RootCertStore>);

impl Roots {
    /// Reads the authorities that the system trusts. The variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. This
    /// takes some milliseconds: do it once.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::NoRoots`] if there are none.
    pub fn system() -> Result<Self, ConfigError> {
        let native = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // The stores of systems contain certificates that cannot be parsed; the others are usable.
        let (_, ignored) = store.add_parsable_certificates(native.certs);
        if ignored > 0 {
            tracing::debug!(ignored, "some root certificates of the system cannot be parsed");
        }
        if store.is_empty() {
            let reason =
                native.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
            return Err(ConfigError::NoRoots(reason));
        }
        Ok(Self(Arc::new(store)))
    }

    /// Reads the certificates of authorities from a PEM file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or contains no certificate of an authority.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        Self::of(not_empty(certificates).map_err(|error| file(CERTIFICATES, path, &error))?)
    }

    /// Parses the certificates of authorities from PEM data.
    ///
    /// # Errors
    ///
    /// Fails if the data contains no certificate of an authority.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, ConfigError> {
        let certificates = CertificateDer::pem_slice_iter(certificates).collect();
        Self::of(not_empty(certificates).map_err(|error| data(CERTIFICATES, &error))?)
    }

    /// Returns the authorities of both.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let mut store = Arc::unwrap_or_clone(self.0);
        store.extend(other.0.roots.iter().cloned());
        Self(Arc::new(store))
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, ConfigError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate)?;
        }
        Ok(Self(Arc::new(store)))
    }
}

const CERTIFICATES: &str = "certificates";
const KEY: &str = "a private key";

fn not_empty<T>(items: Result<Vec<T>, pem::Error>) -> Result<Vec<T>, pem::Error> {
    items.and_then(|items| if items.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(items) })
}

fn file(what: &'static str, path: &Path, error: &pem::Error) -> ConfigError {
    ConfigError::File { what, path: path.to_owned(), reason: reason(error) }
}

fn data(what: &'static str, error: &pem::Error) -> ConfigError {
    ConfigError::Pem { what, reason: reason(error) }
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "there is none in PEM format (\"-----BEGIN …\"); decrypt an encrypted key: openssl pkey -in FILE -out OTHER".to_owned()
        }
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
