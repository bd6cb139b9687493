// What nginx and garner answer, without a browser.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import test, { after, before } from "node:test";
import * as rig from "./rig.mjs";

let dashboard;

before(async () => {
  dashboard = await rig.start("--refresh", "1", "--settle=5", "--live-id", "alpha-2s=Alpha", "--live-id=beta-outage-2s",
    "--live-id", "gone-1s", "--live-id=unknown-live", "--live-id=coarse-30s", "--live-id=shared-30s");
}, { timeout: 150_000 });

after(async () => {
  await rig.mend();
  await dashboard?.stop();
});

const get = async (path, options) => {
  const response = await fetch(dashboard.url + path, options);
  return { response, body: await response.json() };
};

// Opens a stream; `next` gives its updates, `close` goes away.
async function stream(path, options) {
  const away = new AbortController();
  const response = await fetch(dashboard.url + path, { ...options, signal: away.signal });
  const all = rig.events(response);
  return { response, next: async () => (await all.next()).value, close: () => away.abort() };
}

test("says what there is to show, and nothing that is secret", async () => {
  const { response, body } = await get("/api/config");
  assert.deepEqual(body.lives.slice(0, 2), [{ id: "alpha-2s", name: "Alpha" },
    { id: "beta-outage-2s", name: "beta-outage-2s" }]);
  assert.equal(body.source, "simulator");
  assert.equal(body.refresh, 1);
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.ok(!JSON.stringify(body).includes("sim-token"));
});

test("every answer forbids what the page does not need", async () => {
  for (const path of ["/", "/app.js", "/uplot/uPlot.esm.js", "/api/config", "/api/metrics?range=9h", "/none"]) {
    const { headers } = await fetch(dashboard.url + path);
    assert.match(headers.get("content-security-policy") ?? path, /^default-src 'none'; script-src 'self';/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  }
});

test("another name for this machine is refused", async () => {
  const status = await new Promise((resolve) => {
    request(dashboard.url, { headers: { host: "rebound.example" } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).end();
  });
  assert.equal(status, 421);
});

test("gives the simulator's points, and those since a place", async () => {
  const { body } = await get("/api/metrics?range=30m&live=alpha-2s");
  const [live] = body.lives;
  const found = live.series.find(({ type, dimension }) => type === "network_in" && dimension === "main");
  const own = await rig.points("alpha-2s", "network_in", "main", body.as_of - 1800, live.as_of - 1);
  const known = found.times.filter((time) => time < live.as_of);
  assert.deepEqual(new Map(known.map((time, i) => [time, found.values[i]])), own);
  assert.ok(known.length >= 898 && live.as_of >= body.as_of - 2);
  assert.equal(found.unit, "Mbps");

  const more = (await get(`/api/metrics?range=30m&live=alpha-2s&since=${body.position}`)).body.lives[0];
  assert.ok(more.series[0].times.length < 60 && more.series[0].times.length >= 2);
});

test("wrong arguments are the caller's, other lives are nobody's", async () => {
  for (const query of ["range=9h", "live=private-live", "range=30m&live=alpha-2s&live=x", "range"]) {
    const { response, body } = await get(`/api/metrics?${query}`);
    assert.equal(response.status, 400, query);
    assert.equal(body.error.kind, "invalid");
  }
  assert.equal((await fetch(`${dashboard.url}/api/stream?range=9h`)).status, 400);
  assert.equal((await rig.requests(/private-live/)).length, 0);
});

test("an error has its kind and message; other lives are not touched by it", async () => {
  const { response, body } = await get("/api/metrics?range=30m&live=unknown-live&live=alpha-2s");
  assert.equal(response.status, 200);
  const [lost, fine] = body.lives;
  assert.equal(lost.error.kind, "not_found");
  assert.equal(lost.error.status, 404);
  assert.match(lost.error.message, /unknown-live/);
  assert.equal(fine.error, undefined);
  assert.ok(fine.series.length >= 5);
  assert.equal((await get("/api/metrics?live=unknown-live")).response.status, 502);
});

test("a part that is missing is a hole between what did come", async () => {
  await rig.fault({ path: "coarse", status: 501, body: "no", skip: 1, times: 1 });
  const { response, body } = await get("/api/metrics?range=24h&live=coarse-30s");
  await rig.mend();
  assert.equal(response.status, 200);
  const [live] = body.lives;
  assert.equal(live.error.kind, "server");
  assert.equal(live.holes.length, 1);
  const [{ from, to, kind }] = live.holes;
  assert.ok(to > from && to - from <= 8 * 3600);
  assert.equal(kind, "server");
  for (const { times } of live.series) {
    assert.equal(times.filter((time) => time > from && time < to).length, 0);
    assert.ok(times.length > 1900);
  }
});

test("a stream sends the range, then each new point once, and says where it is", async () => {
  const live = await stream("/api/stream?range=30m&live=alpha-2s");
  assert.match(live.response.headers.get("content-type"), /^text\/event-stream/);
  assert.equal((await live.next()).retry, "1000");
  const first = await live.next();
  assert.equal(first.event, "update");
  assert.equal(first.id, String(first.data.lives[0].as_of));
  const times = (event) => event.data.lives.flatMap(({ series }) => series.filter(({ type }) => type === "concurrent_user")
    .flatMap((each) => each.times));
  const all = times(first);
  assert.ok(all.length >= 898);
  for (let i = 0; i < 4; i++) {
    const more = times(await live.next());
    assert.ok(more.length <= 8, `${more.length} points`);
    all.push(...more);
  }
  live.close();
  assert.deepEqual(all, all.map((_, i) => all[0] + 2 * i));
});

test("a stream goes on where another one ended", async () => {
  const now = Math.floor(Date.now() / 1000);
  const live = await stream("/api/stream?range=2h&live=alpha-2s&live=beta-outage-2s",
    { headers: { "last-event-id": `${now - 60},-` } });
  await live.next();
  const answers = new Map();
  while (answers.size < 2) for (const each of (await live.next()).data.lives) answers.set(each.live, answers.get(each.live) ?? each);
  live.close();
  const [known, fresh] = ["alpha-2s", "beta-outage-2s"].map((id) => answers.get(id));
  assert.ok(known.series[0].times[0] >= now - 66);
  // The range may begin in the simulator's five minutes without data.
  assert.ok(fresh.series[0].times[0] < now - 6800);
});

test("a stream tells an error, asks less often, and mends", async () => {
  const live = await stream("/api/stream?range=30m&live=alpha-2s");
  await live.next();
  await live.next();
  await rig.fault({ path: "alpha", drop: true });
  const broken = await rig.until("the error", async () => (await live.next()).data.lives[0]?.error);
  assert.equal(broken.kind, "transport");
  assert.equal(broken.retry_in, 1);
  const again = await rig.until("the next error", async () => (await live.next()).data.lives[0]?.error);
  assert.equal(again.retry_in, 2);
  await rig.mend();
  const mended = await rig.until("points", async () => {
    const [answer] = (await live.next()).data.lives;
    return answer && !answer.error && answer.series.length > 0 && answer;
  });
  live.close();
  assert.deepEqual(mended.holes, []);
});

test("many pages cost no more requests than one", async () => {
  const all = await Promise.all(Array.from({ length: 12 }, () => stream("/api/stream?range=30m&live=shared-30s")));
  for (let i = 0; i < 3; i++) for (const each of all) await each.next();
  const before_that = (await rig.requests(/shared-30s/)).length;
  assert.ok(before_that <= 8, `${before_that} requests for the first points of 12 pages`);
  await rig.sleep(3000);
  for (const each of all) each.close();
  const more = (await rig.requests(/shared-30s/)).length - before_that;
  assert.ok(more >= 1 && more <= 8, `${more} requests in 3 s`);
});

test("a slow upstream keeps nobody else waiting, nor another live of the same page", async () => {
  await rig.fault({ path: "coarse", delay_ms: 6000 });
  const both = await stream("/api/stream?range=30m&live=coarse-30s&live=alpha-2s");
  await both.next();
  for (let i = 0; i < 2; i++) assert.equal((await both.next()).data.lives[0].live, "alpha-2s");
  both.close();
  const started = performance.now();
  let done = false;
  const slow = get("/api/metrics?range=30m&live=coarse-30s").then(() => { done = true; });
  await rig.until("the request", async () => (await rig.requests(/coarse/)).length > 0);
  for (let i = 0; i < 20; i++) assert.equal((await get("/api/config")).response.status, 200);
  assert.equal(done, false);
  await slow;
  assert.ok(performance.now() - started > 5900);
  await rig.mend();
});

test("what is in flight for a page ends with it", async () => {
  const in_flight = async () => {
    const text = await (await fetch(`${dashboard.url}/metrics`)).text();
    return Number(/^garner_exchanges_in_flight (\d+)$/m.exec(text)[1]);
  };
  await rig.fault({ path: "coarse", delay_ms: 15_000 });
  const away = new AbortController();
  const gone = fetch(`${dashboard.url}/api/stream?range=30m&live=coarse-30s`, { signal: away.signal })
    .then((answer) => answer.text()).catch((error) => error.name);
  await rig.until("the request in flight", async () => await in_flight() === 1);
  away.abort();
  assert.equal(await gone, "AbortError");
  const started = performance.now();
  await rig.until("its end", async () => await in_flight() === 0);
  assert.ok(performance.now() - started < 10_000);
  await rig.mend();
});

test("when the page is gone nothing is asked for any more", async () => {
  const live = await stream("/api/stream?range=30m&live=gone-1s");
  for (let i = 0; i < 3; i++) await live.next();
  live.close();
  const count = async () => (await rig.requests(/gone-1s/)).length;
  assert.ok(await count() >= 2);
  await rig.until("silence", async () => {
    const before_that = await count();
    await rig.sleep(2500);
    return await count() === before_that;
  });
});

test("a reload ends the streams, so that pages go on in the new worker", async () => {
  const live = await stream("/api/stream?range=30m&live=alpha-2s");
  await live.next();
  await live.next();
  process.kill(Number(readFileSync(`${dashboard.folder}/nginx.pid`, "utf8")), "SIGHUP");
  await rig.until("the end of the stream", async () => (await live.next()) === undefined);
  assert.equal((await get("/api/config")).response.status, 200);
});

test("start says what is wrong", async () => {
  const { port } = new URL(dashboard.url);
  await assert.rejects(rig.start(`--port=${port}`), /Address already in use[^]*nginx did not start/);
  await assert.rejects(rig.start("--live-id"), /--live-id needs a value/);
  await assert.rejects(rig.start("--port=http"), /--port: not a port: http/);
  await assert.rejects(rig.start("--settle=soon"), /DASHBOARD_SETTLE must be a number of seconds/);
  await assert.rejects(rig.start("--colour"), /unknown option --colour\nusage:/);
});

test("what is logged holds no token, and when it ends nothing stays", async () => {
  const log = readFileSync(`${dashboard.folder}/error.log`, "utf8");
  assert.ok(!log.includes("sim-token"), log);
  assert.doesNotMatch(log, /\[(error|crit|alert|emerg)\]/);
  assert.equal(await dashboard.stop(), 143);
  assert.ok(!existsSync(dashboard.folder));
  await assert.rejects(fetch(dashboard.url));
});
