// The course of channels over any span: buckets from the server, gaps as gaps, marks for bad and resumed readings.
//
// The address holds what is shown: `span=24h` up to now, or `from` and `to`; `channel=METER/FUNCTION`, any number of them.

import uPlot from "./vendor/uplot/uPlot.js";
import { get, tell } from "./api.js";
import { language, t } from "./texts.js";
import { wholeMoment } from "./times.js";

/** Below so many readings they are drawn each, with what is known of each. */
const EACH_MAX = 2000;
/** A distance over so many usual ones is a gap. */
const GAP_FACTOR = 2.5;
/** Rows of the table: more are downloaded instead. */
const ROWS_MAX = 1000;
/** Series that can be told apart. */
const SERIES_MAX = 6;
/** While the end is now, the course is drawn anew so often at most, in milliseconds. */
const FOLLOW_EVERY = 2000;
const UNITS = { m: 60, h: 3600, d: 86400 };

const section = document.getElementById("chart");
const plotPlace = document.getElementById("plot");
const boxes = [...document.querySelectorAll('input[name="channel"]')];
const device = section.dataset.device;
let view = read();
let plot;
let asking;

function spanSeconds(word) {
  const match = /^(\d+)([mhd])$/.exec(word ?? "");
  return match ? Number(match[1]) * UNITS[match[2]] : undefined;
}

/** What the address says. */
function read() {
  const words = new URLSearchParams(location.search);
  const [from, to] = [Date.parse(words.get("from")), Date.parse(words.get("to"))];
  const channels = words.getAll("channel");
  for (const box of channels.length ? boxes : []) box.checked = channels.includes(box.value);
  if (from < to) return { from: from / 1000, to: to / 1000 };
  return { span: spanSeconds(words.get("span")) ? words.get("span") : "1h" };
}

function bounds() {
  if (view.span === undefined) return [view.from, view.to];
  const now = Date.now() / 1000;
  return [now - spanSeconds(view.span), now];
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();
const chosen = () => boxes.filter((box) => box.checked).slice(0, SERIES_MAX);

/** Puts what is shown into the address. */
function write() {
  const words = new URLSearchParams();
  if (view.span !== undefined) words.set("span", view.span);
  else {
    words.set("from", iso(view.from));
    words.set("to", iso(view.to));
  }
  for (const box of chosen()) words.append("channel", box.value);
  history.replaceState(null, "", `?${words}${location.hash}`);
  for (const link of document.querySelectorAll("[data-span]")) {
    if (link.dataset.span === view.span) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** One channel over a span: its points, and what is known of each. */
async function course(box, from, to, signal) {
  const words = { device, meter: box.dataset.meter, function: box.dataset.function, from: iso(from), to: iso(to) };
  const count = Math.max(50, Math.min(2000, Math.round(plotPlace.clientWidth / 2) || 500));
  const { buckets } = await get(`/api/v1/buckets?${new URLSearchParams({ ...words, count })}`, signal);
  const readings = buckets.reduce((sum, bucket) => sum + bucket.count + bucket.bad, 0);
  if (readings <= EACH_MAX) {
    const each = await get(`/api/v1/readings?${new URLSearchParams({ ...words, limit: EACH_MAX })}`, signal);
    return {
      box,
      each: true,
      points: each.readings.map((reading) => ({
        at: Date.parse(reading.measured_at) / 1000,
        value: reading.quality === "good" ? reading.value : null,
        shown: reading.text,
        bad: reading.quality !== "good" || reading.value === null,
        resumed: reading.origin === "resumed",
        known: reading,
      })),
    };
  }
  return {
    box,
    each: false,
    points: buckets
      .filter((bucket) => bucket.count + bucket.bad > 0)
      .map((bucket) => ({
        at: (Date.parse(bucket.from) + Date.parse(bucket.to)) / 2000,
        value: bucket.mean ?? null,
        min: bucket.min,
        max: bucket.max,
        bad: bucket.bad > 0,
        resumed: bucket.resumed > 0,
        known: bucket,
      })),
  };
}

/** The usual distance of points: the median. */
function usual(points) {
  const distances = points.slice(1).map((point, place) => point.at - points[place].at).sort((one, other) => one - other);
  return distances[distances.length >> 1] ?? Infinity;
}

/** The points with a hole wherever more is missing than usual, and where the holes are. */
function withGaps(points) {
  const limit = usual(points) * GAP_FACTOR;
  const [times, values, gaps] = [[], [], []];
  points.forEach((point, place) => {
    const before = points[place - 1];
    if (before && point.at - before.at > limit) {
      times.push((before.at + point.at) / 2);
      values.push(null);
      gaps.push([before.at, point.at]);
    }
    times.push(point.at);
    values.push(point.value);
  });
  return { times, values, gaps };
}

const colour = (name) => {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  section.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

/** Draws gaps as hatched bands, and marks what is bad or was resumed. */
function marks(courses) {
  return {
    hooks: {
      drawClear: (chart) => {
        const pen = chart.ctx;
        pen.save();
        pen.fillStyle = colour("raised");
        for (const { gaps } of courses) {
          for (const [from, to] of gaps) {
            const [left, right] = [chart.valToPos(from, "x", true), chart.valToPos(to, "x", true)];
            pen.fillRect(left, chart.bbox.top, right - left, chart.bbox.height);
          }
        }
        pen.restore();
      },
      draw: (chart) => {
        const pen = chart.ctx;
        const size = 4 * devicePixelRatio;
        pen.save();
        pen.lineWidth = 1.5 * devicePixelRatio;
        courses.forEach(({ points }, place) => {
          const scale = chart.series[place + 1].scale;
          for (const point of points) {
            if (!point.bad && !point.resumed) continue;
            const x = chart.valToPos(point.at, "x", true);
            if (x < chart.bbox.left || x > chart.bbox.left + chart.bbox.width) continue;
            if (point.bad) {
              const y = chart.bbox.top + chart.bbox.height - 2 * size;
              pen.strokeStyle = colour("bad");
              pen.beginPath();
              pen.moveTo(x - size, y - size);
              pen.lineTo(x + size, y + size);
              pen.moveTo(x + size, y - size);
              pen.lineTo(x - size, y + size);
              pen.stroke();
            } else if (point.value !== null) {
              const y = chart.valToPos(point.value, scale, true);
              pen.strokeStyle = colour("warn");
              pen.strokeRect(x - size / 2, y - size / 2, size, size);
            }
          }
        });
        pen.restore();
      },
    },
  };
}

function label(box) {
  const unit = box.dataset.unit ? ` (${box.dataset.unit})` : "";
  return `${box.dataset.meter} / ${box.dataset.function}${unit}`;
}

function draw(courses, from, to) {
  const [text, line] = [colour("faint"), colour("line")];
  const units = [...new Set(courses.map(({ box }) => box.dataset.unit ?? ""))];
  const scaleOf = (box) => `y${Math.min(units.indexOf(box.dataset.unit ?? ""), 1)}`;
  const tables = courses.map(({ times, values }) => [times, values]);
  const data = tables.length ? uPlot.join(tables, tables.map(() => [2, 2])) : [[from, to]];
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  // As wide as the longest number needs.
  const size = (chart, texts) => Math.max(40, ...(texts ?? []).map((text) => chart.ctx.measureText(text).width / devicePixelRatio + 22));
  const options = {
    width: plotPlace.clientWidth || 600,
    height: Math.max(220, Math.min(460, innerHeight * 0.42)),
    scales: { x: { time: true, range: () => [from, to] } },
    axes: [
      { ...axis, values: (_, splits) => splits.map((at, place) => tick(at, splits[1] - splits[0], place)) },
      { ...axis, scale: "y0", size, label: units[0] || undefined, labelSize: 18, labelGap: 4 },
      ...(units.length > 1 ? [{ ...axis, scale: "y1", side: 1, size, label: units[1], labelSize: 18, labelGap: 4, grid: { show: false } }] : []),
    ],
    series: [
      { label: t("js.time"), value: (_, at) => (at == null ? "–" : wholeMoment(new Date(at * 1000))) },
      ...courses.map(({ box }, place) => ({
        label: label(box),
        scale: scaleOf(box),
        stroke: colour(`series-${place + 1}`),
        width: 1.6,
        dash: place < 3 ? undefined : [6, 3],
        spanGaps: false,
        value: (_, value) => (value == null ? "–" : value.toLocaleString(language, { maximumFractionDigits: 3 })),
      })),
    ],
    cursor: { drag: { x: true, y: false, setScale: false } },
    legend: { live: true },
    plugins: [marks(courses)],
    hooks: {
      setSelect: [
        (chart) => {
          if (chart.select.width < 5) return;
          const [left, right] = [chart.select.left, chart.select.left + chart.select.width];
          show(chart.posToVal(left, "x"), chart.posToVal(right, "x"));
        },
      ],
    },
  };
  plot?.destroy();
  plot = new uPlot(options, data, plotPlace);
  plot.over.addEventListener("dblclick", () => move("wider"));
}

function tick(at, step, place) {
  const date = new Date(at * 1000);
  const clock = date.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", second: step < 60 ? "2-digit" : undefined, hourCycle: "h23" });
  if (step >= 86400) return date.toLocaleDateString(language, { month: "short", day: "numeric", year: step > 86400 * 200 ? "2-digit" : undefined });
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0;
  return isMidnight || (place === 0 && step >= 3600) ? `${clock}\n${date.toLocaleDateString(language, { month: "short", day: "numeric" })}` : clock;
}

function cell(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** The same in rows, for those who do not look at drawings and those who want numbers. */
function fill(courses) {
  const head = document.createElement("tr");
  const columns = courses.some(({ each }) => each)
    ? ["js.time", "js.channel", "js.value", "js.quality", "js.origin"]
    : ["js.time", "js.channel", "js.mean", "js.min", "js.max", "js.count"];
  for (const key of columns) head.append(Object.assign(cell("th", t(key)), { scope: "col" }));
  const rows = courses.flatMap(({ box, points, each }) => points.map((point) => ({ box, point, each })));
  rows.sort((one, other) => other.point.at - one.point.at);
  const body = rows.slice(0, ROWS_MAX).map(({ box, point, each }) => {
    const row = document.createElement("tr");
    const { known } = point;
    const texts = each
      ? [point.shown, t(`js.quality_${known.quality}`), t(`js.origin_${known.origin}`)]
      : columns.length === 5
        ? [known.mean ?? "–", known.bad ? t("js.quality_bad") : t("js.quality_good"), `${known.count}`]
        : [known.mean ?? "–", known.min ?? "–", known.max ?? "–", known.count];
    row.append(cell("td", wholeMoment(new Date(point.at * 1000))), cell("td", label(box)), ...texts.map((text) => cell("td", String(text))));
    return row;
  });
  const [thead, tbody] = [document.createElement("thead"), document.createElement("tbody")];
  thead.append(head);
  tbody.append(...body);
  document.getElementById("rows").replaceChildren(thead, tbody);
}

/** Where what is shown can be downloaded. */
function linkDownloads(from, to) {
  for (const link of document.querySelectorAll("[data-format]")) {
    const words = new URLSearchParams({ device, from: iso(from), to: iso(to), format: link.dataset.format });
    words.set("channels", chosen().map((box) => box.value).join(","));
    link.href = `/api/v1/download?${words}`;
  }
}

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const [from, to] = bounds();
  try {
    const courses = await Promise.all(chosen().map((box) => course(box, from, to, signal)));
    for (const one of courses) Object.assign(one, withGaps(one.points));
    draw(courses, from, to);
    fill(courses);
    linkDownloads(from, to);
    const gaps = courses.reduce((sum, { gaps }) => sum + gaps.length, 0);
    const readings = courses.reduce((sum, { points, each }) => sum + (each ? points.length : points.reduce((all, { known }) => all + known.count + known.bad, 0)), 0);
    const said = t(readings > 0 ? "js.shown" : "js.shown_none", { from: wholeMoment(new Date(from * 1000)), to: wholeMoment(new Date(to * 1000)), readings, gaps });
    const shown = document.getElementById("shown");
    if (shown.textContent !== said) shown.textContent = said;
    plotPlace.dataset.gaps = gaps;
    plotPlace.dataset.points = courses.reduce((sum, { points }) => sum + points.length, 0);
    plotPlace.dataset.drawn = "yes";
  } catch (problem) {
    if (problem.name !== "AbortError") tell(problem.message);
  }
}

/** Shows a span that was chosen. */
function show(from, to) {
  const least = 10;
  const middle = (from + to) / 2;
  view = to - from < least ? { from: middle - least / 2, to: middle + least / 2 } : { from, to };
  write();
  refresh();
}

function move(how) {
  const [from, to] = bounds();
  const length = to - from;
  switch (how) {
    case "earlier":
      return show(from - length / 2, to - length / 2);
    case "later":
      return show(from + length / 2, to + length / 2);
    case "closer":
      return show(from + length / 4, to - length / 4);
    case "wider":
      return show(from - length / 2, to + length / 2);
  }
}

section.addEventListener("click", (event) => {
  const span = event.target.closest("[data-span]");
  if (span) {
    event.preventDefault();
    view = { span: span.dataset.span };
    write();
    refresh();
  }
  const how = event.target.closest("[data-move]")?.dataset.move;
  if (how) move(how);
});
section.addEventListener("change", (event) => {
  if (event.target.name !== "channel") return;
  if (boxes.filter((box) => box.checked).length > SERIES_MAX) {
    event.target.checked = false;
    tell(t("js.series_max", { count: SERIES_MAX }));
    return;
  }
  write();
  refresh();
});
plotPlace?.addEventListener("keydown", (event) => {
  const how = { ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "=": "closer", "-": "wider" }[event.key];
  if (!how) return;
  event.preventDefault();
  move(how);
});
plotPlace?.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    move(event.shiftKey ? (event.deltaY + event.deltaX > 0 ? "later" : "earlier") : event.deltaY > 0 ? "wider" : "closer");
  },
  { passive: false },
);

let followedAt = 0;
document.addEventListener("live", ({ detail }) => {
  if (detail.name !== "readings" || view.span === undefined || !plotPlace) return;
  const due = followedAt + FOLLOW_EVERY - performance.now();
  if (due > 0) return;
  followedAt = performance.now();
  refresh();
});
if (plotPlace) new ResizeObserver(() => plot && plot.width !== plotPlace.clientWidth && plot.setSize({ width: plotPlace.clientWidth, height: plot.height })).observe(plotPlace);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot && refresh());
if (plotPlace) {
  write();
  refresh();
}
