//! Who a peer is, and whether it may log in.
//!
//! A claim costs the same whether the name is known or not, and whatever is wrong with it the peer is told the same.
//! The reason is for operators.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Identity};
use loggerhead_protocols::{Claim, Fit, Known, Proof, Refusal};
use loggerhead_store::{DeviceState, Login, Secret};

use crate::device::Device;
use crate::directory::Directory;
use crate::expiring::Expiring;
use crate::guest::Peer;
use crate::throttle::{Gate, Throttle};

/// Logins that are remembered for devices that connect anew for every message.
const LOGINS_MAX: usize = 100_000;
/// Notes of conversations that go on over several connections.
const NOTES_MAX: usize = 20_000;
/// Longest note: a challenge and what belongs to it.
const NOTE_BYTES_MAX: usize = 1024;
/// A note or a login is remembered for at most this long, whatever a protocol asks.
const REMEMBER_MAX: Duration = Duration::from_hours(24);

/// What a listener says about who may log in.
#[derive(Clone, Debug)]
pub(crate) struct Admittance {
    pub(crate) protocol: &'static str,
    pub(crate) enroll: Enroll,
    /// What unknown devices, and known ones without a secret of their own, may prove.
    pub(crate) secrets: Vec<Secret>,
}

/// What becomes of an unknown device that proves a secret of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enroll {
    Refuse,
    Pending,
    Accept,
}

/// What a claim is worth.
pub(crate) enum Judgement {
    /// It is this device, by a proof that fits so.
    Accepted(Arc<Device>, Fit),
    /// It is not let in.
    Refused(Refusal),
    /// Nobody knows it, but it proved something to a listener that enrols.
    Stranger(Means, Fit),
}

/// By what a stranger proves its name.
pub(crate) enum Means {
    /// A secret of the listener.
    Secret(Secret),
    /// A key of its cipher.
    Cipher,
    /// A certificate for the name.
    Certificate,
}

/// Everything that is known about names.
pub(crate) struct Identities {
    pub(crate) directory: Directory,
    pub(crate) throttle: Throttle,
    memory: Mutex<Memory>,
    /// Checked where there is no secret to check, so that the cost does not tell.
    dummy: Secret,
}

/// One name at one address, or on a Unix socket.
pub(crate) type Place = (&'static str, Identity, Option<IpAddr>);

struct Memory {
    logins: Expiring<Place, DeviceId>,
    notes: Expiring<Place, Bytes>,
}

impl Identities {
    pub(crate) fn new() -> Self {
        let memory = Memory { logins: Expiring::new(LOGINS_MAX), notes: Expiring::new(NOTES_MAX) };
        Self {
            directory: Directory::default(),
            throttle: Throttle::new(),
            memory: Mutex::new(memory),
            dummy: Secret::new(rand::random::<[u8; 16]>().to_vec()),
        }
    }

    /// What is known about a name before it is proven; nothing for a name that nobody knows.
    pub(crate) fn known(
        &self,
        now: Duration,
        protocol: &'static str,
        identity: &Identity,
        peer: Option<IpAddr>,
    ) -> Known {
        let note = self.memory().notes.find(now, &(protocol, identity.clone(), peer)).cloned();
        match self.directory.by_identity(protocol, identity) {
            Some(device) => {
                Known { settings: Arc::new(device.rules().settings.table()), learnt: device.learnt(), note }
            }
            None => Known { note, ..Known::default() },
        }
    }

    /// Keeps a note for the next connection from this place; an empty one takes the note back. One that is too long is
    /// not kept.
    pub(crate) fn remember(&self, now: Duration, place: Place, note: Bytes, keep: Duration) {
        if note.is_empty() {
            self.memory().notes.remove(&place);
        } else if note.len() <= NOTE_BYTES_MAX {
            self.memory().notes.insert(now, place, note, keep.min(REMEMBER_MAX));
        }
    }

    /// Judges a claim, and counts it.
    pub(crate) fn judge(&self, now: Duration, admittance: &Admittance, claim: &Claim, guest: &Peer) -> Judgement {
        let (identity, peer) = (&claim.identity, guest.address);
        if self.throttle.gate(now, identity, peer) == Gate::Locked {
            return Judgement::Refused(Refusal::Throttled);
        }
        let device = self.directory.by_identity(admittance.protocol, identity);
        let named = device.clone();
        let shown = self.shown(now, admittance, claim, peer, device.as_deref());
        let shown = certified(shown, device.as_deref(), guest.is_certified_as(identity));
        let judgement = match (device, shown) {
            (Some(device), Shown::Own(fit)) => match device.rules().state {
                DeviceState::Active => Judgement::Accepted(device, fit),
                DeviceState::Pending => Judgement::Refused(Refusal::Pending),
            },
            (None, Shown::Listener(means, fit)) if admittance.enroll != Enroll::Refuse => {
                Judgement::Stranger(means, fit)
            }
            (Some(_), Shown::Nothing | Shown::Listener(..)) => Judgement::Refused(Refusal::WrongProof),
            (None, Shown::Nothing | Shown::Listener(..) | Shown::Own(_)) => Judgement::Refused(Refusal::Unknown),
        };
        if let Judgement::Refused(refusal) = judgement {
            self.count(now, claim, peer, refusal, named.as_deref());
        }
        judgement
    }

    /// A device was let in: its next connection may do without a proof for as long as its protocol says.
    pub(crate) fn admitted(&self, now: Duration, device: &Device, claim: &Claim, peer: Option<IpAddr>) {
        self.throttle.succeeded(now, &claim.identity, peer);
        if let Some(keep) = claim.remember {
            let place = (device.protocol, claim.identity.clone(), peer);
            self.memory().logins.insert(now, place, device.id.clone(), keep.min(REMEMBER_MAX));
        }
    }

    /// Whether this very device is still known.
    pub(crate) fn holds(&self, device: &Arc<Device>) -> bool {
        self.directory.by_id(&device.id).is_some_and(|held| Arc::ptr_eq(&held, device))
    }

    /// Forgets the remembered logins of a device that was removed or changed.
    pub(crate) fn forget(&self, device: &Device) {
        self.memory()
            .logins
            .retain(|(protocol, identity, _)| *protocol != device.protocol || *identity != device.identity);
    }

    fn count(&self, now: Duration, claim: &Claim, peer: Option<IpAddr>, refusal: Refusal, named: Option<&Device>) {
        if let Some(device) = named {
            device.counters.refusals.one_more();
        }
        // A login that ran out is how things are, not an attempt to guess.
        let guess = !matches!(claim.proof, Proof::Remembered);
        if guess && matches!(refusal, Refusal::Unknown | Refusal::WrongProof) {
            self.throttle.failed(now, &claim.identity, peer);
        }
    }

    /// What the claim proves. Every secret that could matter is checked, in every case.
    fn shown(
        &self,
        now: Duration,
        admittance: &Admittance,
        claim: &Claim,
        peer: Option<IpAddr>,
        device: Option<&Device>,
    ) -> Shown {
        let rules = device.map(Device::rules);
        match &claim.proof {
            Proof::Response { .. } | Proof::Mutual { .. } => {
                let own = rules.as_ref().and_then(|rules| rules.secret.as_ref());
                let fits = |secret: &Secret| claim.proof.fit(secret.expose());
                let own_fits = fits(own.unwrap_or(&self.dummy)).filter(|_| own.is_some());
                let mut listener = None;
                for secret in &admittance.secrets {
                    if let Some(fit) = fits(secret) {
                        listener = Some((secret, fit));
                    }
                }
                match (own_fits, listener) {
                    (Some(fit), _) => Shown::Own(fit),
                    // A device without a secret of its own proves one of its listener.
                    (None, Some((_, fit))) if rules.is_some() && own.is_none() => Shown::Own(fit),
                    (None, Some((secret, fit))) => Shown::Listener(Means::Secret(secret.clone()), fit),
                    (None, None) => Shown::Nothing,
                }
            }
            Proof::Cipher if rules.as_ref().is_some_and(|rules| rules.login == Login::Cipher) => {
                Shown::Own(Fit::default())
            }
            Proof::Name if rules.as_ref().is_some_and(|rules| rules.login == Login::Name) => Shown::Own(Fit::default()),
            Proof::Cipher if device.is_none() => Shown::Listener(Means::Cipher, Fit::default()),
            // Who is signed in is judged by nobody else.
            Proof::Cipher | Proof::Name | Proof::SignedIn => Shown::Nothing,
            Proof::Remembered => {
                let memory = self.memory();
                let place = (admittance.protocol, claim.identity.clone(), peer);
                let remembered = memory.logins.find(now, &place);
                if remembered.is_some() && remembered == device.map(|device| &device.id) {
                    Shown::Own(Fit::default())
                } else {
                    Shown::Nothing
                }
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while it holds the memory of logins")
    }
}

/// What a proof shows.
enum Shown {
    /// That it is the device.
    Own(Fit),
    /// What a listener wants of strangers.
    Listener(Means, Fit),
    Nothing,
}

/// What is shown in all, where a certificate may prove the name. Whoever is let in by a certificate is by nothing else.
fn certified(shown: Shown, device: Option<&Device>, is_certified: bool) -> Shown {
    match (device.map(|device| device.rules().login), is_certified) {
        (Some(Login::Certificate), true) => Shown::Own(Fit::default()),
        (Some(Login::Certificate), false) => Shown::Nothing,
        (None, true) => Shown::Listener(Means::Certificate, Fit::default()),
        (Some(Login::Secret | Login::Cipher | Login::Name), _) | (None, false) => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use loggerhead_model::{DeviceId, Identity};
    use loggerhead_protocols::{Claim, Company, Fit, Form, Proof, Refusal};
    use loggerhead_store::{DeviceSource, DeviceState, Login, Secret};

    use super::{Admittance, Enroll, Identities, Judgement, Means, NOTE_BYTES_MAX};
    use crate::device::{Device, Past, Rules};
    use crate::guest::Peer;
    use crate::own_settings::OwnSettings;

    const NOW: Duration = Duration::from_secs(1);
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn peer(address: Option<IpAddr>, certified: Option<&str>) -> Peer {
        let certified = certified.map(|name| Arc::from([identity("group"), identity(name)]));
        Peer { text: "peer".into(), address, certified }
    }

    fn identity(name: &str) -> Identity {
        Identity::new(name).expect("a legal identity")
    }

    fn with(identities: &Identities, name: &str, rules: impl FnOnce(&mut Rules)) -> Arc<Device> {
        let mut made = Rules {
            state: DeviceState::Active,
            source: DeviceSource::Operator,
            secret: Some(Secret::new(b"own".to_vec())),
            login: Login::Secret,
            settings: OwnSettings::default(),
            added_at: None,
            site: None,
        };
        rules(&mut made);
        let id = DeviceId::new(name).expect("a legal id");
        let device = Arc::new(Device::new(id, "toy", identity(name), made, Past::default()));
        identities.directory.add(Arc::clone(&device)).expect("a new name");
        device
    }

    fn admittance(enroll: Enroll) -> Admittance {
        Admittance { protocol: "toy", enroll, secrets: vec![Secret::new(b"shared".to_vec())] }
    }

    fn response(name: &str, answer: &[u8]) -> Claim {
        let proof = Proof::Response {
            challenge: Box::default(),
            answer: answer.into(),
            check: |_, answer, secret| (answer == secret).then_some(Form(1)),
        };
        Claim { identity: identity(name), proof, remember: None, company: Company::Alone }
    }

    /// The judgement in a word.
    fn check(identities: &Identities, enroll: Enroll, claim: &Claim, expected: &str) {
        let word = match identities.judge(NOW, &admittance(enroll), claim, &peer(Some(HOME), None)) {
            Judgement::Accepted(..) => "accepted",
            Judgement::Stranger(..) => "stranger",
            Judgement::Refused(refusal) => crate::metrics::refusal_word(refusal),
        };
        assert_eq!(word, expected, "{claim:?} {enroll:?}");
    }

    #[test]
    fn a_device_proves_its_own_secret_and_no_other() {
        let identities = Identities::new();
        with(&identities, "a", |_| {});
        check(&identities, Enroll::Accept, &response("a", b"own"), "accepted");
        check(&identities, Enroll::Accept, &response("a", b"shared"), "wrong-proof");
        check(&identities, Enroll::Accept, &response("a", b""), "wrong-proof");
        let judgement =
            identities.judge(NOW, &admittance(Enroll::Accept), &response("a", b"own"), &peer(Some(HOME), None));
        assert!(
            matches!(judgement, Judgement::Accepted(_, Fit { form: Form(1), .. })),
            "the form of the proof is told"
        );
    }

    #[test]
    fn where_both_sides_prove_something_the_peer_is_shown_that_the_secret_is_known() {
        let identities = Identities::new();
        with(&identities, "a", |_| {});
        let claim = |name, answer: &[u8]| {
            let proof = Proof::Mutual {
                challenge: Box::default(),
                answer: answer.into(),
                check: |_, answer, secret| (answer == secret).then(|| [secret[0]; 32]),
            };
            Claim { identity: identity(name), proof, remember: None, company: Company::Many }
        };
        for (name, answer, shown) in [("a", b"own".as_slice(), b'o'), ("x", b"shared", b's')] {
            match identities.judge(NOW, &admittance(Enroll::Accept), &claim(name, answer), &peer(Some(HOME), None)) {
                Judgement::Accepted(_, fit) | Judgement::Stranger(_, fit) => {
                    assert_eq!(fit.counterproof, Some([shown; 32]));
                }
                Judgement::Refused(refusal) => panic!("{name}: {refusal:?}"),
            }
        }
        check(&identities, Enroll::Accept, &claim("a", b"shared"), "wrong-proof");
        check(&identities, Enroll::Accept, &claim("x", b"own"), "unknown");
    }

    #[test]
    fn a_device_without_a_secret_proves_its_listeners() {
        let identities = Identities::new();
        with(&identities, "a", |rules| rules.secret = None);
        check(&identities, Enroll::Refuse, &response("a", b"shared"), "accepted");
        check(&identities, Enroll::Refuse, &response("a", b"own"), "wrong-proof");
    }

    #[test]
    fn unknown_devices_are_let_in_only_by_a_listener_that_enrols() {
        let identities = Identities::new();
        check(&identities, Enroll::Refuse, &response("x", b"shared"), "unknown");
        check(&identities, Enroll::Pending, &response("x", b"shared"), "stranger");
        check(&identities, Enroll::Accept, &response("x", b"wrong"), "unknown");
    }

    #[test]
    fn a_pending_device_is_not_let_in() {
        let identities = Identities::new();
        with(&identities, "a", |rules| rules.state = DeviceState::Pending);
        check(&identities, Enroll::Pending, &response("a", b"own"), "pending");
        check(&identities, Enroll::Pending, &response("a", b"shared"), "wrong-proof");
    }

    #[test]
    fn a_cipher_key_is_proof_only_where_the_device_says_so() {
        let identities = Identities::new();
        with(&identities, "a", |_| {});
        with(&identities, "b", |rules| rules.login = Login::Cipher);
        let claim =
            |name| Claim { identity: identity(name), proof: Proof::Cipher, remember: None, company: Company::Alone };
        check(&identities, Enroll::Accept, &claim("a"), "wrong-proof");
        check(&identities, Enroll::Accept, &claim("b"), "accepted");
        check(&identities, Enroll::Accept, &claim("x"), "stranger");
        check(&identities, Enroll::Refuse, &claim("x"), "unknown");
    }

    #[test]
    fn a_certificate_is_proof_of_its_names_only_where_the_device_says_so() {
        let identities = Identities::new();
        with(&identities, "a", |rules| rules.login = Login::Certificate);
        with(&identities, "b", |_| {});
        let judged = |claimed: &str, answer: &[u8], named: Option<&str>, enroll| {
            let peer = peer(Some(HOME), named);
            match identities.judge(NOW, &admittance(enroll), &response(claimed, answer), &peer) {
                Judgement::Accepted(device, _) => device.id.to_string(),
                Judgement::Stranger(Means::Certificate, _) => "stranger".to_owned(),
                Judgement::Stranger(Means::Secret(_) | Means::Cipher, _) => "stranger by a secret".to_owned(),
                Judgement::Refused(refusal) => crate::metrics::refusal_word(refusal).to_owned(),
            }
        };
        assert_eq!(judged("a", b"", Some("a"), Enroll::Refuse), "a");
        assert_eq!(judged("a", b"own", Some("b"), Enroll::Refuse), "wrong-proof", "its name and nothing else");
        assert_eq!(judged("a", b"own", None, Enroll::Refuse), "wrong-proof", "nor its secret");
        assert_eq!(judged("b", b"", Some("b"), Enroll::Refuse), "wrong-proof", "one with a secret proves that");
        assert_eq!(judged("b", b"own", Some("a"), Enroll::Refuse), "b");
        assert_eq!(judged("x", b"", Some("x"), Enroll::Accept), "stranger");
        assert_eq!(judged("x", b"", Some("x"), Enroll::Refuse), "unknown");
        assert_eq!(judged("x", b"shared", Some("a"), Enroll::Accept), "stranger by a secret");
    }

    #[test]
    fn a_name_is_enough_only_where_the_device_says_so() {
        let identities = Identities::new();
        with(&identities, "a", |_| {});
        with(&identities, "b", |rules| rules.login = Login::Cipher);
        with(&identities, "c", |rules| rules.login = Login::Name);
        let claim =
            |name| Claim { identity: identity(name), proof: Proof::Name, remember: None, company: Company::Alone };
        check(&identities, Enroll::Accept, &claim("a"), "wrong-proof");
        check(&identities, Enroll::Accept, &claim("b"), "wrong-proof");
        check(&identities, Enroll::Accept, &claim("c"), "accepted");
        check(&identities, Enroll::Accept, &claim("x"), "unknown");
        // A wrong secret is no name.
        check(&identities, Enroll::Accept, &response("c", b"guess"), "wrong-proof");
    }

    #[test]
    fn a_login_is_remembered_at_its_address_for_its_time() {
        let identities = Identities::new();
        let device = with(&identities, "a", |_| {});
        let again =
            Claim { identity: identity("a"), proof: Proof::Remembered, remember: None, company: Company::Alone };
        check(&identities, Enroll::Refuse, &again, "wrong-proof");
        let claim = Claim { remember: Some(Duration::from_mins(1)), ..response("a", b"own") };
        identities.admitted(NOW, &device, &claim, Some(HOME));
        check(&identities, Enroll::Refuse, &again, "accepted");
        let elsewhere = identities.judge(NOW, &admittance(Enroll::Refuse), &again, &peer(None, None));
        assert!(matches!(elsewhere, Judgement::Refused(Refusal::WrongProof)));
        let later = identities.judge(
            NOW + Duration::from_mins(1),
            &admittance(Enroll::Refuse),
            &again,
            &peer(Some(HOME), None),
        );
        assert!(matches!(later, Judgement::Refused(Refusal::WrongProof)));
        identities.forget(&device);
        check(&identities, Enroll::Refuse, &again, "wrong-proof");
    }

    #[test]
    fn every_secret_is_checked_whether_the_name_is_known_or_not() {
        thread_local! {
            static CHECKS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
        }
        let identities = Identities::new();
        with(&identities, "a", |_| {});
        let count = |name, answer: &[u8]| {
            CHECKS.set(0);
            let proof = Proof::Response {
                challenge: Box::default(),
                answer: answer.into(),
                check: |_, answer, secret| {
                    CHECKS.set(CHECKS.get() + 1);
                    (answer == secret).then_some(Form::ONLY)
                },
            };
            let claim = Claim { identity: identity(name), proof, remember: None, company: Company::Alone };
            identities.judge(NOW, &admittance(Enroll::Refuse), &claim, &peer(Some(HOME), None));
            CHECKS.get()
        };
        let known = count("a", b"own");
        assert_eq!(count("a", b"wrong"), known);
        assert_eq!(count("x", b"wrong"), known);
        assert_eq!(count("x", b"shared"), known);
    }

    #[test]
    fn a_note_comes_back_at_its_place_until_it_is_taken_back() {
        let identities = Identities::new();
        let note = |peer| identities.known(NOW, "toy", &identity("x"), peer).note;
        let put = |bytes: &[u8]| {
            let place = ("toy", identity("x"), Some(HOME));
            identities.remember(NOW, place, Bytes::copy_from_slice(bytes), Duration::from_mins(1));
        };
        put(b"challenge");
        assert_eq!(note(Some(HOME)).as_deref(), Some(&b"challenge"[..]));
        assert_eq!(note(None), None);
        put(&vec![0; NOTE_BYTES_MAX + 1]);
        assert_eq!(note(Some(HOME)).as_deref(), Some(&b"challenge"[..]), "too long to be kept");
        put(b"");
        assert_eq!(note(Some(HOME)), None);
    }
}
