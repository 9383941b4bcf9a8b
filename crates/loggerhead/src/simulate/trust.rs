//! Whom a simulated device believes when it speaks TLS.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// A certificate chain that is shown, and its key: two files.
pub(crate) type Shown<'a> = (&'a Path, &'a Path);

/// TLS towards a head-end whose certificate is signed by one in `authorities`, or by anybody when there is no such file:
/// a simulated device has nothing to lose. Shows a certificate of its own where there is one.
///
/// # Errors
/// When a file cannot be read or holds no certificate or key, or both do not belong together.
pub(crate) fn client(authorities: Option<&Path>, shown: Option<Shown<'_>>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("the TLS library has no protocol version")?;
    let builder = match authorities {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous { provider })),
    };
    let config = match shown {
        Some((chain, key)) => {
            let belongs = || format!("using {} with {}", chain.display(), key.display());
            builder.with_client_auth_cert(certificates(chain)?, private_key(key)?).with_context(belongs)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("reading certificates in {}", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "no certificate in {}", path.display());
    Ok(found)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).with_context(|| format!("reading a private key in {}", path.display()))
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("using a certificate in {}", path.display()))?;
    }
    Ok(roots)
}

/// What went wrong with a connection, in words that are the same every time: for TLS what it found and what to do, otherwise
/// the kind of the error.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has many more, each with words of its own")]
pub(crate) fn words(error: &io::Error) -> Cow<'static, str> {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        // What is not of the system, such as a name that nobody knows, has no kind that says it.
        let is_of_the_system = error.raw_os_error().is_some();
        return if is_of_the_system { error.kind().to_string() } else { error.to_string() }.into();
    };
    match error {
        // The signature is wrong when the issuer has the name of one in the file, and is another.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "TLS: nobody in the file of --ca signed the server's certificate; name its authority there".into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "TLS: the server's certificate is not for the name in --to; connect by a name that stands in it".into(),
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "TLS: the server's certificate has expired; renew it".into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "TLS: the server's certificate is not valid yet; look at both clocks".into(),
        rustls::Error::InvalidCertificate(_) => {
            format!("TLS: {error}; have it made anew, or leave --ca out to believe any").into()
        }
        rustls::Error::InvalidMessage(_) => "TLS: the server does not speak it there; leave --tls out".into(),
        rustls::Error::AlertReceived(alert) => format!("TLS: the server refused, {alert:?}; its log says why").into(),
        other => format!("TLS: {other}").into(),
    }
}

/// Believes any certificate whose key signed the handshake.
#[derive(Debug)]
struct Credulous {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
