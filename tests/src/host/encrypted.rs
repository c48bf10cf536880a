//! The hosts whose clients speak TLS with them (`--tls-cert`).

use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto};

use super::served::Served;
use super::{Known, arguments};
use crate::dialogue::{Dialogue, Host, Options, Service, Stage};
use crate::directory::Directory;

/// A host of this repository that speaks TLS with its clients.
#[derive(Debug)]
pub struct Encrypted {
    name: &'static str,
    about: &'static str,
    /// The name of the host without TLS.
    plain: &'static str,
}

static ALL: [Encrypted; 2] = [
    Encrypted {
        name: "native-tls",
        about: "sinbin serve --tls-cert, with clients that speak TLS",
        plain: "native",
    },
    Encrypted {
        name: "driven-tls",
        about: "sinbin-wasi run --tls-cert fib.wasm, with such clients",
        plain: "driven",
    },
];

impl Encrypted {
    /// Returns all hosts of this kind.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Returns the host with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|host| host.name == name)
    }

    fn plain(&self) -> &'static Known {
        Known::by_name(self.plain).expect("a known host")
    }
}

impl Host for &'static Encrypted {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn lacks(&self, dialogue: &Dialogue) -> Option<String> {
        self.plain().lacks(dialogue)
    }

    fn open(&self, service: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
        let files = Directory::new(self.name);
        let (certificate, key) = (files.join("cert.pem"), files.join("key.pem"));
        let config = issue(&files)?;
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let mut args = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        args.extend(["--tls-cert".to_owned(), text(&certificate), "--tls-key".to_owned(), text(&key)]);
        // No dialogue depends on the speed of the machine.
        args.extend(["--handshake-timeout".to_owned(), "1h".to_owned()]);
        args.extend(arguments(options));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        // When the server listens, it has read the files.
        Ok(Box::new(Served::start_encrypted(self.plain().command(service.name(), &args), config)?))
    }
}

/// Issues a certificate for localhost, writes it and its key to files, and returns the configuration of clients that
/// trust the certificate.
fn issue(files: &Directory) -> Result<Arc<ClientConfig>, String> {
    let failed = |error: rcgen::Error| format!("cannot issue a certificate: {error}");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key)).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let params = CertificateParams::new(["localhost".to_owned()]).map_err(failed)?;
    let certificate = params.signed_by(&key, &authority).map_err(failed)?;
    for (name, text) in [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        fs::write(files.join(name), text).map_err(|error| format!("cannot write {name}: {error}"))?;
    }
    let refused = |error: rustls::Error| format!("no client can speak TLS: {error}");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).map_err(refused)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
