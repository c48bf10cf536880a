//! The certificates of tokio's side.

use std::fs::File;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::MainError;

/// Reads a certificate chain and its key.
pub(crate) fn server_config(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, MainError> {
    let chain = CertificateDer::pem_reader_iter(File::open(certificate)?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// Reads the certificates that a client trusts from a file, or takes those that the system trusts.
pub(crate) fn client_config(ca: Option<&str>) -> Result<Arc<ClientConfig>, MainError> {
    let certificates = match ca {
        Some(file) => CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
