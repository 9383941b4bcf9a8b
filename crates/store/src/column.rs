//! A column of numbers in few bytes: runs of the same value, regular steps, and what remains packed by bits.
//!
//! Meter readings are counters, slow curves and clocks, so a column is described by the best of three views: the
//! numbers themselves, the steps between them, and the steps between those. Packing by bits with exceptions was chosen
//! over an entropy coder because chunks are small: it has a header of a few bytes and takes a few nanoseconds a number.

use crate::coding::{Broken, Slice, low_byte, put_signed, put_varint, unzigzag, zigzag};

/// The numbers as they are.
const PLAIN: u8 = 0;
/// The steps between them.
const STEPS: u8 = 1;
/// The steps between the steps.
const BENDS: u8 = 2;
/// In the first byte: a power of ten stands next, by which all numbers were divided.
const SCALED: u8 = 4;
/// The most trailing zeros that are taken out: those of 18 digits.
const POWER_MAX: u32 = 17;

/// What an encoder needs again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    numbers: Vec<i64>,
    view: Vec<i64>,
    best: Vec<i64>,
    ordered: Vec<i64>,
}

/// How a view would be packed.
#[derive(Clone, Copy, Debug)]
struct Plan {
    center: i64,
    width: u32,
    bits: usize,
}

/// Appends the column. Its length is not written: whoever reads must know it.
pub(crate) fn encode(out: &mut Vec<u8>, numbers: &[i64], scratch: &mut Scratch) {
    let Scratch { numbers: divided, view, best, ordered } = scratch;
    let power = common_power(numbers);
    divided.clear();
    match 10_i64.pow(power) {
        1 => divided.extend_from_slice(numbers),
        divisor => divided.extend(numbers.iter().map(|number| number / divisor)),
    }
    best.clear();
    best.extend_from_slice(divided);
    let mut kind = PLAIN;
    let mut plan = Plan::of(best, ordered);
    view.clear();
    view.extend_from_slice(divided);
    for (depth, candidate_kind) in [(1, STEPS), (2, BENDS)] {
        if divided.len() <= depth || plan.bits == 0 {
            break;
        }
        let (firsts, rest) = view.split_at_mut(depth);
        let mut before = firsts.last().copied().unwrap_or_default();
        for number in rest.iter_mut() {
            (before, *number) = (*number, number.wrapping_sub(before));
        }
        let candidate = Plan::of(rest, ordered);
        if candidate.bits + 16 < plan.bits {
            (kind, plan) = (candidate_kind, candidate);
            best.clone_from(view);
        }
    }
    out.push(kind | if power > 0 { SCALED } else { 0 });
    if power > 0 {
        out.push(low_byte(u64::from(power)));
    }
    let depth = usize::from(kind);
    for first in best.iter().take(depth) {
        put_signed(out, *first);
    }
    put_packed(out, best.get(depth..).unwrap_or_default(), plan);
}

/// Reads a column of `count` numbers, appending to `numbers`.
pub(crate) fn decode(slice: &mut Slice<'_>, count: usize, numbers: &mut Vec<i64>) -> Result<(), Broken> {
    let start = numbers.len();
    let kind = slice.byte()?;
    let divisor = if kind & SCALED == 0 {
        1
    } else {
        let power = u32::from(slice.byte()?);
        if power > POWER_MAX {
            return Err(Broken("a power of ten out of range"));
        }
        10_i64.pow(power)
    };
    let depth = usize::from(kind & !SCALED);
    if depth > usize::from(BENDS) {
        return Err(Broken("an unknown kind of column"));
    }
    let firsts = depth.min(count);
    for _ in 0..firsts {
        numbers.push(slice.signed()?);
    }
    take_packed(slice, count - firsts, numbers)?;
    let column = numbers.get_mut(start..).unwrap_or_default();
    for first in (1..=depth).rev() {
        let tail = column.get_mut(first - 1..).unwrap_or_default();
        let mut sum = 0_i64;
        for number in tail {
            sum = sum.wrapping_add(*number);
            *number = sum;
        }
    }
    if divisor > 1 {
        for number in column {
            *number = number.wrapping_mul(divisor);
        }
    }
    Ok(())
}

/// The most zeros in which all numbers end.
fn common_power(numbers: &[i64]) -> u32 {
    let mut power = POWER_MAX;
    let mut divisor = 10_i64.pow(power);
    for &number in numbers {
        while number % divisor != 0 {
            power -= 1;
            divisor /= 10;
        }
        if power == 0 {
            return 0;
        }
    }
    if numbers.iter().all(|&number| number == 0) { 0 } else { power }
}

impl Plan {
    /// The cheapest packing: a center, near which numbers take `width` bits, and exceptions far from it.
    fn of(numbers: &[i64], ordered: &mut Vec<i64>) -> Self {
        let Some((&first, others)) = numbers.split_first() else {
            return Self { center: 0, width: 0, bits: 0 };
        };
        if others.iter().all(|&other| other == first) {
            return Self { center: first, width: 0, bits: 0 };
        }
        ordered.clear();
        ordered.extend_from_slice(numbers);
        let (_, &mut center, _) = ordered.select_nth_unstable(numbers.len() / 2);
        let mut of_width = [0_usize; 65];
        for number in numbers {
            let far = zigzag(number.wrapping_sub(center));
            if let Some(count) = of_width.get_mut((64 - far.leading_zeros()) as usize) {
                *count += 1;
            }
        }
        let mut best = Self { center, width: 64, bits: 64 * numbers.len() };
        let mut exceptions = 0;
        let mut exception_bits = 0;
        for width in (0..=64_u32).rev() {
            let bits = width as usize * numbers.len() + exception_bits;
            if bits <= best.bits {
                best = Self { center, width, bits };
            }
            let count = of_width.get(width as usize).copied().unwrap_or(0);
            exceptions += count;
            exception_bits += count * (8 + (width as usize).div_ceil(7) * 8);
            if exceptions > numbers.len() / 2 {
                break;
            }
        }
        best
    }
}

/// `center | width | exceptions | (gap, number)* | bits`.
fn put_packed(out: &mut Vec<u8>, numbers: &[i64], plan: Plan) {
    put_signed(out, plan.center);
    out.push(low_byte(u64::from(plan.width)));
    let limit = u64::MAX.checked_shr(64 - plan.width).unwrap_or(0);
    let far = |number: &i64| zigzag(number.wrapping_sub(plan.center));
    let exceptions = numbers.iter().filter(|number| far(number) > limit).count();
    put_varint(out, exceptions as u64);
    if exceptions > 0 {
        let mut before = 0;
        for (index, number) in numbers.iter().enumerate().filter(|(_, number)| far(number) > limit) {
            put_varint(out, (index - before) as u64);
            put_varint(out, far(number));
            before = index;
        }
    }
    if plan.width == 0 {
        return;
    }
    let mut held = 0_u128;
    let mut held_bits = 0;
    for number in numbers {
        let far = far(number);
        held |= u128::from(if far > limit { 0 } else { far }) << held_bits;
        held_bits += plan.width;
        while held_bits >= 32 {
            out.extend_from_slice(&low_word(held).to_le_bytes());
            held >>= 32;
            held_bits -= 32;
        }
    }
    let bytes = (held_bits as usize).div_ceil(8);
    out.extend_from_slice(low_word(held).to_le_bytes().get(..bytes).unwrap_or_default());
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest 32 bits are what is asked for")]
const fn low_word(value: u128) -> u32 {
    value as u32
}

fn take_packed(slice: &mut Slice<'_>, count: usize, numbers: &mut Vec<i64>) -> Result<(), Broken> {
    let center = slice.signed()?;
    let width = usize::from(slice.byte()?);
    if width > 64 {
        return Err(Broken("a number of over 64 bits"));
    }
    let exception_count = slice.count()?;
    let mut exceptions = *slice;
    for _ in 0..exception_count {
        slice.varint()?;
        slice.varint()?;
    }
    let start = numbers.len();
    if width == 0 {
        numbers.resize(start + count, center);
    } else {
        let bits = count.checked_mul(width).ok_or(Broken("a count over the body"))?;
        unpack(slice.take(bits.div_ceil(8))?, width, count, center, numbers);
    }
    let mut place = start;
    for _ in 0..exception_count {
        place = usize::try_from(exceptions.varint()?).ok().and_then(|gap| place.checked_add(gap)).unwrap_or(usize::MAX);
        let number = numbers.get_mut(place).ok_or(Broken("an exception beyond its column"))?;
        *number = center.wrapping_add(unzigzag(exceptions.varint()?));
    }
    Ok(())
}

fn unpack(packed: &[u8], width: usize, count: usize, center: i64, numbers: &mut Vec<i64>) {
    let mask = u128::from(u64::MAX.checked_shr(64 - width_bits(width)).unwrap_or(0));
    numbers.extend((0..count).map(|index| {
        let bit = index * width;
        let mut window = [0_u8; 16];
        let from = packed.get(bit / 8..).unwrap_or_default();
        match from.first_chunk::<16>() {
            Some(whole) => window = *whole,
            None => window.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        }
        let far = (u128::from_le_bytes(window) >> (bit % 8)) & mask;
        center.wrapping_add(unzigzag(low_double_word(far)))
    }));
}

#[expect(clippy::cast_possible_truncation, reason = "a width is at most 64")]
const fn width_bits(width: usize) -> u32 {
    width as u32
}

#[expect(clippy::cast_possible_truncation, reason = "masked to 64 bits")]
const fn low_double_word(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Scratch, decode, encode};
    use crate::coding::Slice;

    fn check(numbers: &[i64], bytes_max: usize) {
        let mut out = Vec::new();
        encode(&mut out, numbers, &mut Scratch::default());
        let mut slice = Slice::new(&out);
        let mut back = Vec::new();
        decode(&mut slice, numbers.len(), &mut back).expect("what was written");
        assert_eq!(back, numbers);
        assert!(slice.is_empty());
        assert!(out.len() <= bytes_max, "{} bytes", out.len());
    }

    #[test]
    fn what_meters_send_takes_few_bytes() {
        check(&[], 4);
        check(&[675_170_000], 8);
        check(&[5; 1000], 4);
        check(&(0..1000).map(|minute| 1_790_000_000_000 + minute * 60_000).collect::<Vec<_>>(), 16);
        let counter: Vec<i64> =
            (0..1000).map(|index| 123_450_000 + index * 170_000 + (index * 7 % 13) * 10_000).collect();
        check(&counter, 700);
        let gap: Vec<i64> = (0..1000).map(|index| if index == 500 { i64::MAX } else { index * 60_000 }).collect();
        check(&gap, 60);
    }

    proptest! {
        #[test]
        fn any_column_comes_back(numbers in prop::collection::vec(prop_oneof![any::<i64>(), -100..100_i64, Just(i64::MIN)], 0..200)) {
            check(&numbers, usize::MAX);
        }

        #[test]
        fn any_bytes_are_a_column_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0..200_usize) {
            let mut numbers = Vec::new();
            if decode(&mut Slice::new(&bytes), count, &mut numbers).is_ok() {
                prop_assert_eq!(numbers.len(), count);
            }
        }
    }
}
