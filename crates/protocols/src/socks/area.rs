//! What kind of address a place has, and networks to compare it with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::relay::{Place, bare};

/// The kinds of addresses that a rule has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anybody's, in the whole network.
    Public,
    /// The machine itself, by an address that only it has: 127.0.0.0/8, ::1.
    Loopback,
    /// On the same wire: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Within an organisation: RFC 1918, 100.64.0.0/10, fc00::/7.
    Private,
    /// Where machines in a data centre learn secrets of their own.
    Metadata,
    /// Nobody's: unspecified, multicast, broadcast, reserved, for documentation, or wrapped once more.
    Nobody,
}

impl Kind {
    /// The words of rules.
    pub(super) const WORDS: [(&'static str, Self); 5] = [
        ("public", Self::Public),
        ("loopback", Self::Loopback),
        ("link-local", Self::LinkLocal),
        ("private", Self::Private),
        ("metadata", Self::Metadata),
    ];
}

/// Addresses of metadata services outside of the link-local ones. Sources: \[5\].
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The kind of an address.
pub(super) fn kind(address: IpAddr) -> Kind {
    let address = bare(address);
    if METADATA.contains(&address) {
        return Kind::Metadata;
    }
    match address {
        IpAddr::V4(address) => kind_4(address),
        IpAddr::V6(address) => kind_6(address),
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one pattern a network")]
fn kind_4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Kind::Private,
        // This network, special purposes, documentation, benchmarks; multicast, reserved and broadcast.
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Kind::Nobody,
        _ => Kind::Public,
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one pattern a network")]
fn kind_6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        // Unique local, site-local, and translated to what only the operator of a network knows.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Kind::Private,
        // Documentation, Teredo and the like.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Nobody,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Nobody,
    }
}

/// Addresses with the same first bits: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is a single address.
    fn is_one(&self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Network {
    type Err = ();

    /// `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ()))?;
        if bits > most { Err(()) } else { Ok(Self { address, bits }) }
    }
}

/// What a rule lets through: a kind, a network, or the machine's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Kind(Kind),
    /// Addresses of the machine that others reach it by.
    Own,
    Network(Network),
}

impl Area {
    /// Whether a place is in it when something is to be allowed. A wide network holds neither the machine's own addresses nor
    /// metadata services: who means them says so.
    pub(super) fn allows(&self, place: Place) -> bool {
        let (address, kind) = (bare(place.address.ip()), kind(place.address.ip()));
        let is_special = place.is_own && kind != Kind::Loopback || kind == Kind::Metadata;
        match self {
            Self::Kind(own) => *own == kind && (!is_special || kind == Kind::Metadata),
            Self::Own => place.is_own,
            Self::Network(network) => network.has(address) && (network.is_one() || !is_special),
        }
    }

    /// Whether a place is in it when something is to be denied.
    pub(super) fn denies(&self, place: Place) -> bool {
        let (address, kind) = (bare(place.address.ip()), kind(place.address.ip()));
        match self {
            Self::Kind(own) => *own == kind,
            Self::Own => place.is_own,
            Self::Network(network) => network.has(address) || network.has(place.address.ip()),
        }
    }
}

impl FromStr for Area {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "own" {
            return Ok(Self::Own);
        }
        match Kind::WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, kind)) => Ok(Self::Kind(*kind)),
            None => text.parse().map(Self::Network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Kind, kind};
    use crate::relay::Place;

    fn check(address: &str, expected: Kind) {
        assert_eq!(kind(address.parse().expect("an address")), expected, "{address}");
    }

    #[test]
    fn an_address_has_a_kind_however_it_is_wrapped() {
        for address in ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"] {
            check(address, Kind::Public);
        }
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"] {
            check(address, Kind::Loopback);
        }
        for address in ["::ffff:0:127.0.0.1", "2002:7f00:1::"] {
            check(address, Kind::Loopback);
        }
        for address in ["169.254.1.1", "fe80::1", "febf::1", "::ffff:169.254.1.1"] {
            check(address, Kind::LinkLocal);
        }
        for address in ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd12::1", "fec0::1"] {
            check(address, Kind::Private);
        }
        for address in
            ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16", "2002:a9fe:a9fe::"]
        {
            check(address, Kind::Metadata);
        }
        for address in
            ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "192.0.2.1", "2001::1", "3fff::1"]
        {
            check(address, Kind::Nobody);
        }
        check("172.32.0.1", Kind::Public);
    }

    #[test]
    fn a_wide_network_holds_neither_own_addresses_nor_metadata_services() {
        let place = |address: &str, is_own| {
            let address = format!("{address}:80").parse().expect("an address");
            Place { address, is_own }
        };
        let allows = |area: &str, place: Place| area.parse::<Area>().expect("an area").allows(place);
        assert!(allows("10.0.0.0/8", place("10.0.0.5", false)));
        assert!(!allows("10.0.0.0/8", place("10.0.0.5", true)));
        assert!(!allows("private", place("10.0.0.5", true)));
        assert!(!allows("public", place("1.1.1.1", true)));
        assert!(allows("own", place("10.0.0.5", true)));
        assert!(allows("10.0.0.5/32", place("10.0.0.5", true)));
        assert!(!allows("169.254.0.0/16", place("169.254.169.254", false)));
        assert!(!allows("link-local", place("169.254.169.254", false)));
        assert!(allows("metadata", place("169.254.169.254", false)));
        assert!(allows("loopback", place("127.0.0.1", true)));
        assert!(allows("127.0.0.0/8", place("127.0.0.1", true)));
        assert!("10.0.0.0/33".parse::<Area>().is_err());
        assert!("10.0.0/8".parse::<Area>().is_err());
        let denies = |area: &str, place: Place| area.parse::<Area>().expect("an area").denies(place);
        assert!(denies("10.0.0.0/8", place("10.0.0.5", true)));
        assert!(denies("0.0.0.0/0", place("169.254.169.254", false)));
    }
}
