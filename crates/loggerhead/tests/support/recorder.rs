//! Stands between devices and a head-end and writes down what both say, as somebody with a packet sniffer would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// The link type of packets that begin with their IP header.
const LINK_RAW: u16 = 101;
/// An IPv4 header and a TCP header, both without options.
const HEADER_BYTES: usize = 20 + 20;

/// Something said by one side.
struct Said {
    from: SocketAddrV4,
    to: SocketAddrV4,
    /// Where it begins in what this side says.
    offset: u32,
    bytes: Vec<u8>,
}

/// Passes connections on and keeps what was said.
pub(crate) struct Recorder {
    address: String,
    said: Arc<Mutex<Vec<Said>>>,
}

impl Recorder {
    /// Begins to pass connections on to `to`.
    pub(crate) fn start(to: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (said, to) = (Arc::new(Mutex::new(Vec::new())), to.to_owned());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                let head_end = TcpStream::connect(&to).expect("the head-end listens");
                pass_on(&device, &head_end, &heard);
            }
        });
        Self { address, said }
    }

    /// Where devices connect to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What was said, as packets of raw IP.
    fn packets(&self) -> Vec<Vec<u8>> {
        self.said.lock().expect("no holder panics").iter().map(packet).collect()
    }

    /// What was said so far, as a pcap file.
    pub(crate) fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        // Magic number, version 2.4, zone, accuracy, longest packet, link type.
        for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 0x0004_0000, u32::from(LINK_RAW)] {
            file.extend(u32::to_le_bytes(word));
        }
        for (second, packet) in (0..).zip(self.packets()) {
            let length = u32::try_from(packet.len()).expect("a packet is short");
            for word in [1_769_875_199 + second, 0, length, length] {
                file.extend(u32::to_le_bytes(word));
            }
            file.extend(packet);
        }
        file
    }

    /// What was said so far, as a pcapng file.
    pub(crate) fn pcapng(&self) -> Vec<u8> {
        let mut file = Vec::new();
        // Byte order, version 1.0, a section of unknown length.
        block(&mut file, 0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], &[]);
        block(&mut file, 1, &[u32::from(LINK_RAW), 0x0004_0000], &[]);
        for packet in self.packets() {
            let length = u32::try_from(packet.len()).expect("a packet is short");
            block(&mut file, 6, &[0, 0x0006_0000, 0, length, length], &packet);
        }
        file
    }
}

/// Appends a block of a pcapng file.
fn block(file: &mut Vec<u8>, kind: u32, words: &[u32], bytes: &[u8]) {
    let padding = bytes.len().next_multiple_of(4) - bytes.len();
    let length = u32::try_from(12 + 4 * words.len() + bytes.len() + padding).expect("a block is short");
    for word in [kind, length].iter().chain(words) {
        file.extend(u32::to_le_bytes(*word));
    }
    file.extend(bytes);
    file.extend(std::iter::repeat_n(0, padding));
    file.extend(u32::to_le_bytes(length));
}

/// The packet that carries something said: IPv4 and TCP without checksums, as a sniffer sees what the card completes.
fn packet(said: &Said) -> Vec<u8> {
    let length = u16::try_from(HEADER_BYTES + said.bytes.len()).expect("a piece is short");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(said.from.ip().octets());
    packet.extend(said.to.ip().octets());
    packet.extend(said.from.port().to_be_bytes());
    packet.extend(said.to.port().to_be_bytes());
    packet.extend(said.offset.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(&said.bytes);
    packet
}

fn pass_on(device: &TcpStream, head_end: &TcpStream, heard: &Arc<Mutex<Vec<Said>>>) {
    let v4 = |address: std::io::Result<std::net::SocketAddr>| match address {
        Ok(std::net::SocketAddr::V4(address)) => address,
        other => panic!("an IPv4 address, not {other:?}"),
    };
    let ends = (v4(device.peer_addr()), v4(head_end.peer_addr()));
    for (source, sink, from, to) in [(device, head_end, ends.0, ends.1), (head_end, device, ends.1, ends.0)] {
        let (mut source, mut sink) = (source.try_clone().expect("a socket"), sink.try_clone().expect("a socket"));
        let heard = Arc::clone(heard);
        std::thread::spawn(move || {
            let (mut piece, mut offset) = (vec![0; PIECE_BYTES], 0);
            while let Ok(count @ 1..) = source.read(&mut piece) {
                let bytes = piece.get(..count).unwrap_or_default().to_vec();
                let next = offset + u32::try_from(count).expect("a piece is short");
                // Written down first, so that whoever has heard it finds it here.
                heard.lock().expect("no holder panics").push(Said { from, to, offset, bytes: bytes.clone() });
                offset = next;
                if sink.write_all(&bytes).is_err() {
                    break;
                }
            }
            // The other side may be gone already.
            let _ = sink.shutdown(Shutdown::Write);
        });
    }
}
