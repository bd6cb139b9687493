// Owns: the points that the page knows, as series of lives, and the columns that a
// chart draws of them. A time without a point is a gap: never zero, never a line
// across it. Must not: touch the document or the network.

// A pause longer than this many usual steps is a gap.
const GAP = 1.6;

class Series {
  constructor(live, { type, dimension, unit }) {
    Object.assign(this, { live, type, dimension, unit, times: [], values: [] });
  }

  // Takes a point in its place; a later value of a time wins.
  put(time, value) {
    const { times, values } = this;
    let at = times.length;
    while (at > 0 && times[at - 1] > time) at--;
    if (at > 0 && times[at - 1] === time) {
      values[at - 1] = value;
    } else if (at === times.length) {
      times.push(time);
      values.push(value);
    } else {
      times.splice(at, 0, time);
      values.splice(at, 0, value);
    }
  }

  trim(from) {
    const keep = this.times.findIndex((time) => time >= from);
    const gone = keep < 0 ? this.times.length : keep;
    this.times.splice(0, gone);
    this.values.splice(0, gone);
  }

  // The usual time between two points: how often they come is not documented.
  step() {
    const steps = [];
    for (let i = Math.max(1, this.times.length - 500); i < this.times.length; i++) {
      steps.push(this.times[i] - this.times[i - 1]);
    }
    return steps.sort((a, b) => a - b)[steps.length >> 1] ?? null;
  }

  // Columns in which each gap begins with a null, which no line crosses.
  columns() {
    const limit = (this.step() ?? Infinity) * GAP;
    const times = [], values = [];
    this.times.forEach((time, i) => {
      if (i > 0 && time - this.times[i - 1] > limit) {
        times.push(this.times[i - 1] + limit / GAP);
        values.push(null);
      }
      times.push(time);
      values.push(this.values[i]);
    });
    return [times, values];
  }
}

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    this.series = new Map();
    this.holes = new Map();
  }

  // What the server sends: see dashboard/app.lua.
  merge(update) {
    for (const { live, series, holes } of update.lives) {
      for (const part of series) {
        const key = JSON.stringify([live, part.type, part.dimension ?? null]);
        if (!this.series.has(key)) this.series.set(key, new Series(live, part));
        const known = this.series.get(key);
        part.times.forEach((time, i) => known.put(time, part.values[i]));
      }
      this.holes.set(live, holes);
    }
  }

  trim(from) {
    for (const series of this.series.values()) series.trim(from);
  }

  // The series of one type, lives in the given order, "main" before "backup".
  of(type, lives) {
    const rank = ({ live, dimension }) => [lives.indexOf(live), dimension === "main" ? 0 : 1];
    return [...this.series.values()].filter((each) => each.type === type && lives.includes(each.live))
      .sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]
        || String(a.dimension).localeCompare(String(b.dimension)));
  }

  // Types that are there, the ones in `first` first.
  types(first) {
    const found = new Set([...this.series.values()].map((each) => each.type));
    return [...first, ...[...found].filter((type) => !first.includes(type)).sort()];
  }
}
