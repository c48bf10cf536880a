//! Advice about errors of `rustls`.

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys};

/// Describes an error of a configuration.
pub(super) fn of_config(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the certificate does not belong to the private key; the first certificate of the file must be the server's own"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::BadEncoding) => {
            format!("{error}; is the certificate damaged?")
        }
        error => error.to_string(),
    }
}

/// Returns advice about an error of a handshake, or an empty text. `with_server` is true if the peer is a server.
pub(super) fn of_handshake(error: &Error, with_server: bool) -> &'static str {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) if with_server => {
            "; trust the authority that has issued its certificate (--ca)"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; its certificate must be of an authority for clients"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "; renew the certificate, or set the clock"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "; is the clock right?",
        Error::NoCertificatesPresented => "; the client needs a certificate",
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "; the peer does not trust the authority that has issued this side's certificate"
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => "; renew this side's certificate",
        Error::AlertReceived(AlertDescription::BadCertificate | AlertDescription::CertificateUnknown) => {
            "; the peer refuses this side's certificate"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => "; this side needs a certificate",
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "; the peers have no application protocol (ALPN) in common"
        }
        _ => "",
    }
}
