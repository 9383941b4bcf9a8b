// How fast things go: figures of the API's status, whenever something came in, and their course over the last minutes.

import { get } from "./api.js";
import { steadily } from "./steadily.js";

/** Between two questions, in milliseconds: what came in is seen within a second. */
const LOOK_EVERY = 400;
/** Rates fall that often while nothing comes, in milliseconds. */
const FALL_EVERY = 1000;
/** Over which time a rate is taken, in milliseconds: a logger may report every few seconds only. */
const OVER = 10_000;
/** Rates that are drawn: five minutes, as the server keeps them. */
const DRAWN = 150;
/** A burst, such as what devices kept while they were away, is cut at so many usual rates: it must not flatten the rest. */
const BURST = 2;

const figures = Object.fromEntries(
  [...document.querySelectorAll("#pace [data-figure]")].map((element) => [element.dataset.figure, element]),
);
const canvas = document.getElementById("course");
const seen = [];
/** What is drawn, the newest last. */
let course = [];

/** Below which time a share of the acknowledgements stayed, in milliseconds, between two looks. */
function quantile(before, after, share) {
  const counts = after.ack.map(({ count }, place) => count - before.ack[place].count);
  const all = after.acks - before.acks;
  if (all <= 0) return undefined;
  const place = counts.findIndex((count) => count >= all * share);
  return place < 0 ? Infinity : after.ack[place].at_most_ms;
}

const rounded = (rate) => (rate >= 100 ? Math.round(rate).toLocaleString("en").replaceAll(",", "\u202f") : rate.toFixed(1));

function write(name, text) {
  if (figures[name] && figures[name].textContent !== text) figures[name].textContent = text;
}

function latency(ms) {
  if (ms === undefined) return "–";
  return ms === Infinity ? "> 5 s" : `≤ ${ms < 1 ? ms.toFixed(2) : ms} ms`;
}

/** The rate at the top of the drawing. */
function top() {
  const some = course.filter((rate) => rate > 0).sort((one, other) => one - other);
  const usual = some[some.length >> 1] ?? 1;
  return Math.max(Math.min(Math.max(...course), usual * BURST), 1);
}

function draw() {
  const style = getComputedStyle(canvas);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const most = top();
  const [above, faint] = [parseFloat(style.fontSize) * 1.3, style.getPropertyValue("outline-color")];
  const x = (place) => width - ((course.length - 1 - place) * width) / (DRAWN - 1);
  const y = (rate) => height - 1 - (Math.min(rate, most) / most) * (height - 1 - above);
  pen.strokeStyle = pen.fillStyle = faint;
  pen.lineWidth = 1;
  pen.font = `${style.fontSize} ${style.fontFamily}`;
  for (const rate of [most, most / 2]) {
    pen.globalAlpha = 0.35;
    pen.beginPath();
    pen.moveTo(0, y(rate));
    pen.lineTo(width, y(rate));
    pen.stroke();
    pen.globalAlpha = 1;
    pen.fillText(rounded(rate), 0, y(rate) - 4);
  }
  if (course.length < 2) return;
  pen.beginPath();
  course.forEach((rate, place) => pen.lineTo(x(place), y(rate)));
  pen.strokeStyle = pen.fillStyle = style.color;
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(x(0), height);
  pen.globalAlpha = 0.15;
  pen.fill();
}

/** Takes note of how far things are now. */
function note(pace) {
  const at = performance.now();
  seen.push({ at, pace });
  // The one before that time is kept: a rate needs two.
  while (seen.length > 2 && at - seen[1].at >= OVER) seen.shift();
}

/** Writes how fast things go at the moment. */
function show() {
  const [{ at: begin, pace: before }, { at: end, pace: now }] = [seen[0], seen.at(-1)];
  write("connections", String(now.connections));
  if (begin === end) return;
  const rate = (name) => ((now[name] - before[name]) * 1000) / (end - begin);
  write("readings", rounded(rate("readings")));
  write("packets", rounded(rate("packets")));
  write("ack", latency(quantile(before, now, 0.5)));
  write("ack-slow", latency(quantile(before, now, 0.99)));
}

const look = steadily(LOOK_EVERY, async () => {
  try {
    const { pace } = await get("/api/v1/status");
    note(pace);
    show();
    course = pace.course;
    draw();
  } catch {
    for (const name of Object.keys(figures)) write(name, "–");
    seen.length = 0;
  }
});

setInterval(() => {
  if (document.hidden || seen.length === 0) return;
  // Nothing came since: otherwise it would have been looked at.
  note(seen.at(-1).pace);
  show();
}, FALL_EVERY);
for (const name of ["live", "fresh"]) document.addEventListener(name, look);
look();
new ResizeObserver(draw).observe(canvas);
