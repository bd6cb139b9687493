// Owns what the tests share: a dashboard of their own on a simulator that runs, the
// simulator's controls, a browser. Must not: assert anything.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const simulator = process.env.GARNER_SIM_URL;
const headers = { authorization: "Bearer sim-token.dashboard", "x-bv-org-id": "sim-org" };

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Asks until the answer is truthy; gives it.
export async function until(what, ask, ms = 40_000) {
  const end = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`);
    await sleep(50);
  }
}

// examples/dashboard/start, as a user types it. Gives its url, its folder and stop().
export async function start(...options) {
  if (!simulator) throw new Error("GARNER_SIM_URL names no simulator");
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(BLENDVISION|DASHBOARD)_/.test(name)) delete env[name];
  // It ends with this process, however that ends.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", `${here}start`, "--no-install", ...options],
    { env, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { text += data; });
  const ended = new Promise((resolve) => { child.on("exit", resolve); });
  let gone = false;
  ended.then(() => { gone = true; });
  const found = await until(`the dashboard: ${text}`, () => gone || /The dashboard: (\S+)\/\n[^]*?in (\S+)\/error\.log/
    .exec(text), 120_000);
  if (found === true) throw new Error(text);
  return { url: found[1], folder: found[2], text: () => text,
    async stop() { child.kill("SIGTERM"); return ended; } };
}

export const fault = (body) => fetch(`${simulator}/_sim/fault`,
  { method: "POST", body: JSON.stringify({ scope: "dashboard", times: 0, ...body }) });
export const mend = () => fetch(`${simulator}/_sim/reset?scope=dashboard`, { method: "POST" });

export async function requests(pattern) {
  const answer = await (await fetch(`${simulator}/_sim/requests?scope=dashboard`)).json();
  return answer.requests.filter(({ path }) => pattern.test(path));
}

// The simulator's own points of one series: Map of epoch to value.
export async function points(live, type, dimension, from, to) {
  const query = new URLSearchParams({ types: `LIVE_METRIC_TYPE_${type.toUpperCase()}`,
    start_time: new Date(from * 1000).toISOString(), end_time: new Date(to * 1000).toISOString() });
  const answer = await (await fetch(`${simulator}/bv/cms/v1/lives/${live}/metrics?${query}`, { headers })).json();
  const { datapoints } = answer.metrics.find((each) => each.dimension === dimension);
  return new Map(datapoints.map(({ time, value }) => [Date.parse(time) / 1000, Number(value.value)]));
}

export async function browser() {
  const { launch } = createRequire(`${here}../../build/dashboard/`)("puppeteer-core");
  const args = ["--disable-dev-shm-usage", "--force-color-profile=srgb"];
  if (process.getuid() === 0) args.push("--no-sandbox");
  return launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
}

// The events of a stream, one after another.
export async function* events(response) {
  let text = "";
  for await (const chunk of response.body) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const event = {};
      for (const line of text.slice(0, end).split("\n")) {
        const [, name, value] = /^(\w+): (.*)$/.exec(line);
        event[name] = value;
      }
      if (event.data) event.data = JSON.parse(event.data);
      text = text.slice(end + 2);
      yield event;
    }
  }
}
