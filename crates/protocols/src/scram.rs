//! SCRAM-SHA-256: both sides prove that they know a secret, and neither says it.
//!
//! RFC 5802 with the hash of RFC 7677, without channel binding, over any protocol that carries its four messages. Names and
//! secrets are taken as they are written: the preparation of RFC 4013, which leaves ASCII as it is, is not done.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;

use crate::base64;

/// Its name among the mechanisms.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Bytes of every hash in it: what one side proves to the other.
pub const PROOF_BYTES: usize = 32;

/// Rounds of hashing for one proof: as few as RFC 7677 §4 allows, since the head-end does them for everybody who asks, and
/// holds the secret itself, which more rounds would not protect.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
/// Rounds that a client does at most: a second of work.
const ROUNDS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
/// Bytes of our part of a nonce: they are never the same twice.
const NONCE_BYTES: usize = 18;
/// Longest message that is read: a name with every letter escaped, and nonces of ordinary size.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// The server's side of one exchange, once it has asked.
#[derive(Debug)]
pub struct Challenge {
    user: Box<str>,
    /// The client's header in base64, which comes again.
    header: String,
    nonce: String,
    salt: [u8; SALT_BYTES],
    /// Both first messages, as they are proven.
    said: String,
    /// Where ours begins in them.
    ours_at: usize,
}

impl Challenge {
    /// Answers a client's first message. `key` makes the salt: that of a name is always the same, whether there is such an
    /// account or not. `seed` is fresh and makes our part of the nonce.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub fn to(first: &[u8], key: &[u8; 32], seed: &[u8]) -> Result<Self, &'static str> {
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce, &mac(key, &[b"nonce ", seed]));
        let user = First::read(text_of(first)?)?.user;
        let mut salt = [0; SALT_BYTES];
        fill(&mut salt, &mac(key, &[b"salt ", user.as_bytes()]));
        Self::with(first, &base64::encode(&nonce), salt)
    }

    fn with(first: &[u8], nonce: &str, salt: [u8; SALT_BYTES]) -> Result<Self, &'static str> {
        let First { header, bare, user, nonce: theirs } = First::read(text_of(first)?)?;
        let nonce = format!("{theirs}{nonce}");
        let ours_at = bare.len() + 1;
        let said = format!("{bare},r={nonce},s={},i={ROUNDS}", base64::encode(&salt));
        Ok(Self { user: user.into(), header: base64::encode(header.as_bytes()), nonce, salt, said, ours_at })
    }

    /// Whom the client claims to be.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The message that asks for the proof.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.said.as_bytes().get(self.ours_at..).unwrap_or_default()
    }

    /// What is proven, and the proof, from a client's last message: for `check`.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub fn answered(&self, last: &[u8]) -> Result<(Vec<u8>, [u8; PROOF_BYTES]), &'static str> {
        let (before, proof) = text_of(last)?.rsplit_once(",p=").ok_or("no proof in the last message")?;
        let mut attributes = before.split(',');
        if attributes.next().and_then(|binding| binding.strip_prefix("c=")) != Some(&*self.header) {
            return Err("another header than in the first message");
        }
        if attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) != Some(&*self.nonce) {
            return Err("another nonce than in the challenge");
        }
        let proof =
            base64::decode(proof).and_then(|bytes| bytes.try_into().ok()).ok_or("a proof that cannot be one")?;
        Ok(([&self.salt, self.said.as_bytes(), b",", before.as_bytes()].concat(), proof))
    }
}

/// Whether `answer` proves `secret` for what `Challenge::answered` gave; then what proves it to the client, in constant
/// time.
#[must_use]
pub fn check(proven: &[u8], answer: &[u8], secret: &[u8]) -> Option<[u8; PROOF_BYTES]> {
    let (salt, said) = proven.split_first_chunk::<SALT_BYTES>()?;
    let proofs = Proofs::of(secret, salt, ROUNDS, said);
    bool::from(proofs.client.ct_eq(answer)).then_some(proofs.server)
}

/// The server's last message, with what proves that it knows the secret too.
#[must_use]
pub fn last_message(counterproof: &[u8; PROOF_BYTES]) -> Vec<u8> {
    format!("v={}", base64::encode(counterproof)).into_bytes()
}

/// The client's side of one exchange.
pub struct Client {
    bare: String,
    nonce: String,
}

impl Client {
    /// With printable letters that were never used before.
    #[must_use]
    pub fn new(user: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { bare: format!("n={user},r={nonce}"), nonce: nonce.to_owned() }
    }

    /// Its first message.
    #[must_use]
    pub fn first_message(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// Its last message, and what has to come back as the server's.
    ///
    /// # Errors
    /// What is wrong with the server's message.
    pub fn answer(&self, asked: &[u8], secret: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let asked = text_of(asked)?;
        let mut attributes = asked.split(',');
        let mut next = |name| attributes.next().and_then(|attribute| attribute.strip_prefix(name));
        let nonce = next("r=").filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("a challenge for another nonce")?;
        let salt = next("s=").and_then(base64::decode).ok_or("a challenge without a salt")?;
        let rounds = next("i=").and_then(|count| count.parse().ok()).filter(|&count| count <= ROUNDS_MAX);
        let rounds = rounds.and_then(NonZeroU32::new).ok_or("a challenge with too many rounds, or none")?;
        let before = format!("c={},r={nonce}", base64::encode(b"n,,"));
        let said = format!("{},{asked},{before}", self.bare);
        let proofs = Proofs::of(secret, &salt, rounds, said.as_bytes());
        let last = format!("{before},p={}", base64::encode(&proofs.client));
        Ok((last.into_bytes(), last_message(&proofs.server)))
    }
}

/// What both sides prove. Source: RFC 5802 §3.
struct Proofs {
    client: [u8; PROOF_BYTES],
    server: [u8; PROOF_BYTES],
}

impl Proofs {
    fn of(secret: &[u8], salt: &[u8], rounds: NonZeroU32, said: &[u8]) -> Self {
        let mut salted = [0; PROOF_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, secret, &mut salted);
        let client_key = mac(&salted, &[b"Client Key"]);
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let mut client = [0; PROOF_BYTES];
        fill(&mut client, &mac(stored_key.as_ref(), &[said]));
        for (byte, key) in client.iter_mut().zip(client_key.as_ref()) {
            *byte ^= key;
        }
        let mut server = [0; PROOF_BYTES];
        fill(&mut server, &mac(mac(&salted, &[b"Server Key"]).as_ref(), &[said]));
        Self { client, server }
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

fn fill(bytes: &mut [u8], tag: &hmac::Tag) {
    for (byte, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *byte = *from;
    }
}

fn text_of(message: &[u8]) -> Result<&str, &'static str> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err("a message that is too long");
    }
    str::from_utf8(message).map_err(|_| "a message that is not UTF-8")
}

/// A client's first message. Source: RFC 5802 §7.
struct First<'a> {
    /// What stands before the part that is proven.
    header: &'a str,
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let cut = || "a first message that is cut off";
        let (binding, rest) = text.split_once(',').ok_or_else(cut)?;
        if !matches!(binding, "n" | "y") {
            return Err("channel binding, which this mechanism does not have");
        }
        let (other, bare) = rest.split_once(',').ok_or_else(cut)?;
        let header = text.strip_suffix(bare).unwrap_or_default();
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|name| name.strip_prefix("n=")).ok_or("no name in the first message")?;
        let user = unescaped(user)?;
        // In whose name, where that is said: nobody speaks for others.
        if !other.is_empty() && other.strip_prefix("a=").map(unescaped) != Some(Ok(user.clone())) {
            return Err("a name to act for that is not the client's own");
        }
        let nonce =
            attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or("no nonce in the first message")?;
        if nonce.is_empty() || !nonce.bytes().all(|sign| sign.is_ascii_graphic()) {
            return Err("a nonce that cannot be one");
        }
        Ok(Self { header, bare, user, nonce })
    }
}

/// A name as it was before `,` and `=` were escaped.
fn unescaped(name: &str) -> Result<String, &'static str> {
    let mut parts = name.split('=');
    let mut user = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err("a name that is not escaped as it has to be"),
        };
        user.push(sign);
        user.push_str(rest);
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Client, check, last_message};
    use crate::base64;

    const KEY: [u8; 32] = [7; 32];

    /// The exchange of RFC 7677 §3.
    #[test]
    fn the_exchange_of_the_standard() {
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let asked = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proven = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        let salt = base64::decode("W22ZaJ0SNY7soEsUEjb6gQ==").and_then(|salt| salt.try_into().ok());
        let challenge = Challenge::with(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", salt.expect("16 bytes"));
        let challenge = challenge.expect("the standard's own");
        assert_eq!(challenge.user(), "user");
        assert_eq!(str::from_utf8(challenge.message()), Ok(asked));
        let (said, proof) = challenge.answered(last.as_bytes()).expect("the standard's own");
        let counterproof = check(&said, &proof, b"pencil").expect("the right secret");
        assert_eq!(last_message(&counterproof), proven);
        assert_eq!(check(&said, &proof, b"pencils"), None);
        let client = Client::new("user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.first_message(), first);
        assert_eq!(client.answer(asked.as_bytes(), b"pencil"), Ok((last.as_bytes().to_vec(), proven.to_vec())));
    }

    /// Both sides of ours, with a client's secret; whether the server believes it.
    fn believed(user: &str, secret: &[u8]) -> bool {
        let client = Client::new(user, "nonce");
        let challenge = Challenge::to(&client.first_message(), &KEY, b"seed").expect("our own");
        assert_eq!(challenge.user(), user);
        let (last, _) = client.answer(challenge.message(), secret).expect("our own");
        let (said, proof) = challenge.answered(&last).expect("our own");
        check(&said, &proof, b"secret").is_some()
    }

    #[test]
    fn a_secret_is_proven_whatever_the_name_has_in_it() {
        for user in ["a", "a,b", "a=b", "=2C", "a,r=x,s=y", "\u{e9}"] {
            assert!(believed(user, b"secret"), "{user}");
            assert!(!believed(user, b"other"), "{user}");
            assert!(!believed(user, b""), "{user}");
        }
    }

    #[test]
    fn the_salt_is_that_of_the_name_and_the_nonce_is_new() {
        let asked = |user, seed: &[u8]| {
            let challenge = Challenge::to(&Client::new(user, "n").first_message(), &KEY, seed).expect("our own");
            (challenge.salt, challenge.nonce)
        };
        let (salt, nonce) = asked("a", b"1");
        assert_eq!(asked("a", b"2").0, salt);
        assert_ne!(asked("a", b"2").1, nonce);
        assert_ne!(asked("b", b"1").0, salt);
    }

    #[test]
    fn messages_that_cannot_be_are_refused() {
        for first in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=a",
            "n,,r=a",
            "p=tls-unique,,n=a,r=b",
            "n,a=b,n=a,r=b",
            "n,,m=x,n=a,r=b",
            "n,,n=a=b,r=c",
            "n,,n=a=,r=c",
            "n,,n=a,r=",
            "n,,n=a,r=\u{e9}",
            "x,,n=a,r=b",
        ] {
            assert!(Challenge::to(first.as_bytes(), &KEY, b"seed").is_err(), "{first:?}");
        }
        assert!(Challenge::to(&vec![b'n'; 5_000], &KEY, b"seed").is_err());
        assert!(Challenge::to(b"n,a=a,n=a,r=b", &KEY, b"seed").is_ok(), "the client's own name");
        let challenge = Challenge::to(b"n,,n=a,r=b", &KEY, b"seed").expect("a first message");
        let (proof, nonce) = (base64::encode(&[0; 32]), &challenge.nonce);
        for last in [
            String::new(),
            format!("c=biws,r={nonce}"),
            format!("c=eSws,r={nonce},p={proof}"),
            format!("c=biws,r={nonce}x,p={proof}"),
            format!("c=biws,r=b,p={proof}"),
            format!("c=biws,r={nonce},p=AAAA"),
            format!("c=biws,r={nonce},p={proof}="),
        ] {
            assert!(challenge.answered(last.as_bytes()).is_err(), "{last:?}");
        }
        assert!(challenge.answered(format!("c=biws,r={nonce},p={proof}").as_bytes()).is_ok());
        let client = Client::new("a", "mine");
        for asked in ["", "r=mine,s=AAAA,i=1", "r=other,s=AAAA,i=1", "r=mine1,s=AAAA,i=0", "r=mine1,s=AAAA,i=9999999"] {
            assert!(client.answer(asked.as_bytes(), b"x").is_err(), "{asked:?}");
        }
    }
}
