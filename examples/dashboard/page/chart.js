// Owns: one metric's card: its chart (uPlot), the legend that is also its readout and
// its switches, the keys that walk through the points, the table of values. Must not:
// fetch, or decide what is shown.
import uPlot from "/uplot/uPlot.esm.js";
import * as format from "/format.js";

const ROWS = 60; // of the table, newest first
const DASH = [7, 4];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Indexes of points that no line reaches, which must be seen nonetheless. Undefined
// only says that another series has a point then.
function isolated(column) {
  const known = [];
  column.forEach((value, i) => { if (value !== undefined) known.push(i); });
  return known.filter((at, i) => column[at] !== null
    && (column[known[i - 1]] ?? null) === null && (column[known[i + 1]] ?? null) === null);
}

export class Chart {
  // page: { name(live), color(live) }
  constructor(metric, page) {
    Object.assign(this, { metric, page, series: [], off: new Set(), data: [[]], key: "", plot: null });
    this.when = element("span", { className: "when" });
    this.legend = element("ul", { className: "legend" });
    this.area = element("div", { className: "plot", tabIndex: 0, role: "slider" });
    this.area.ariaLabel = `${metric.title}, time of the readout`;
    this.empty = element("p", { className: "empty quiet", textContent: "No points in this range", hidden: true });
    this.table = element("div", { className: "table" });
    this.details = element("details", {}, element("summary", { textContent: "Values as a table" }), this.table);
    this.card = element("section", { className: "card" },
      element("div", { className: "head" },
        element("h2", {}, metric.title, element("small", { textContent: metric.note })), this.when),
      this.legend, element("div", { className: "stage" }, this.area, this.empty), this.details);
    this.details.addEventListener("toggle", () => this.draw_table());
    this.area.addEventListener("keydown", (event) => this.on_key(event));
    this.area.addEventListener("blur", () => this.point_at(null));
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.area);
  }

  size() {
    const width = Math.max(200, this.area.clientWidth);
    return { width, height: Math.round(Math.min(290, Math.max(190, width * 0.4))) };
  }

  // series: of the store, in order; view: { from, to, settle, holes: [{ from, to, kind, lives }] }
  show(series, view) {
    Object.assign(this, { series, view });
    const keys = JSON.stringify(series.map(({ live, dimension }) => [live, dimension ?? null]));
    const columns = series.map((each) => each.columns());
    // 2: where another series has points within a gap, it stays one.
    this.data = columns.length ? uPlot.join(columns, columns.map(() => [1, 2])) : [[]];
    this.lone = this.data.slice(1).map(isolated);
    this.empty.hidden = this.data[0].length > 0;
    if (keys !== this.key || !this.plot) {
      this.key = keys;
      this.build();
    } else {
      this.plot.setData(this.data);
    }
    this.read();
    this.draw_table();
  }

  // Colours and sizes are read again: the scheme has changed.
  restyle() {
    if (this.plot) this.build();
    this.read();
  }

  label({ live, dimension }) {
    return dimension ? `${this.page.name(live)}, ${dimension}` : this.page.name(live);
  }

  dashed({ dimension }) {
    return dimension != null && dimension !== "" && dimension !== "main";
  }

  build() {
    this.plot?.destroy();
    const font = `12px ${css("--font")}`;
    const axis = { stroke: css("--quiet"), font, grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      ...this.size(),
      padding: [10, 10, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, sync: { key: "dashboard" },
        points: { size: 8 } },
      scales: {
        x: { time: true, range: () => [this.view.from, this.view.to] },
        y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 1, 1e-9) * 1.12] },
      },
      axes: [
        { ...axis, size: 28, space: 64, values: (_, splits, __, ___, step) => splits.map((at) => format.tick(at, step)) },
        { ...axis, size: 44, space: 36, values: (_, splits) => splits.map(format.axis) },
      ],
      series: [{}, ...this.series.map((each, i) => ({
        label: this.label(each), stroke: this.page.color(each.live), width: 2, show: !this.off.has(this.label(each)),
        dash: this.dashed(each) ? DASH : undefined,
        points: { show: () => false, filter: () => this.lone[i], size: 5 },
      }))],
      hooks: { drawClear: [() => this.shade()], draw: [() => this.name_holes()], setCursor: [() => this.read()] },
    }, this.data, this.area);
    this.legend.replaceChildren(...this.series.map((each, i) => this.entry(each, i)));
  }

  entry(series, i) {
    const swatch = element("span", { className: "swatch" });
    swatch.style.borderTopColor = this.page.color(series.live);
    swatch.style.borderTopStyle = this.dashed(series) ? "dashed" : "solid";
    const label = this.label(series);
    const button = element("button", { type: "button" }, swatch, element("span", { textContent: label }),
      element("b", { className: "value" }), element("small", { className: "age" }));
    button.ariaPressed = String(!this.off.has(label));
    button.title = "Show or hide this line";
    button.addEventListener("click", () => {
      const show = this.off.delete(label) || !this.off.add(label);
      button.ariaPressed = String(show);
      this.plot.setSeries(i + 1, { show });
    });
    return element("li", {}, button);
  }

  // The pixels of a stretch of time, as far as it is drawn.
  stretch(from, to) {
    const { left, width } = this.plot.bbox;
    const start = Math.max(left, this.plot.valToPos(from, "x", true));
    return [start, Math.min(left + width, this.plot.valToPos(to, "x", true)) - start];
  }

  // Behind the lines: what may still change, and what is missing because it could not be had.
  shade() {
    const { ctx, bbox: { top, height } } = this.plot;
    const { to, settle, holes } = this.view;
    const bands = [[css("--unsettled"), to - settle, to], ...holes.map((hole) => [css("--hole"), hole.from, hole.to])];
    for (const [color, start, end] of bands) {
      const [left, width] = this.stretch(start, end);
      if (width <= 0) continue;
      ctx.fillStyle = color;
      ctx.fillRect(left, top, width, height);
    }
  }

  // Before the lines: what the holes are.
  name_holes() {
    const { ctx, bbox: { top } } = this.plot;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px ${css("--font")}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    ctx.fillStyle = css("--text");
    this.view.holes.forEach(({ from, to, kind, lives }, i) => {
      const [left, width] = this.stretch(from, to);
      const text = `${lives.map(this.page.name).join(", ")}: no data (${kind})`;
      const y = top + (4 + 14 * (i % 3)) * devicePixelRatio;
      if (ctx.measureText(text).width < width - 8) ctx.fillText(text, left + 4 * devicePixelRatio, y);
    });
    ctx.restore();
  }

  // The newest value of a series, or the one at the cursor.
  reading(i) {
    const column = this.data[i + 1] ?? [];
    let at = this.plot?.cursor.idx;
    if (at != null) {
      // Undefined: the others have a point there. This one's last is meant.
      while (at > 0 && column[at] === undefined) at--;
      return { value: column[at], time: this.data[0][this.plot.cursor.idx] };
    }
    at = column.length - 1;
    while (at >= 0 && column[at] == null) at--;
    return { value: column[at], time: this.data[0][at], latest: true };
  }

  read() {
    const { digits, unit } = this.metric;
    const idx = this.plot?.cursor.idx;
    const at = idx != null ? this.data[0][idx] : null;
    this.when.textContent = at != null ? `at ${format.time(at)}` : this.series.length ? "latest" : "";
    const texts = this.series.map((each, i) => {
      const { value, time, latest } = this.reading(i);
      const entry = this.legend.children[i];
      if (!entry) return "";
      entry.querySelector(".value").textContent = format.value(value, digits);
      const old = latest && time != null && this.view.to - time > Math.max(90, 3 * (each.step() ?? 0));
      entry.querySelector(".age").textContent = old ? format.ago(this.view.to - time) : "";
      return `${this.label(each)} ${format.value(value, digits)} ${each.unit ?? unit}`;
    });
    this.area.ariaValueMin = "0";
    this.area.ariaValueMax = String(Math.max(0, this.data[0].length - 1));
    this.area.ariaValueNow = String(idx ?? Math.max(0, this.data[0].length - 1));
    this.area.ariaValueText = `${at != null ? format.moment(at) : "latest"}: ${texts.join("; ") || "no points"}`;
  }

  point_at(idx) {
    if (!this.plot) return;
    if (idx == null) return this.plot.setCursor({ left: -10, top: -10 });
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][idx], "x"), top: this.plot.over.clientHeight / 2 });
  }

  on_key(event) {
    const last = this.data[0].length - 1;
    const at = this.plot?.cursor.idx ?? last;
    const step = event.shiftKey ? 10 : 1;
    const to = {
      ArrowLeft: at - step, ArrowDown: at - step, ArrowRight: at + step, ArrowUp: at + step,
      PageDown: at - 20, PageUp: at + 20, Home: 0, End: last, Escape: null,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.point_at(to === null ? null : Math.min(last, Math.max(0, to)));
  }

  draw_table() {
    if (!this.details.open) return;
    const head = element("tr", {}, element("th", { scope: "col", textContent: "Time" }),
      ...this.series.map((each) => element("th", { scope: "col",
        textContent: `${this.label(each)} (${each.unit ?? this.metric.unit})` })));
    const rows = [];
    for (let at = this.data[0].length - 1; at >= 0 && rows.length < ROWS; at--) {
      const cells = this.series.map((_, i) => this.data[i + 1][at]);
      if (cells.every((value) => value == null)) continue; // only where a gap begins
      rows.push(element("tr", {}, element("th", { scope: "row", textContent: format.moment(this.data[0][at]) }),
        ...cells.map((value) => element("td", { textContent: format.value(value, this.metric.digits) }))));
    }
    this.table.replaceChildren(element("table", {},
      element("caption", { textContent: `${this.metric.title}, the newest ${rows.length} times` }),
      element("thead", {}, head), element("tbody", {}, ...rows)));
  }
}
