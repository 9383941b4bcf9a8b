// One channel over a span as it is drawn: its points, where nothing is stored, what is marked.

import { get } from "./api.js";

/** Below so many readings they are drawn each, with what is known of each. */
const EACH_MAX = 2000;
/** A distance over so many usual ones is a gap. */
const GAP_FACTOR = 2.5;
/** Points that tell what distance is usual. */
const USUAL_MIN = 3;
/** Where a span holds fewer, so many readings tell it, of the time before that is so many spans long. */
const [BEFORE_READINGS, BEFORE_SPANS] = [100, 24];

const iso = (seconds) => new Date(seconds * 1000).toISOString();
const ask = async (what, words, signal) => get(`/api/v1/${what}?${new URLSearchParams(words)}`, signal);
const seconds = (time) => Date.parse(time) / 1000;

/**
 * The course of a channel, `channel` being its `device`, `meter` and `function`, from one second to another, in as many parts
 * as `count` where it has more readings than can be drawn each. A device that says how often it reports gives `every`.
 */
export async function course(channel, { from, to, count, every }, signal) {
  const words = { ...channel, from: iso(from), to: iso(to) };
  const { buckets } = await ask("buckets", { ...words, count }, signal);
  const readings = buckets.reduce((sum, bucket) => sum + bucket.count + bucket.bad, 0);
  const each = readings <= EACH_MAX;
  const points = each
    ? (await ask("readings", { ...words, limit: EACH_MAX }, signal)).readings.map(ofReading)
    : buckets.filter((bucket) => bucket.count + bucket.bad > 0).map(ofBucket);
  const moments = points.map((point) => point.at);
  const usual = distance(moments) ?? distance(await before(channel, from, to, signal)) ?? every ?? Infinity;
  // Of what is still to come nothing can be missing.
  const gaps = gapsOf(moments, usual * GAP_FACTOR, from, Math.min(to, Date.now() / 1000));
  return { each, readings, points, gaps, ...line(points, gaps) };
}

function ofReading(reading) {
  return {
    at: seconds(reading.measured_at),
    value: reading.quality === "good" ? reading.value : null,
    marks: marks(reading.quality !== "good" || reading.value === null, reading.origin === "resumed"),
    known: reading,
  };
}

function ofBucket(bucket) {
  return {
    at: (seconds(bucket.from) + seconds(bucket.to)) / 2,
    value: bucket.mean ?? null,
    marks: marks(bucket.bad > 0, bucket.resumed > 0),
    known: bucket,
  };
}

/** What is marked of a point: both where it is both. */
function marks(isBad, isResumed) {
  return [...(isBad ? ["bad"] : []), ...(isResumed ? ["resumed"] : [])];
}

/** When the channel was measured before the span, and in it. */
async function before(channel, from, to, signal) {
  const words = { ...channel, from: iso(from - (to - from) * BEFORE_SPANS), to: iso(to), limit: BEFORE_READINGS };
  return (await ask("readings", words, signal)).readings.map((reading) => seconds(reading.measured_at));
}

/** The usual distance of moments: the median; none of too few. */
function distance(moments) {
  if (moments.length < USUAL_MIN) return undefined;
  const distances = moments.slice(1).map((moment, place) => moment - moments[place]);
  return distances.sort((one, other) => one - other)[distances.length >> 1];
}

/** Where nothing is stored for longer than `limit`, the ends of the span included: each from and to. */
function gapsOf(moments, limit, from, to) {
  const ends = [from, ...moments, to];
  return ends.slice(1).flatMap((end, place) => (end - ends[place] > limit ? [[ends[place], end]] : []));
}

/** Times and values as they are joined by a line, which a gap breaks. */
function line(points, gaps) {
  const drawn = points.map(({ at, value }) => [at, value]);
  for (const [from, to] of gaps) drawn.push([(from + to) / 2, null]);
  drawn.sort(([one], [other]) => one - other);
  return { times: drawn.map(([at]) => at), values: drawn.map(([, value]) => value) };
}
