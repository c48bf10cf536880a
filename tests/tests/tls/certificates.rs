//! The certificates of a test, in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use sinbin::tls::rustls::pki_types::pem::PemObject;
use sinbin::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sinbin::tls::rustls::{ClientConfig, RootCertStore, crypto};
use sinbin_tests::Directory;

/// An authority, and a certificate of a server.
pub(crate) struct Certificates {
    dir: Directory,
    authority: CertifiedIssuer<'static, KeyPair>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    /// Issues a certificate for localhost, in files of the test `name`.
    pub(crate) fn new(name: &str) -> Self {
        let dir = Directory::new(&format!("tls-{name}"));
        let mut params = CertificateParams::default();
        // OpenSSL takes a certificate that names its own subject as issuer for one that is signed by itself.
        params.distinguished_name.push(DnType::CommonName, format!("the authority of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let mut own = Self { dir, authority, certificate: PathBuf::new(), key: PathBuf::new() };
        fs::write(own.authority_file(), own.authority.pem()).expect("written");
        (own.certificate, own.key) = own.issue("server", false);
        own
    }

    /// Issues another certificate, which has expired if `expired`. Returns the files of the certificate and its key.
    pub(crate) fn issue(&self, name: &str, expired: bool) -> (PathBuf, PathBuf) {
        self.issue_for("localhost", name, expired)
    }

    /// Issues a certificate for `host`, as [`issue`](Self::issue) does.
    pub(crate) fn issue_for(&self, host: &str, name: &str, expired: bool) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2001, 2, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        (
            self.write(&format!("{name}.pem"), &certificate.pem()),
            self.write(&format!("{name}-key.pem"), &key.serialize_pem()),
        )
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.dir.write(name, text)
    }

    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }

    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Returns the file of the authority's certificate.
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.dir.join("authority.pem")
    }

    /// Returns the configuration of a client that trusts the authority.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.trusting().with_no_client_auth())
    }

    /// Returns the configuration of a client with a certificate.
    pub(crate) fn client_with(&self, certificate: &Path, key: &Path) -> Arc<ClientConfig> {
        let chain =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).expect("certificates");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        Arc::new(self.trusting().with_client_auth_cert(chain, key).expect("an identity"))
    }

    fn trusting(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("a root");
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots)
    }
}
