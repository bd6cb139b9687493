// The page in a real browser: what it draws, how it says that something is wrong.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import * as rig from "./rig.mjs";

const ALPHA = "alpha-3s", BETA = "beta-outage-6s";
let dashboard, browser, page;
const said = [], hosts = new Set();

before(async () => {
  dashboard = await rig.start("--refresh=1", "--settle=10", `--live-id=${ALPHA}=Alpha`, `--live-id=${BETA}=Beta`);
  browser = await rig.browser();
  page = await open("?range=30m");
}, { timeout: 180_000 });

after(async () => {
  await browser?.close();
  await rig.mend();
  await dashboard?.stop();
});

// A page whose complaints and requests are kept.
async function open(query, { width = 1200, height = 900, features = [], state = "live" } = {}) {
  const made = await browser.newPage();
  made.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) said.push(message.text());
  });
  made.on("pageerror", (error) => said.push(error.stack));
  made.on("request", (request) => hosts.add(new URL(request.url()).host));
  await made.setViewport({ width, height });
  await made.emulateTimezone("Asia/Taipei");
  await made.emulateMediaFeatures(features);
  await made.goto(`${dashboard.url}/${query}`);
  await live(made, state);
  return made;
}

const text = (selector, at = page) => at.$eval(selector, (node) => node.textContent);
const live = (at = page, state = "live") => rig.until(`the charts, ${state}`, () => at.evaluate((wanted) => document
  .querySelector("#charts").ariaBusy === "false" && document.querySelector("#status").dataset.state === wanted, state));

// What a chart has been given to draw: { times, lines: [{ label, values }], from, to }.
const drawn = (type, at = page) => at.evaluate((kind) => {
  const { plot, series } = dashboard.charts.get(kind);
  return { times: plot.data[0], from: plot.scales.x.min, to: plot.scales.x.max, y: [plot.scales.y.min, plot.scales.y.max],
    lines: series.map((each, i) => ({ label: plot.series[i + 1].label, values: [...plot.data[i + 1]]
      .map((value) => (value === undefined ? "other" : value)) })) };
}, type);

// How many pixels of a chart's canvas have the colour of a line, by its class.
const painted = (type, line, at = page) => at.evaluate((kind, name) => {
  const { canvas } = dashboard.charts.get(kind).plot.ctx;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(wanted.slice(i, i + 2), 16));
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12 && data[i + 3] > 200) count++;
  }
  return count;
}, type, line);

const newest = (at = page) => at.evaluate((id) => [...dashboard.store.series.values()]
  .filter((each) => each.live === id).reduce((last, { times }) => Math.max(last, times.at(-1)), 0), ALPHA);

test("the charts show the simulator's points, each and no other", async () => {
  for (const [type, dimension] of [["network_in", "main"], ["network_in", "backup"], ["frame_rate", "main"],
    ["frame_rate", "backup"], ["concurrent_user", undefined]]) {
    const chart = await drawn(type);
    for (const [id, name] of [[ALPHA, "Alpha"], [BETA, "Beta"]]) {
      const line = chart.lines.find(({ label }) => label === (dimension ? `${name}, ${dimension}` : name));
      const found = new Map(chart.times.map((time, i) => [time, line.values[i]])
        .filter(([, value]) => value !== null && value !== "other"));
      const last = Math.max(...found.keys());
      assert.deepEqual(found, await rig.points(id, type, dimension, chart.from, last), `${type} ${name}`);
      assert.ok(found.size > 200);
    }
  }
});

test("and they are drawn: lines of both lives, from zero up", async () => {
  for (const type of ["concurrent_user", "network_in", "frame_rate"]) {
    assert.ok(await painted(type, "--series-1") > (type === "frame_rate" ? 20 : 300), type); // where Beta is not before it
    assert.ok(await painted(type, "--series-2") > 300, type);
    assert.equal((await drawn(type)).y[0], 0);
  }
});

test("what is new comes by itself, and time goes on", async () => {
  const [before_that, { to }] = [await newest(), await drawn("frame_rate")];
  await rig.until("a new point", async () => await newest() > before_that + 1);
  assert.ok((await drawn("frame_rate")).to > to);
  assert.match(await text("#as-of"), /^as of \d\d:\d\d:\d\d$/);
});

test("the range picker changes what is asked for, what is drawn and the address", async () => {
  await page.click('input[name="range"][value="2h"]');
  await rig.until("two hours", async () => (await page.$eval("#charts", (node) => node.ariaBusy)) === "false"
    && (await drawn("concurrent_user")).times.length > 2300);
  const { from, to, times } = await drawn("concurrent_user");
  assert.equal(to - from, 7200);
  assert.ok(times[0] < from + 5);
  assert.match(page.url(), /range=2h/);
});

test("a gap stays one, though another line goes on", async () => {
  const { times, lines } = await drawn("concurrent_user");
  const [alpha, beta] = lines.map(({ values }) => values);
  let gaps = 0;
  times.forEach((time, i) => {
    if (time % 3600 < 1200 || time % 3600 >= 1500) return;
    assert.notEqual(typeof beta[i], "number");
    assert.equal(typeof alpha[i], "number");
    gaps += beta[i] === null;
  });
  assert.ok(gaps >= 90, `${gaps}`);
});

test("a live can be left out and a line hidden, with the keyboard too", async () => {
  await page.focus(`input[name="live"][value="${BETA}"]`);
  await page.keyboard.press("Space");
  await rig.until("one line", async () => (await drawn("concurrent_user")).lines.length === 1);
  await live();
  assert.match(page.url(), /live=alpha-3s$/);
  assert.equal(await painted("frame_rate", "--series-2"), 0);

  await page.focus(".legend button");
  await page.keyboard.press("Enter");
  assert.equal(await page.$eval(".legend button", (node) => node.ariaPressed), "false");
  await rig.until("no line", async () => await painted("concurrent_user", "--series-1") === 0);
  await page.keyboard.press("Enter");
  await page.click(`input[name="live"][value="${ALPHA}"]`);
  await rig.until("no live", async () => await text("#status") === "No live is chosen");
  await rig.until("no points", () => page.$$eval(".empty", (all) => all.every((each) => !each.hidden)));
  for (const id of [ALPHA, BETA]) await page.click(`input[name="live"][value="${id}"]`);
  await live();
});

test("the keys walk through the points and the readout tells them", async () => {
  await page.focus(".plot");
  for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowLeft"]) await page.keyboard.press(key);
  const { idx, shown } = await rig.until("the cursor", () => page.evaluate(() => {
    const { plot, area } = dashboard.charts.get("concurrent_user");
    return plot.cursor.idx != null && { idx: plot.cursor.idx, shown: area.ariaValueText };
  }));
  assert.ok(idx <= 6, `${idx}`); // time goes on meanwhile
  assert.match(shown, /\d\d:\d\d:\d\d: Alpha [\d,]+ users; Beta/);
  assert.match(await text(".when"), /^at \d\d/);
  await page.keyboard.press("Escape");
  assert.equal(await text(".when"), "latest");
});

test("the same values are there as a table, newest first", async () => {
  await page.click("summary");
  await rig.until("the table", async () => (await page.$$(".table tbody tr")).length === 60);
  const rows = await page.$$eval(".table tbody th", (all) => all.map((cell) => cell.textContent));
  assert.ok(Date.parse(rows[0].replace(/,/, " 2001")) - Date.parse(rows[59].replace(/,/, " 2001")) >= 59_000, rows.join());
  assert.match(await text(".table caption"), /^Viewers/);
  assert.match(await text(".table thead"), /Time.*Alpha \(users\).*Beta \(users\)/);
  await page.click("summary");
});

test("the viewer's zone is named and used", async () => {
  assert.match(await text("#zone"), /^Asia\/Taipei \(GMT\+8\)$/);
  const [, hour] = /(\d\d):/.exec(await text("#as-of"));
  const hours = [0, 30_000].map((ms) => (new Date(Date.now() - ms).getUTCHours() + 8) % 24);
  assert.ok(hours.includes(Number(hour)), hour);
});

test("narrow, dark: nothing is wider than the screen, and the lines are the dark scheme's", async () => {
  for (const width of [320, 360, 768]) {
    const features = [{ name: "prefers-color-scheme", value: width === 360 ? "dark" : "light" }];
    const small = await open("?range=30m", { width, height: 740, features });
    const { inner, scroll, back } = await small.evaluate(() => ({ inner: innerWidth,
      scroll: document.documentElement.scrollWidth, back: getComputedStyle(document.body).backgroundColor }));
    assert.ok(scroll <= inner, `${scroll} of ${inner}`);
    assert.equal(back === "rgb(16, 21, 28)", width === 360);
    assert.ok(await painted("concurrent_user", "--series-1", small) > 100);
    if (width === 360) {
      await small.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
      await rig.until("the other scheme", async () => await painted("concurrent_user", "--series-1", small) > 100);
    }
    await small.close();
  }
});

test("a broken upstream is told, what is known stays, and the page recovers by itself", async () => {
  await page.click('input[name="range"][value="30m"]');
  await live();
  await rig.fault({ path: "/lives/alpha", status: 503, body: { code: 14, message: "the store is being moved" } });
  const problem = await rig.until("the message", () => page.$eval(".problem", (node) => node.textContent).catch(() => null));
  assert.match(problem, /^Alpha: server, HTTP 503: the store is being moved\. Trying again/);
  await rig.until("how long", async () => /again in \d+ s/.test(await text(".problem")));
  assert.equal(await page.$eval(".problem [role=alert]", (node) => node.textContent.includes("503")), true);
  assert.match(await text("#status"), /problems/);
  const [known, hole] = await page.evaluate((id) => [[...dashboard.store.series.values()].every(({ times }) => times.length > 100),
    dashboard.store.holes.get(id)[0]], ALPHA);
  assert.ok(known);
  assert.equal(hole.kind, "server");

  const broken = await newest();
  await rig.mend();
  await rig.until("points", async () => await newest() > broken + 2);
  await live();
  assert.equal(await page.$(".problem"), null);
  const { times, lines } = await drawn("concurrent_user");
  const values = lines[0].values.filter((_, i) => times[i] > broken - 5 && times[i] <= broken + 2);
  assert.ok(values.length >= 2 && values.every((value) => typeof value === "number"), "a hole was left");
});

test("without streams the page asks by itself", async () => {
  const polls = await open("?range=30m&live=alpha-3s&poll", { state: "polling" });
  const before_that = await newest(polls);
  await rig.until("a new point", async () => await newest(polls) > before_that + 1);
  await polls.close();
});

test("no complaint on the console, and no request to any other host", () => {
  assert.deepEqual(said, []);
  assert.deepEqual([...hosts], [new URL(dashboard.url).host]);
});

test("when the dashboard's own server goes the page says so, and goes on when it is back", async () => {
  const { port } = new URL(dashboard.url);
  await dashboard.stop();
  await rig.until("the message", async () => /^No connection: /.test(await text(".problem").catch(() => "")));
  assert.equal(await text("#status"), "Disconnected");
  const last = await newest();
  dashboard = await rig.start("--refresh=1", "--settle=10", `--port=${port}`, `--live-id=${ALPHA}=Alpha`, `--live-id=${BETA}=Beta`);
  await live();
  assert.equal(await page.$(".problem"), null);
  assert.ok(await newest() > last);
});
