//! Takes TCP segments out of pcap and pcapng files.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use loggerhead_model::Timestamp;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError};

use super::InspectError;
use super::streams::Segment;

/// First size of the reader's buffer; it grows for larger blocks.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Largest block: jumbo frames and offloaded segments are far below.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes before the packet under Linux's "any" interface, old and new form.
const COOKED_BYTES: usize = 16;
const COOKED2_BYTES: usize = 20;
/// Bytes before the packet on BSD's loopback.
const LOOPBACK_BYTES: usize = 4;

/// How packets of an interface are written.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Parts of a second in a time.
    resolution: u64,
    offset_s: i64,
}

/// What cannot be shown, counted.
#[derive(Default)]
struct Passed {
    other_links: u64,
    other_packets: u64,
}

/// Why the reader gives no block.
enum Stopped {
    /// Its buffer holds a part of one.
    Short,
    /// Its buffer is too small for one.
    Full,
    Damaged(&'static str),
}

/// Gives every TCP segment of a capture to `each`, in the order of the capture. Gives back what people should know.
///
/// # Errors
/// `NoCapture` when the file is damaged at its beginning, `Block` when a block is too large, or what `each` says.
pub(super) fn read(
    bytes: &[u8],
    each: &mut dyn FnMut(Segment<'_>) -> Result<(), InspectError>,
) -> Result<Vec<String>, InspectError> {
    let mut reader =
        pcap_parser::create_reader(BUFFER_BYTES, bytes).map_err(|error| InspectError::NoCapture(reason(&error)))?;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut passed = Passed::default();
    let mut notes = Vec::new();
    let mut size = BUFFER_BYTES;
    let mut number = 0;
    loop {
        let stopped = match reader.next() {
            Ok((length, block)) => {
                if let Some((interface, at, packet)) = packet(&block, &mut interfaces) {
                    number += 1;
                    if let Some(segment) = segment(interface, number, at, packet, &mut passed) {
                        each(segment)?;
                    }
                }
                drop(block);
                reader.consume(length);
                continue;
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => Stopped::Short,
            Err(PcapError::BufferTooSmall) => Stopped::Full,
            Err(error) => Stopped::Damaged(reason(&error)),
        };
        match stopped {
            Stopped::Short if reader.reader_exhausted() => {
                notes.push("the capture ends in the middle of a packet".to_owned());
                break;
            }
            Stopped::Short => reader.refill().map_err(|error| InspectError::NoCapture(reason(&error)))?,
            Stopped::Full => {
                size *= 2;
                if size > BLOCK_BYTES_MAX || !reader.grow(size) {
                    return Err(InspectError::Block(BLOCK_BYTES_MAX));
                }
            }
            Stopped::Damaged(reason) => {
                notes.push(format!("the capture is damaged after packet {number}: {reason}"));
                break;
            }
        }
    }
    if passed.other_links > 0 {
        notes.push(format!("{} packets of interfaces that this program does not know", passed.other_links));
    }
    if passed.other_packets > 0 {
        notes.push(format!("{} packets are not TCP, or are fragments", passed.other_packets));
    }
    Ok(notes)
}

/// What went wrong, without the bytes.
fn reason<I>(error: &PcapError<I>) -> &'static str {
    match error {
        PcapError::Eof => "it is empty",
        PcapError::BufferTooSmall => "a block is too large",
        PcapError::UnexpectedEof | PcapError::Incomplete(_) => "it ends too early",
        PcapError::ReadError => "it cannot be read",
        PcapError::HeaderNotRecognized => "its head is neither that of pcap nor of pcapng",
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "its blocks do not fit together",
    }
}

/// The packet in a block, with its interface and its time.
fn packet<'a>(
    block: &'a PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
) -> Option<(Interface, Timestamp, &'a [u8])> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            *interfaces = vec![Interface { link: header.network, resolution, offset_s: 0 }];
            None
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = *interfaces.first()?;
            let at = moment(interface, u64::from(packet.ts_sec), u64::from(packet.ts_usec));
            Some((interface, at, packet.data))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(about)) => {
            let resolution = about.ts_resolution().unwrap_or(1_000_000).max(1);
            interfaces.push(Interface { link: about.linktype, resolution, offset_s: about.ts_offset() });
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = *interfaces.get(usize::try_from(packet.if_id).ok()?)?;
            let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let at = moment(interface, ticks / interface.resolution, ticks % interface.resolution);
            Some((interface, at, packet.packet_data()))
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let length = usize::try_from(packet.origlen).unwrap_or(usize::MAX).min(packet.data.len());
            Some((*interfaces.first()?, Timestamp::default(), packet.data.get(..length)?))
        }
        PcapBlockOwned::NG(_) => None,
    }
}

fn moment(interface: Interface, seconds: u64, parts: u64) -> Timestamp {
    let ms = u128::from(parts) * 1000 / u128::from(interface.resolution);
    let seconds = i64::try_from(seconds).unwrap_or(0).saturating_add(interface.offset_s);
    Timestamp::from_unix_ms(seconds.saturating_mul(1000).saturating_add(i64::try_from(ms).unwrap_or(0)))
}

fn segment<'a>(
    interface: Interface,
    number: u64,
    at: Timestamp,
    packet: &'a [u8],
    passed: &mut Passed,
) -> Option<Segment<'a>> {
    let ip = |skip: usize| LaxSlicedPacket::from_ip(packet.get(skip..)?).ok();
    let sliced = match interface.link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(packet).ok(),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => ip(0),
        Linktype::NULL | Linktype::LOOP => ip(LOOPBACK_BYTES),
        Linktype::LINUX_SLL => ip(COOKED_BYTES),
        Linktype::LINUX_SLL2 => ip(COOKED2_BYTES),
        _ => {
            passed.other_links += 1;
            return None;
        }
    };
    let found = sliced.and_then(|sliced| {
        let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
            Some(LaxNetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            Some(LaxNetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            Some(LaxNetSlice::Arp(_)) | None => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { return None };
        Some(Segment {
            from: SocketAddr::new(source, tcp.source_port()),
            to: SocketAddr::new(destination, tcp.destination_port()),
            sequence: tcp.sequence_number(),
            opens: tcp.syn(),
            answers: tcp.ack(),
            bytes: tcp.payload(),
            packet: number,
            at,
        })
    });
    if found.is_none() {
        passed.other_packets += 1;
    }
    found
}
