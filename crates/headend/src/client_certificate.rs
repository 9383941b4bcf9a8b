//! Certificates of peers: which are believed, and whom they name.
//!
//! A certificate proves a name, and no more: whether a device of that name is let in by it is said elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use loggerhead_model::Identity;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

use crate::tls::FileError;

/// Names that are taken from one certificate: whoever has more is no single device.
const NAMES_MAX: usize = 16;

/// Whose certificates are believed at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// The certificates of authorities, PEM.
    pub authorities: PathBuf,
    /// Lists of certificates that these authorities revoked, PEM; none: every certificate of theirs counts.
    pub revoked: Option<PathBuf>,
    /// Whether nobody comes in without a certificate.
    pub required: bool,
}

/// Judges the certificates of peers, by authorities that may change while connections go on.
#[derive(Debug)]
pub(crate) struct Verifier {
    required: bool,
    now: ArcSwap<Arc<dyn ClientCertVerifier>>,
}

impl Verifier {
    /// Reads the authorities, and what they revoked.
    ///
    /// # Errors
    /// `FileError` when a file cannot be read or holds nothing that is looked for in it.
    pub(crate) fn load(clients: &Clients) -> Result<Arc<Self>, FileError> {
        let now = ArcSwap::from_pointee(read(clients)?);
        Ok(Arc::new(Self { required: clients.required, now }))
    }

    /// Reads both again; what was in use stays when a file is wrong.
    ///
    /// # Errors
    /// `FileError` as for `load`.
    pub(crate) fn reload(&self, clients: &Clients) -> Result<(), FileError> {
        self.now.store(Arc::new(read(clients)?));
        Ok(())
    }
}

fn read(clients: &Clients) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let path = &clients.authorities;
    let wrong = |reason: String| FileError { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let authority = authority.map_err(|error| wrong(error.to_string()))?;
        roots.add(authority).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    let provider = Arc::new(ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = &clients.revoked {
        // Authorities between the root and a device are rarely listed; whoever revokes one takes it out of its file.
        builder = builder.with_crls(revoked(path)?).only_check_end_entity_revocation();
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let lists = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let reason = match lists {
        Ok(lists) if !lists.is_empty() => return Ok(lists),
        Ok(_) => "no revocation list in it".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(FileError { path: path.to_owned(), reason })
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    /// None: they may change, and a device has but one certificate to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.now.load().verify_client_cert(certificate, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now.load().supported_verify_schemes()
    }
}

/// Whom a certificate names that was verified: the common names of its subject, then its DNS names. What cannot be an identity
/// names nobody.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<Identity> {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let common = common_names(parsed.subject());
    let all = common.into_iter().chain(parsed.valid_dns_names());
    all.filter_map(|name| Identity::new(name).ok()).take(NAMES_MAX).collect()
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
/// 2.5.4.3, common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common names of a subject: sets of pairs of a type and a text. Source: RFC 5280 §4.1.2.4.
fn common_names(mut subject: &[u8]) -> Vec<&str> {
    let mut names = Vec::new();
    while let Some((SET, mut set, rest)) = element(subject) {
        while let Some((SEQUENCE, pair, others)) = element(set) {
            if let Some((OBJECT_ID, COMMON_NAME, value)) = element(pair)
                && let Some((UTF8 | PRINTABLE | IA5, text, _)) = element(value)
                && let Ok(name) = str::from_utf8(text)
            {
                names.push(name);
            }
            set = others;
        }
        subject = rest;
    }
    names
}

/// The first element of DER: its tag, what is in it, and what is behind it. Lengths of up to two bytes: a name is shorter.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    let (inside, behind) = rest.split_at_checked(length)?;
    Some((tag, inside, behind))
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Identity;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::{common_names, names};

    /// The names of a certificate with these common name and DNS names.
    fn check(common: Option<DnValue>, dns: &[&str], expected: &[&str]) {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(dns).expect("DNS names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Meters");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let made = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let found = names(made.der());
        assert_eq!(found.iter().map(Identity::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_certificate_names_its_common_name_and_its_dns_names() {
        let utf8 = |text: &str| Some(DnValue::Utf8String(text.to_owned()));
        check(utf8("330302D110/01"), &[], &["330302D110/01"]);
        check(
            utf8("\u{6c34}\u{8868}"),
            &["meter.example", "other.example"],
            &["\u{6c34}\u{8868}", "meter.example", "other.example"],
        );
        check(None, &["meter.example"], &["meter.example"]);
        check(utf8(&"long".repeat(50)), &[], &[&"long".repeat(50)]);
        check(utf8("two\nlines"), &[], &[]);
        check(None, &[], &[]);
    }

    #[test]
    fn a_subject_that_is_cut_off_or_damaged_names_nobody_else() {
        let subject = b"\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03abc";
        assert_eq!(common_names(subject), ["abc"]);
        for end in 0..subject.len() {
            assert_eq!(common_names(&subject[..end]), Vec::<&str>::new());
        }
        for place in 0..subject.len() - 3 {
            for value in 0..=u8::MAX {
                let mut damaged = subject.to_vec();
                damaged[place] = value;
                let found = common_names(&damaged);
                assert!(found.iter().all(|name| "abc".contains(name)), "{found:?}");
            }
        }
    }
}
