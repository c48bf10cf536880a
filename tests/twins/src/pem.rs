//! The certificate of the TLS servers of tokio's side.

use std::fs::File;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
