//! Certificates of listeners, and their exchange while connections go on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use crate::client_certificate::Clients;
use crate::client_certificate::Verifier;

/// The files are written one after the other: wait this long after a change before reading them.
const SETTLE: Duration = Duration::from_secs(1);

/// The files of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Whose certificates are believed; none: peers are not asked for one.
    pub clients: Option<Clients>,
}

/// A file that cannot be used, and why not.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The certificate of one listener, as new connections see it.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    now: ArcSwap<CertifiedKey>,
    verifier: Option<Arc<Verifier>>,
    read: Mutex<Stamps>,
}

/// What tells one version of the files from another; none for a file that is not there.
type Stamps = Vec<Option<Stamp>>;

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let of_clients = self.clients.iter().flat_map(|clients| [Some(&clients.authorities), clients.revoked.as_ref()]);
        [&self.certificate, &self.key].into_iter().chain(of_clients.flatten()).map(PathBuf::as_path)
    }

    fn stamps(&self) -> Stamps {
        let stamp = |path| {
            let metadata = std::fs::metadata(path).ok()?;
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            Some(Stamp { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len(), modified })
        };
        self.all().map(stamp).collect()
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// `FileError` when one cannot be read, or they do not belong together.
    pub fn load(files: Files) -> Result<Arc<Self>, FileError> {
        // Before reading: a file that changes in between is then read again.
        let stamps = files.stamps();
        let now = ArcSwap::from_pointee(read(&files)?);
        let verifier = files.clients.as_ref().map(Verifier::load).transpose()?;
        Ok(Arc::new(Self { files, now, verifier, read: Mutex::new(stamps) }))
    }

    /// The files that it is read from.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Reads the files again; what was in use stays when they are wrong.
    ///
    /// # Errors
    /// `FileError` as for `load`.
    pub fn reload(&self) -> Result<(), FileError> {
        *self.stamps() = self.files.stamps();
        self.now.store(Arc::new(read(&self.files)?));
        match (&self.verifier, &self.files.clients) {
            (Some(verifier), Some(clients)) => verifier.reload(clients),
            _ => Ok(()),
        }
    }

    /// Whether the files are others than those that were read last.
    fn is_stale(&self) -> bool {
        *self.stamps() != self.files.stamps()
    }

    fn stamps(&self) -> MutexGuard<'_, Stamps> {
        self.read.lock().expect("nothing panics while it holds the stamps of two files")
    }

    /// What a listener accepts TLS with.
    ///
    /// # Errors
    /// `FileError` when the library refuses its own defaults.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, FileError> {
        let refused =
            |error: rustls::Error| FileError { path: self.files.certificate.clone(), reason: error.to_string() };
        let builder = rustls::ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        let builder = match &self.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as Arc<dyn ClientCertVerifier>),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        if self.verifier.is_some() {
            // Every connection shows its certificate anew: authorities that are not believed any more stay out.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.load_full())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(files: &Files) -> Result<CertifiedKey, FileError> {
    let wrong = |path: &Path, reason: String| FileError { path: path.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, "no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error.to_string()))?;
    // Also checks that key and certificate belong together.
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| wrong(&files.key, error.to_string()))
}

/// Reads certificates again when their files change, until `stop`.
pub async fn watch(certificates: Vec<Arc<Certificate>>, stop: CancellationToken) {
    // One note is enough: whatever changed, everything is looked at again.
    let (sender, mut changes) = mpsc::channel(1);
    let noted = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full means that a note is there already.
            let _noted = sender.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(noted) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "cannot watch certificates: they are read again on reload only");
            return;
        }
    };
    // The folders, since files are mostly replaced and not written.
    for certificate in &certificates {
        for folder in certificate.files().all().filter_map(Path::parent) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch certificates");
            }
        }
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _noted = changes.recv() => tokio::time::sleep(SETTLE).await,
        }
        let _settled = changes.try_recv();
        // Anything in the folder may have changed, our own log for one.
        for certificate in certificates.iter().filter(|certificate| certificate.is_stale()) {
            report(certificate, certificate.reload());
        }
    }
}

/// Says how reading a certificate again went.
pub fn report(certificate: &Certificate, reloaded: Result<(), FileError>) {
    match reloaded {
        Ok(()) => tracing::info!(file = %certificate.files().certificate.display(), "certificate read"),
        Err(error) => {
            tracing::error!(file = %error.path.display(), reason = error.reason, "the old certificate stays in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Certificate, Files, provider};

    /// Writes a new certificate for `localhost`, and gives it back.
    fn issue(folder: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("what was just made")
    }

    /// Says a word to a peer that trusts only `trusted`; true when it arrives.
    async fn check(certificate: &Arc<Certificate>, trusted: &CertificateDer<'static>, expected: bool) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the library's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (ours, theirs) = tokio::io::duplex(4096);
        let acceptor = certificate.acceptor().expect("the library's own");
        let server = async move {
            let mut stream = acceptor.accept(ours).await?;
            stream.write_all(b"pass").await?;
            stream.shutdown().await
        };
        let client = async move {
            let name = ServerName::try_from("localhost").expect("a name");
            let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, theirs).await?;
            let mut word = String::new();
            stream.read_to_string(&mut word).await.map(|_| word)
        };
        let (_served, heard) = tokio::join!(server, client);
        assert_eq!(heard.is_ok_and(|word| word == "pass"), expected);
    }

    #[tokio::test]
    async fn a_certificate_is_exchanged_while_connections_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = issue(folder.path());
        let files =
            Files { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem"), clients: None };
        let certificate = Certificate::load(files).expect("it was just written");
        check(&certificate, &first, true).await;
        let second = issue(folder.path());
        check(&certificate, &second, false).await;
        assert!(certificate.is_stale());
        certificate.reload().expect("it was just written");
        check(&certificate, &second, true).await;
        assert!(!certificate.is_stale());
    }

    #[tokio::test]
    async fn a_wrong_file_leaves_the_old_certificate_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = issue(folder.path());
        let files =
            Files { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem"), clients: None };
        let certificate = Certificate::load(files).expect("it was just written");
        // A key that belongs to another certificate.
        let kept = std::fs::read(folder.path().join("cert.pem")).expect("it was just written");
        issue(folder.path());
        std::fs::write(folder.path().join("cert.pem"), kept).expect("written");
        let error = certificate.reload().expect_err("they do not belong together");
        assert!(error.path.ends_with("key.pem"), "{error:?}");
        check(&certificate, &first, true).await;
    }
}
