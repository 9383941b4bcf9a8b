//! Readings that look like those of meters: counters that rise with the time of day, powers that follow it, voltages that tremble.
//!
//! A value depends on nothing but the logger, its channel and the time, so that a reading sent twice has the same value twice.

use loggerhead_model::{Decimal, Origin, Quality, Reading, Report, ReportBuilder, ReportFull, Timestamp, Value};

/// Bytes of text that a report keeps for a reading, at most: the function's name, and a share of the meter's.
const READING_TEXT_BYTES: usize = 16;
/// Quality code of a valid value.
const CODE_VALID: &str = "192";
/// A day, over which consumption rises and falls.
const DAY_S: f64 = 86_400.0;
/// Counters count from here, so that they stay short: 2024-01-01T00:00:00Z.
const EPOCH_S: i64 = 1_704_067_200;

/// How the value of a function moves.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Counts up, faster by day: kWh with two places.
    Counter,
    /// Follows the time of day: kW with three places.
    Power,
    /// Stays near a value: V with one place.
    Level,
    /// Swings once a day: degrees with three places.
    Angle,
    /// Warmer by day: degrees Celsius with two places.
    Temperature,
    /// Stays near a value: per cent with one place.
    Humidity,
    /// Tells when it was measured: milliseconds since 1970.
    Moment,
}

/// A measured quantity of a meter, numbered as loggers commonly do: energy 1, power 7xx, voltage 5xx, tariff parts 10xx and 11xx.
struct Kind {
    id: u32,
    coding: &'static str,
    shape: Shape,
}

/// What meters measure; a meter with more functions repeats these with the next free numbers.
const KINDS: [Kind; 5] = [
    Kind { id: 1, coding: "01A10", shape: Shape::Counter },
    Kind { id: 701, coding: "01A10", shape: Shape::Power },
    Kind { id: 501, coding: "01A10", shape: Shape::Level },
    Kind { id: 1001, coding: "01A10", shape: Shape::Counter },
    Kind { id: 1101, coding: "01A10", shape: Shape::Counter },
];
/// What a robot reports of itself: its axes.
const AXES: [&str; 6] = ["AxisAct/@A1", "AxisAct/@A2", "AxisAct/@A3", "AxisAct/@A4", "AxisAct/@A5", "AxisAct/@A6"];
/// What it tells of itself every few milliseconds.
const CYCLE: [&str; 12] = [
    "RIst/@X",
    "RIst/@Y",
    "RIst/@Z",
    "RIst/@A",
    "RIst/@B",
    "RIst/@C",
    "AIPos/@A1",
    "AIPos/@A2",
    "AIPos/@A3",
    "AIPos/@A4",
    "AIPos/@A5",
    "AIPos/@A6",
];
/// What a sensor without a protocol tells.
pub(super) const SENSOR: [&str; 2] = ["temperature", "humidity"];
/// Most functions of one meter: beyond it, names would repeat.
pub(super) const FUNCTIONS_MAX: u32 = 500;

struct Function {
    id: String,
    coding: &'static str,
    shape: Shape,
}

/// What every simulated device measures; shared by all of them.
pub(crate) struct Meters {
    names: Vec<String>,
    functions: Vec<Function>,
    /// The quality code of every value.
    code: &'static str,
}

impl Meters {
    /// `meters` meters with `functions` functions each.
    pub(crate) fn new(meters: u32, functions: u32) -> Self {
        let count = u32::try_from(KINDS.len()).unwrap_or(u32::MAX);
        let function = |index: u32| {
            let kind = KINDS.get((index % count) as usize).expect("the remainder is within the table");
            Function { id: (kind.id + index / count).to_string(), coding: kind.coding, shape: kind.shape }
        };
        Self {
            names: (1..=meters).map(|meter| meter.to_string()).collect(),
            functions: (0..functions).map(function).collect(),
            code: CODE_VALID,
        }
    }

    /// The axes of a robot, which sends no quality codes.
    pub(crate) fn robot() -> Self {
        let axis = |id: &str| Function { id: id.to_owned(), coding: "", shape: Shape::Angle };
        Self { names: vec!["Robot".to_owned()], functions: AXES.into_iter().map(axis).collect(), code: "" }
    }

    /// The cycles of a robot: its axes and where its tool is.
    pub(crate) fn cycle() -> Self {
        let value = |id: &str| Function { id: id.to_owned(), coding: "", shape: Shape::Angle };
        let functions = CYCLE.into_iter().map(value).collect();
        Self { names: vec!["Rob".to_owned()], functions, code: "" }
    }

    /// The alarms of a camera, whose type says when it was raised, for those who are told of it.
    pub(crate) fn camera() -> Self {
        let alarm = Function { id: "alarm".to_owned(), coding: "", shape: Shape::Moment };
        Self { names: vec!["camera".to_owned()], functions: vec![alarm], code: "" }
    }

    /// What a sensor without a protocol measures, which has no meters.
    pub(crate) fn sensor() -> Self {
        let shapes = [Shape::Temperature, Shape::Humidity];
        let value = |(id, shape): (&str, Shape)| Function { id: id.to_owned(), coding: "", shape };
        let functions = SENSOR.into_iter().zip(shapes).map(value).collect();
        Self { names: vec![String::new()], functions, code: "" }
    }

    /// How many readings a report has.
    pub(crate) fn readings(&self) -> usize {
        self.names.len() * self.functions.len()
    }

    /// What the meters of the logger number `logger` show at `measured_at`.
    ///
    /// # Errors
    /// `ReportFull` when there are more meters and functions than a report may hold.
    pub(crate) fn report(&self, logger: u64, origin: Origin, measured_at: Timestamp) -> Result<Report, ReportFull> {
        let readings = self.readings();
        let mut builder = ReportBuilder::new(origin, readings * READING_TEXT_BYTES, readings);
        let clock = Clock::at(measured_at);
        let mut channel = logger << 32;
        for name in &self.names {
            builder.meter(name, "")?;
            for function in &self.functions {
                channel += 1;
                builder.reading(&Reading {
                    meter: name,
                    function: &function.id,
                    coding: function.coding,
                    code: self.code,
                    quality: Quality::Good,
                    measured_at,
                    value: Value::Decimal(clock.value(function.shape, channel)),
                    attributes: "",
                })?;
            }
        }
        Ok(builder.finish())
    }
}

/// The time of day as all values of one report need it.
struct Clock {
    unix_ms: i64,
    seconds: i64,
    /// Consumption since `EPOCH_S`, in seconds at mean power.
    consumed_s: i64,
    /// Power now, in thousandths of the mean.
    power_per_mille: i64,
}

impl Clock {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "seconds of a human age fit both")]
    fn at(measured_at: Timestamp) -> Self {
        let unix_ms = measured_at.unix_ms();
        let seconds = unix_ms.div_euclid(1000);
        let since = (seconds - EPOCH_S) as f64;
        let angle = std::f64::consts::TAU * since / DAY_S;
        // The integral of `1 - 0.7 cos(angle)`: a counter rises by exactly the power that is shown.
        let consumed = since - 0.7 * angle.sin() * DAY_S / std::f64::consts::TAU;
        Self { unix_ms, seconds, consumed_s: consumed as i64, power_per_mille: (1000.0 - 700.0 * angle.cos()) as i64 }
    }

    fn value(&self, shape: Shape, channel: u64) -> Decimal {
        let character = scatter(channel);
        match shape {
            Shape::Counter => {
                // 1 to 64 kW; 3600 kWs to the kWh, in hundredths of a kWh.
                let kilowatts = i64::from(character % 64) + 1;
                Decimal { mantissa: self.consumed_s * kilowatts / 36 + i64::from(character >> 8), scale: 2 }
            }
            Shape::Power => {
                let kilowatts = i64::from(character % 64) + 1;
                Decimal { mantissa: self.power_per_mille * kilowatts + self.tremble(channel, 256), scale: 3 }
            }
            Shape::Angle => {
                Decimal { mantissa: (self.power_per_mille - 1_000) * 100 + self.tremble(channel, 256), scale: 3 }
            }
            Shape::Temperature => {
                Decimal { mantissa: 1_150 + self.power_per_mille + self.tremble(channel, 32), scale: 2 }
            }
            Shape::Humidity => Decimal { mantissa: 450 + self.tremble(channel, 100), scale: 1 },
            Shape::Moment => Decimal { mantissa: self.unix_ms, scale: 0 },
            Shape::Level => Decimal { mantissa: 2_290 + self.tremble(channel, 32), scale: 1 },
        }
    }

    /// A number below `range` that changes from second to second.
    fn tremble(&self, channel: u64, range: u32) -> i64 {
        i64::from(scatter(channel ^ self.seconds.cast_unsigned().rotate_left(20)) % range)
    }
}

/// A number that looks random and is always the same for the same input (the finaliser of SplitMix64).
fn scatter(input: u64) -> u32 {
    let mixed = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 40) as u32
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{Origin, Timestamp};

    use super::{FUNCTIONS_MAX, Meters};

    const NOON_MS: i64 = 1_767_355_200_000;

    fn values(meters: &Meters, logger: u64, unix_ms: i64) -> Vec<(String, String, f64)> {
        let report = meters.report(logger, Origin::Live, Timestamp::from_unix_ms(unix_ms)).expect("a small report");
        let value = |reading: loggerhead_model::Reading<'_>| {
            (reading.meter.to_owned(), reading.function.to_owned(), reading.value.number().expect("a number"))
        };
        report.readings().map(value).collect()
    }

    #[test]
    fn the_same_time_gives_the_same_values_and_another_logger_others() {
        let meters = Meters::new(3, 4);
        assert_eq!(values(&meters, 7, NOON_MS), values(&meters, 7, NOON_MS));
        assert_ne!(values(&meters, 7, NOON_MS), values(&meters, 8, NOON_MS));
        assert_eq!(values(&meters, 7, NOON_MS).len(), meters.readings());
    }

    #[test]
    fn counters_never_fall_and_rise_over_a_day() {
        let meters = Meters::new(1, 1);
        let mut before = f64::MIN;
        for minute in 0..24 * 60 {
            let (_, _, now) = values(&meters, 1, NOON_MS + minute * 60_000).remove(0);
            assert!(now >= before, "minute {minute}: {now} after {before}");
            before = now;
        }
        assert!(before > values(&meters, 1, NOON_MS).remove(0).2);
    }

    #[test]
    fn no_channel_is_named_twice() {
        let meters = Meters::new(4, FUNCTIONS_MAX);
        let mut channels: Vec<_> =
            values(&meters, 1, NOON_MS).into_iter().map(|(meter, function, _)| (meter, function)).collect();
        let count = channels.len();
        channels.sort();
        channels.dedup();
        assert_eq!(channels.len(), count);
    }
}
