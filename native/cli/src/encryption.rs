//! The options for clients that speak TLS.

use std::path::PathBuf;

use clap::Args;
use sinbin::tls::{ConfigError, Identity, Roots, TlsAcceptor};

use crate::span::{Span, span};

/// The options of listeners whose clients speak TLS with the host.
#[derive(Args)]
pub struct TlsArgs {
    /// Serve TLS: the certificate of this server, and those of the authorities that have issued it, in PEM format.
    ///
    /// Clients of every --listen then speak TLS 1.2 or 1.3. The service, or the guest, receives and sends plaintext, which is
    /// also what --record records. For a test: openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext
    /// subjectAltName=DNS:localhost -keyout key.pem -out cert.pem; then curl --cacert cert.pem, or openssl s_client
    /// -CAfile cert.pem.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM format and not encrypted. The file may be the one of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Require a certificate of each client, issued by one of the authorities in this file, in PEM format.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Application protocol to agree on by ALPN, such as http/1.1; may be repeated, the preferred one first. A client that
    /// offers only others is refused. By default, none is agreed on.
    #[arg(long, value_name = "NAME", requires = "tls_cert", value_parser = protocol)]
    pub tls_alpn: Vec<String>,
    /// Time that the TLS handshake of a client may take, such as 10s; "off" for no limit. Until the handshake has ended,
    /// the connection counts towards --max-connections.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub handshake_timeout: Span,
}

/// Parses the name of an application protocol, which has one byte for its length.
fn protocol(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("the name of a protocol has 1 to 255 bytes".to_owned()),
    }
}

impl TlsArgs {
    /// Reads the files. Returns `None` if clients speak plaintext.
    ///
    /// # Errors
    ///
    /// Fails if a file can't be read, and if the files don't belong together.
    pub fn acceptor(&self) -> Result<Option<TlsAcceptor>, String> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let refused = |error: ConfigError| match error {
            ConfigError::Refused(_) => format!(
                "cannot use the certificate {} with the key {}: {error}",
                certificate.display(),
                key.display()
            ),
            error => error.to_string(),
        };
        let identity = Identity::from_pem_files(certificate, key).map_err(refused)?;
        let mut builder = TlsAcceptor::builder(identity)
            .alpn(self.tls_alpn.iter().map(String::as_str))
            .handshake_timeout(self.handshake_timeout.0.unwrap_or(std::time::Duration::MAX));
        if let Some(path) = &self.tls_client_ca {
            let roots = Roots::from_pem_file(path);
            let roots = roots.map_err(|error| format!("cannot verify clients (--tls-client-ca): {error}"))?;
            builder = builder.require_clients(roots);
        }
        builder.build().map(Some).map_err(refused)
    }
}
