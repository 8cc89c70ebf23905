//! Whom a client trusts to be its server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use crate::error::{Code, Error};

/// Bytes of a SHA-256 digest.
const PIN_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// Most TLS sessions that are kept, in memory only: rustls gives no way to write them down. One is
/// used up by an attempt, also by one that nobody answers.
const SESSIONS_MAX: usize = 8;
/// The parameter that errors name.
const PARAMETER: &str = "roots";

/// Whom a client trusts to be its server.
#[derive(Clone)]
pub enum Roots {
    /// The public certificate authorities that this build carries (Mozilla's list).
    Webpki,
    /// The certificates in this PEM file: an authority's, or the server's own self-signed one.
    Pem(PathBuf),
    /// The same, as text.
    PemText(String),
    /// Exactly one certificate: the SHA-256 of the server's own, in DER. Its names and dates are
    /// not looked at, so neither a wrong clock nor another address locks a device out.
    Pinned([u8; PIN_BYTES]),
    /// Whatever this decides.
    Custom(Arc<dyn ServerCertVerifier>),
}

impl Roots {
    /// The client's side of TLS 1.3 on ring, for one application protocol. Session tickets are kept
    /// for as long as the configuration is; early data is off.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`] for a file that cannot be read and for text that holds no usable
    /// certificate.
    pub fn client_config(&self, alpn: &[u8]) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::new(Code::Internal, "tls", format!("TLS 1.3: {error}")))?;
        let mut config = match self {
            Self::Webpki => {
                let anchors = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
                builder.with_root_certificates(RootCertStore::from_iter(anchors))
            }
            Self::Pem(path) => builder.with_root_certificates(from_file(path)?),
            Self::PemText(text) => {
                let roots = from_pem(text.as_bytes()).map_err(|reason| {
                    Error::parameter(
                        PARAMETER,
                        format!("the PEM text has no usable certificate ({reason}); give the text of the server's cert.pem"),
                    )
                })?;
                builder.with_root_certificates(roots)
            }
            Self::Pinned(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pin::new(*pin, &provider))),
            Self::Custom(verifier) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(verifier)),
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(config)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webpki => out.write_str("Webpki"),
            Self::Pem(path) => out.debug_tuple("Pem").field(path).finish(),
            Self::PemText(text) => write!(out, "PemText({} bytes)", text.len()),
            Self::Pinned(pin) => {
                out.write_str("Pinned(")?;
                for byte in pin {
                    write!(out, "{byte:02x}")?;
                }
                out.write_str(")")
            }
            Self::Custom(_) => out.write_str("Custom(..)"),
        }
    }
}

fn from_file(path: &Path) -> Result<RootCertStore, Error> {
    let text = std::fs::read(path).map_err(|error| {
        Error::parameter(
            PARAMETER,
            format!(
                "cannot read {} ({error}); give the path of the server's cert.pem",
                path.display()
            ),
        )
    })?;
    from_pem(&text).map_err(|reason| {
        Error::parameter(
            PARAMETER,
            format!(
                "{} has no usable certificate ({reason}); give the path of the server's cert.pem",
                path.display()
            ),
        )
    })
}

fn from_pem(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("no CERTIFICATE block in it".to_owned());
    }
    Ok(roots)
}

/// Trusts one certificate, whoever signed it.
#[derive(Debug)]
struct Pin {
    digest: [u8; PIN_BYTES],
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pin {
    fn new(digest: [u8; PIN_BYTES], provider: &CryptoProvider) -> Self {
        Self {
            digest,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if digest::digest(&digest::SHA256, end_entity).as_ref() == self.digest {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    /// The certificate is public; only this proves that the peer holds its key.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_no_pem_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nothing.pem");
        let error = Roots::Pem(missing.clone()).client_config(b"a").unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter);
        assert_eq!(error.reason, PARAMETER);
        assert!(error.message.contains(missing.to_str().unwrap()), "{error}");

        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "buy milk").unwrap();
        let error = Roots::Pem(text.clone()).client_config(b"a").unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter);
        assert!(error.message.contains(text.to_str().unwrap()), "{error}");
    }

    #[test]
    fn text_that_is_no_certificate_is_refused() {
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "buy milk", garbled] {
            let error = Roots::PemText(text.to_owned())
                .client_config(b"a")
                .unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter, "{text:?}: {error}");
        }
    }

    #[test]
    fn the_configuration_speaks_the_protocol_it_was_asked_for() {
        let config = Roots::Webpki.client_config(b"offhook/1").unwrap();
        assert_eq!(config.alpn_protocols, [b"offhook/1".to_vec()]);
        assert!(!config.enable_early_data);
    }

    #[test]
    fn what_is_printed_of_roots_is_short() {
        assert_eq!(
            format!("{:?}", Roots::PemText("abc".to_owned())),
            "PemText(3 bytes)"
        );
        let pinned = format!("{:?}", Roots::Pinned([0xab; PIN_BYTES]));
        assert_eq!(pinned, format!("Pinned({})", "ab".repeat(PIN_BYTES)));
    }
}
