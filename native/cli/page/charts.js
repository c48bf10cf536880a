// Sparklines of what the loop did between the looks, and a histogram of the time that its turns took.
const LOOKS = 240;
const SVG = "http://www.w3.org/2000/svg";
// The upper limits of the bars of the histogram in microseconds. The last bar has no limit.
const BARS = [3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000];

const charts = {
  key: null,
  last: null,
  // The points of each chart, oldest first.
  points: new Map(),
  // The turns between two looks: their bar, and their number.
  turns: [],

  // Name, title, words for a value, and the value from this look, the look before, and the seconds between them.
  all: [
    ["steps", "Wakes", (n) => `${words.count(n)}/s`, (now, then, s) => (now.steps - then.steps) / s],
    ["queue", "Run queue", (n) => words.count(n), (now) => now.queue_length],
    ["jobs", "Jobs", (n) => `${words.count(n)}/s`, (now, then, s) => (now.jobs - then.jobs) / s],
    ["received", "Received", (n) => `${words.bytes(n)}/s`, (now, then, s) => (now.received_bytes - then.received_bytes) / s],
    ["sent", "Sent", (n) => `${words.bytes(n)}/s`, (now, then, s) => (now.sent_bytes - then.sent_bytes) / s],
    ["connections", "Connections", (n) => words.count(n), (now) => now.open_connections],
    ["cpu", "Processor", (n) => `${words.count(n * 100)} %`, (now, then, s) => (now.cpu_seconds - then.cpu_seconds) / s],
    ["memory", "Memory", (n) => words.bytes(n), (now) => now.resident_bytes],
  ],

  build() {
    const list = element("charts").querySelector("div");
    for (const [name, title] of [...this.all, ["turns", "Turn time"]]) {
      const figure = make("figure", "", { id: `chart-${name}` });
      const caption = make("figcaption");
      caption.append(make("span", title), make("b"));
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", "0 0 240 40");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("role", "img");
      figure.append(caption, svg);
      list.append(figure);
    }
    const scale = make("div", "", { class: "scale", "aria-hidden": "true" });
    for (const text of ["3 µs", "1 ms", "100 ms"]) scale.append(make("span", text));
    element("chart-turns").append(scale);
  },

  // Adds a look at `at` milliseconds.
  add(chosen, at) {
    if (this.key !== chosen.key) {
      this.key = chosen.key;
      this.last = null;
      this.turns = [];
      this.points = new Map(this.all.map(([name]) => [name, []]));
    }
    const then = this.last;
    this.last = { chosen, at };
    if (then === null || at <= then.at) return;
    const seconds = (at - then.at) / 1000;
    for (const [name, , , value] of this.all) {
      const points = this.points.get(name);
      points.push(value(chosen, then.chosen, seconds) ?? NaN);
      if (points.length > LOOKS) points.shift();
    }
    const count = chosen.waits - then.chosen.waits;
    const micros = ((chosen.cpu_seconds - then.chosen.cpu_seconds) * 1e6) / count;
    const bar = BARS.findIndex((limit) => micros < limit);
    this.turns.push({ bar: bar < 0 ? BARS.length : bar, count: Number.isFinite(micros) ? count : 0, micros });
    if (this.turns.length > LOOKS) this.turns.shift();
  },

  draw(every) {
    setText(element("charts-title"), `The last ${words.span(LOOKS * every * 1e6)}`);
    for (const [name, title, say] of this.all) this.line(name, title, say);
    this.histogram();
  },

  line(name, title, say) {
    const points = this.points.get(name);
    const known = points.filter(Number.isFinite);
    const [, b] = element(`chart-${name}`).querySelectorAll("figcaption > *");
    const svg = element(`chart-${name}`).querySelector("svg");
    if (known.length === 0) return this.clear(svg, b, title);
    const top = Math.max(...known, 1e-9);
    const last = known.at(-1);
    b.textContent = say(last);
    svg.setAttribute("aria-label", `${title}: ${say(last)}; between ${say(Math.min(...known))} and ${say(top)} in ${known.length} looks`);
    const place = (value, i) => `${LOOKS - points.length + i + 1},${(38 - (36 * value) / top).toFixed(1)}`;
    const path = points.map((value, i) => (Number.isFinite(value) ? place(value, i) : "")).filter((at) => at !== "");
    const [area, line] = this.shapes(svg, ["polygon", "polyline"]);
    line.setAttribute("points", path.join(" "));
    area.setAttribute("points", `${path[0].split(",")[0]},40 ${path.join(" ")} ${LOOKS},40`);
  },

  // Each look adds its turns to the bar of their mean time: the time of the thread's processor, without its waits.
  histogram() {
    const [, b] = element("chart-turns").querySelectorAll("figcaption > *");
    const svg = element("chart-turns").querySelector("svg");
    const counts = Array(BARS.length + 1).fill(0);
    for (const { bar, count } of this.turns) counts[bar] += count;
    const sum = counts.reduce((sum, count) => sum + count, 0);
    if (sum === 0) return this.clear(svg, b, "Turn time");
    const last = this.turns.findLast(({ count }) => count > 0);
    b.textContent = words.span(last.micros * 1000);
    const top = Math.max(...counts);
    const bars = this.shapes(svg, counts.map(() => "rect"));
    const width = LOOKS / counts.length;
    counts.forEach((count, i) => {
      const height = (38 * count) / top;
      const box = { x: i * width + 1, y: 40 - height, width: width - 2, height };
      for (const [name, value] of Object.entries(box)) bars[i].setAttribute(name, value.toFixed(1));
    });
    const name = (i) => (i < BARS.length ? `below ${words.span(BARS[i] * 1000)}` : `from ${words.span(BARS.at(-1) * 1000)}`);
    const parts = counts.map((count, i) => [count, i]).filter(([count]) => count > 0);
    svg.setAttribute("aria-label", `Turn time, of ${words.count(sum)} turns: ${parts.map(([count, i]) => `${words.count(count)} ${name(i)}`).join(", ")}`);
  },

  clear(svg, b, title) {
    svg.replaceChildren();
    svg.setAttribute("aria-label", `${title}: nothing yet`);
    b.textContent = "";
  },

  // Returns the shapes of a drawing, which it makes if there are others.
  shapes(svg, names) {
    if (svg.children.length !== names.length) svg.replaceChildren(...names.map((name) => document.createElementNS(SVG, name)));
    return Array.from(svg.children);
  },
};
