// Owns: the page: its controls, what is asked for, the cards, what it says about the
// connection and about errors. Must not: draw, or talk to the server but for the
// settings; chart.js and feed.js do.
import { Chart, element } from "/chart.js";
import { Feed } from "/feed.js";
import * as format from "/format.js";
import { Store } from "/store.js";

// Types as garner names them; "viewers" are what BlendVision calls concurrent users.
const METRICS = [
  { type: "concurrent_user", title: "Viewers", note: "concurrent users", unit: "users", digits: 0 },
  { type: "network_in", title: "Bit rate", note: "Mbps into the streaming server", unit: "Mbps", digits: 2 },
  { type: "frame_rate", title: "Frame rate", note: "frames per second of the input", unit: "fps", digits: 1 },
];
const STATES = { connecting: "Connecting", live: "Live", polling: "Live, by polling", lost: "Disconnected",
  troubled: "Live, with problems", silent: "No new data", idle: "No live is chosen" };
const LABELS = { "30m": "30 min", "1h": "1 h", "2h": "2 h", "6h": "6 h", "12h": "12 h", "24h": "24 h" };
const COLORS = 6;

const $ = (id) => document.getElementById(id);
const store = new Store();
const charts = new Map();
const SERVER = Symbol("the dashboard's own server");
const problems = new Map(); // what is said -> { node, of: lives (or SERVER) that it is said of, until }
const known_to = new Map(); // live -> until when its points are known
let settings, range, chosen = [], as_of, feed, drawing;

// What is shown, as the address says it, so that it can be kept and passed on.
function read_address() {
  const query = new URLSearchParams(location.search);
  const known = settings.lives.map(({ id }) => id);
  range = settings.ranges.find(({ id }) => id === query.get("range")) ?? settings.ranges
    .find(({ id }) => id === settings.range);
  const asked = query.getAll("live").filter((id) => known.includes(id));
  chosen = asked.length ? asked : known.slice(0, COLORS);
}

function write_address() {
  const query = new URLSearchParams(location.search);
  query.set("range", range.id);
  query.delete("live");
  for (const id of chosen) query.append("live", id);
  history.replaceState(null, "", `?${query}`);
}

const place = (live) => settings.lives.findIndex(({ id }) => id === live);
const page = {
  name: (live) => settings.lives[place(live)]?.name ?? live,
  color: (live) => getComputedStyle(document.documentElement)
    .getPropertyValue(`--series-${(place(live) % COLORS) + 1}`).trim(),
};

function choice(type, name, value, label, checked, on_change) {
  const input = element("input", { type, name, value, checked });
  input.addEventListener("change", () => on_change(input));
  return element("label", {}, input, element("span", {}, ...label));
}

function build_controls() {
  $("ranges").append(...settings.ranges.map((each) => choice("radio", "range", each.id, [LABELS[each.id] ?? each.id],
    each === range, () => { range = each; restart(); })));
  $("lives").append(...settings.lives.map(({ id, name }, i) => {
    const dot = element("i", { className: `dot series-${(i % COLORS) + 1}` });
    return choice("checkbox", "live", id, [dot, name], chosen.includes(id), ({ checked }) => {
      chosen = settings.lives.map((each) => each.id)
        .filter((each) => (each === id ? checked : chosen.includes(each)));
      restart();
    });
  }));
  $("lives").hidden = settings.lives.length < 2;
}

function restart() {
  write_address();
  store.clear();
  known_to.clear();
  for (const live of settings.lives) settle(live.id);
  $("charts").ariaBusy = "true";
  feed.open(chosen, range.id);
  if (chosen.length) return;
  $("charts").ariaBusy = "false";
  $("as-of").textContent = "";
  draw_soon();
}

// What could not be had, each stretch once, with the lives that lack it.
function holes() {
  const found = new Map();
  for (const live of chosen) {
    for (const { from, to, kind } of store.holes.get(live) ?? []) {
      const key = JSON.stringify([from, to, kind]);
      found.set(key, { from, to, kind, lives: [...(found.get(key)?.lives ?? []), live] });
    }
  }
  return [...found.values()];
}

function draw_soon() {
  drawing ??= requestAnimationFrame(() => {
    drawing = null;
    draw();
  });
}

function draw() {
  const to = as_of ?? Date.now() / 1000;
  const view = { from: to - range.seconds, to, settle: settings.settle,
    holes: holes() };
  for (const type of store.types(METRICS.map((each) => each.type))) {
    if (!charts.has(type)) {
      const metric = METRICS.find((each) => each.type === type)
        ?? { type, title: type, note: "", unit: "", digits: 2 };
      charts.set(type, new Chart(metric, page));
      $("charts").append(charts.get(type).card);
    }
    charts.get(type).show(store.of(type, chosen), view);
  }
  $("loading").hidden = true;
}

const troubled = (live) => [...problems.values()].some(({ of }) => of.has(live));

function show_state(state) {
  if (state === "lost") tell(SERVER, { kind: "connection", message: "the dashboard's own server does not answer" });
  else if (state !== "connecting") settle(SERVER);
  if (state === "live" || state === "polling") {
    if (chosen.every(troubled)) state = "silent";
    else if (chosen.some(troubled)) state = "troubled";
  }
  if (settings && !chosen.length) state = "idle";
  if ($("status").dataset.state === state) return;
  $("status").dataset.state = state;
  $("status").textContent = STATES[state];
}

// Takes a problem of a live back.
function settle(live, but) {
  for (const [said, problem] of problems) {
    if (said === but || !problem.of.delete(live)) continue;
    if (problem.of.size) announce(said, problem);
    else {
      problem.node.remove();
      problems.delete(said);
    }
  }
}

// A problem is announced once, as long as it says the same; the countdown is not.
function tell(live, { kind, message, status, retry_in }) {
  const said = `${kind}${status ? `, HTTP ${status}` : ""}: ${message.replace(/[\s.]+$/, "")}.`;
  settle(live, said);
  let problem = problems.get(said);
  if (!problem) {
    problem = { of: new Set(), text: element("span", { role: "alert" }), rest: element("span", { className: "retry" }) };
    problem.node = element("p", { className: "problem" }, problem.text, " ", problem.rest);
    $("problems").append(problem.node);
    problems.set(said, problem);
  }
  problem.of.add(live);
  problem.until = retry_in ? performance.now() + retry_in * 1000 : null;
  announce(said, problem);
  count_down();
}

function announce(said, { of, text }) {
  const who = [...of].map((live) => (live === SERVER ? "No connection" : page.name(live))).join(", ");
  if (text.textContent !== `${who}: ${said}`) text.textContent = `${who}: ${said}`;
}

function count_down() {
  for (const { rest, until } of problems.values()) {
    const left = until && Math.ceil((until - performance.now()) / 1000);
    rest.textContent = left > 0 ? `Trying again in ${left} s.` : "Trying again …";
  }
}

function update(body, state) {
  as_of = body.as_of;
  store.merge(body);
  store.trim(as_of - range.seconds);
  for (const { live, as_of: known, error } of body.lives) {
    if (known) known_to.set(live, known);
    if (error) tell(live, error);
    else settle(live);
  }
  show_state(state);
  const oldest = Math.min(...chosen.map((live) => known_to.get(live) ?? Infinity));
  $("as-of").textContent = oldest < Infinity ? `as of ${format.time(oldest)}` : "";
  if (chosen.every((live) => known_to.has(live) || troubled(live))) $("charts").ariaBusy = "false";
  draw_soon();
}

async function get_settings() {
  for (;;) {
    try {
      const answer = await fetch("/api/config");
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      return await answer.json();
    } catch {
      show_state("lost");
      await new Promise((resolve) => { setTimeout(resolve, 2000); });
    }
  }
}

settings = await get_settings();
read_address();
$("source").textContent = settings.source;
$("source").hidden = false;
$("zone").textContent = format.zone();
$("settling").textContent = settings.settle
  ? `Points in the shaded end, the last ${settings.settle} s, may still change.` : "";
feed = new Feed({ update, state: show_state });
build_controls();
restart();
setInterval(count_down, 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts.values()) chart.restyle();
});

// For looking at what the page knows, from the console and from tests.
globalThis.dashboard = { store, charts, feed };
