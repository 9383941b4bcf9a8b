//! What one core makes of MQTT: a message in and its acknowledgement out, without a broker behind it.
//!
//! `cargo bench -p loggerhead-protocols --bench mqtt`

#![expect(clippy::print_stdout, reason = "figures are what this is for")]
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use loggerhead_protocols::mqtt::decode::read;
use loggerhead_protocols::mqtt::encode::encode;
use loggerhead_protocols::mqtt::message::{Ack, Level, Packet, Publish, Qos};
use loggerhead_protocols::mqtt::properties::Properties;
use loggerhead_protocols::mqtt::reason::Reason;

/// Bytes of a payload.
const PAYLOADS: [usize; 3] = [16, 64, 256];
/// Time for each measurement.
const SPAN: Duration = Duration::from_millis(500);

fn main() {
    for level in [Level::V4, Level::V5] {
        for payload_bytes in PAYLOADS {
            let payload = vec![b'x'; payload_bytes];
            let publish = Publish {
                dup: false,
                qos: Qos::AtLeastOnce,
                retain: false,
                topic: "plant/hall-1/boiler/temperature",
                id: 7,
                properties: Properties::NONE,
                payload: &payload,
            };
            let mut bytes = Vec::new();
            encode(&Packet::Publish(publish), level, &mut bytes);
            let mut out = Vec::with_capacity(64);
            let name = format!("MQTT {}: PUBLISH of {payload_bytes} bytes in, PUBACK out", level.name());
            measure(&name, || {
                let Ok(Some((Packet::Publish(publish), _))) = read(level, black_box(&bytes), usize::MAX) else {
                    return 0;
                };
                out.clear();
                let ack = Ack { id: publish.id, reason: Reason::SUCCESS, properties: Properties::NONE };
                encode(&Packet::PubAck(ack), level, &mut out);
                out.len() + publish.payload.len()
            });
        }
    }
}

/// Prints how long `work` takes.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < SPAN {
        for _ in 0..1000 {
            black_box(work());
        }
        count += 1000;
    }
    println!(
        "{name}: {:.0} ns",
        started.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    );
}
