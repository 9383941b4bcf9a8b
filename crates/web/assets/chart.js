// The course of channels over any span: buckets from the server, gaps as gaps, marks for bad and resumed readings.
//
// The address holds what is shown: `span=24h` up to now, or `from` and `to`; `channel=METER/FUNCTION`, any number of them.

import uPlot from "./vendor/uplot/uPlot.js";
import { tell } from "./api.js";
import { course } from "./course.js";
import { steadily } from "./steadily.js";
import { language, t } from "./texts.js";
import { wholeMoment } from "./times.js";

/** Rows of the table: more are downloaded instead. */
const ROWS_MAX = 1000;
/** Series that can be told apart. */
const SERIES_MAX = 6;
/** While the end is now, the course is drawn anew so often at most, in milliseconds: what is new is seen within a second. */
const FOLLOW_EVERY = 400;
/** Of what reports at least so often, in seconds, the last minutes are shown at first. */
const QUICK_S = 10;
/** Between two times below the course, in pixels: what a time to the second takes. */
const TICK_SPACE = 84;
const UNITS = { m: 60, h: 3600, d: 86400 };

const section = document.getElementById("chart");
const plotPlace = document.getElementById("plot");
const boxes = [...document.querySelectorAll('input[name="channel"]')];
const device = section.dataset.device;
let view = read();
let asking;
/** What is drawn, channel by channel, and where. */
export let shown = [];
export let plot;

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
  return { span: spanSeconds(words.get("span")) ? words.get("span") : Number(section.dataset.every ?? Infinity) <= QUICK_S ? "5m" : "1h" };
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

const colour = (name) => {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  section.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

/** Draws gaps as bands behind the lines, and marks what is bad or was resumed. */
const marks = {
  hooks: {
    drawClear: (chart) => {
      const pen = chart.ctx;
      pen.save();
      pen.fillStyle = colour("raised");
      for (const [from, to] of shown.flatMap(({ gaps }) => gaps)) {
        const [left, right] = [chart.valToPos(from, "x", true), chart.valToPos(to, "x", true)];
        pen.fillRect(left, chart.bbox.top, right - left, chart.bbox.height);
      }
      pen.restore();
    },
    draw: (chart) => {
      const pen = chart.ctx;
      const size = 4 * devicePixelRatio;
      const { left, top, width, height } = chart.bbox;
      const [bad, warn] = [colour("bad"), colour("warn")];
      pen.save();
      pen.lineWidth = 1.5 * devicePixelRatio;
      shown.forEach(({ points }, place) => {
        for (const { at, value, marks } of points) {
          const x = chart.valToPos(at, "x", true);
          if (marks.length === 0 || x < left || x > left + width) continue;
          // What has no value that counts stands at the bottom.
          const y = value === null ? top + height - 2 * size : chart.valToPos(value, chart.series[place + 1].scale, true);
          if (marks.includes("bad")) cross(pen, x, top + height - 2 * size, size, bad);
          if (marks.includes("resumed")) square(pen, x, y, size, warn);
        }
      });
      pen.restore();
    },
  },
};

function cross(pen, x, y, size, stroke) {
  pen.strokeStyle = stroke;
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y + size);
  pen.moveTo(x + size, y - size);
  pen.lineTo(x - size, y + size);
  pen.stroke();
}

function square(pen, x, y, size, stroke) {
  pen.strokeStyle = stroke;
  pen.strokeRect(x - size / 2, y - size / 2, size, size);
}

function label(box) {
  const unit = box.dataset.unit ? ` (${box.dataset.unit})` : "";
  const quantity = box.dataset.quantity ? ` ${box.dataset.quantity}` : "";
  return `${box.dataset.meter} / ${box.dataset.function}${quantity}${unit}`;
}

/** Span that is drawn. */
let drawn = [0, 1];
/** What the axes and lines of the plot were made for: other channels, another look need new ones. */
let madeFor;

/** Draws what is shown. What only goes on keeps its plot, and with it the place that is pointed at. */
function draw(from, to) {
  drawn = [from, to];
  const tables = shown.map(({ times, values }) => [times, values]);
  const data = tables.length ? uPlot.join(tables, tables.map(() => [2, 2])) : [[from, to]];
  const look = JSON.stringify([shown.map(({ box }) => box.value), colour("text"), innerHeight]);
  if (plot && look === madeFor) {
    plot.setData(data);
    return;
  }
  madeFor = look;
  plot?.destroy();
  plot = new uPlot(options(), data, plotPlace);
  plot.over.addEventListener("dblclick", () => move("wider"));
}

function options() {
  const [text, line] = [colour("faint"), colour("line")];
  const units = [...new Set(shown.map(({ box }) => box.dataset.unit ?? ""))];
  const scaleOf = (box) => `y${Math.min(units.indexOf(box.dataset.unit ?? ""), 1)}`;
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  // As wide as the longest number needs.
  const size = (chart, texts, place) => {
    chart.ctx.font = chart.axes[place].font[0];
    return Math.max(40, ...(texts ?? []).map((text) => chart.ctx.measureText(text).width / devicePixelRatio + 24));
  };
  return {
    width: plotPlace.clientWidth || 600,
    height: Math.max(220, Math.min(460, innerHeight * 0.42)),
    scales: { x: { time: true, range: () => drawn } },
    axes: [
      { ...axis, space: TICK_SPACE, values: (_, splits) => splits.map((at, place) => tick(at, splits[1] - splits[0], place)) },
      { ...axis, scale: "y0", size, label: units[0] || undefined, labelSize: 18, labelGap: 4 },
      ...(units.length > 1 ? [{ ...axis, scale: "y1", side: 1, size, label: units[1], labelSize: 18, labelGap: 4, grid: { show: false } }] : []),
    ],
    series: [
      { label: t("js.time"), value: (_, at) => (at == null ? "–" : wholeMoment(new Date(at * 1000))) },
      ...shown.map(({ box }, place) => ({
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
    plugins: [marks],
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
function fill() {
  const head = document.createElement("tr");
  const columns = shown.some(({ each }) => each)
    ? ["js.time", "js.channel", "js.value", "js.quality", "js.origin"]
    : ["js.time", "js.channel", "js.mean", "js.min", "js.max", "js.count", "js.bad", "js.resumed"];
  for (const key of columns) head.append(Object.assign(cell("th", t(key)), { scope: "col" }));
  const rows = shown.flatMap(({ box, points, each }) => points.map((point) => ({ box, point, each })));
  rows.sort((one, other) => other.point.at - one.point.at);
  const body = rows.slice(0, ROWS_MAX).map(({ box, point, each }) => {
    const row = document.createElement("tr");
    const { known } = point;
    const texts = each
      ? [known.text, t(`js.quality_${known.quality}`), t(`js.origin_${known.origin}`)]
      : columns.length === 5
        ? [known.mean ?? "–", t(known.bad ? "js.quality_bad" : "js.quality_good"), t(known.resumed ? "js.origin_resumed" : "js.origin_live")]
        : [known.mean ?? "–", known.min ?? "–", known.max ?? "–", known.count, known.bad, known.resumed];
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
  const span = { from, to, count: Math.max(50, Math.min(2000, Math.round(plotPlace.clientWidth / 2) || 500)), every: Number(section.dataset.every) || undefined };
  try {
    const channel = (box) => ({ device, meter: box.dataset.meter, function: box.dataset.function });
    shown = await Promise.all(chosen().map(async (box) => ({ box, ...(await course(channel(box), span, signal)) })));
  } catch (problem) {
    if (problem.name !== "AbortError") tell(problem.message);
    return;
  }
  draw(from, to);
  fill();
  linkDownloads(from, to);
  const sum = (count) => shown.reduce((all, one) => all + count(one), 0);
  const [readings, gaps] = [sum((one) => one.readings), sum((one) => one.gaps.length)];
  const said = t(readings > 0 ? "js.shown" : "js.shown_none", { from: wholeMoment(new Date(from * 1000)), to: wholeMoment(new Date(to * 1000)), readings, gaps });
  const place = document.getElementById("shown");
  if (place.textContent !== said) place.textContent = said;
  plotPlace.dataset.drawn = "yes";
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

/** Whoever is about to choose a span by hand is not disturbed. */
let isHeld = false;
const follow = steadily(FOLLOW_EVERY, async () => {
  if (plotPlace && view.span !== undefined && !isHeld) await refresh();
});
plotPlace?.addEventListener("pointerdown", () => (isHeld = true));
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => {
    if (isHeld) follow();
    isHeld = false;
  });
}
document.addEventListener("live", ({ detail }) => detail === "readings" && follow());
// Time goes on where nothing comes.
document.addEventListener("fresh", follow);
if (plotPlace) new ResizeObserver(() => plot && plot.width !== plotPlace.clientWidth && plot.setSize({ width: plotPlace.clientWidth, height: plot.height })).observe(plotPlace);
new MutationObserver(() => plot && refresh()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot && refresh());
if (plotPlace) {
  write();
  refresh();
}
