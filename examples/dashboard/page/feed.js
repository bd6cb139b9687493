// Owns: the connection to the server: a stream of server-sent events, and asking
// again and again where streams do not get through. Must not: know what points mean.

const SILENCE = 90_000; // ms without a word until a stream counts as dead
const PATIENCE = 3; // failures in a row until the page asks by itself instead
const POLLING = 60_000; // ms until a stream is tried again

export class Feed {
  // on.update(body, state), on.state("connecting" | "lost"); state: "live" or "polling"
  constructor(on) {
    this.on = on;
    this.lives = [];
    this.range = "";
    this.polls = new URLSearchParams(location.search).has("poll") || !("EventSource" in globalThis);
  }

  // Starts afresh: everything known so far is of another range or of other lives.
  open(lives, range) {
    this.close();
    Object.assign(this, { lives, range, position: null, failures: 0 });
    this.on.state("connecting");
    if (lives.length) this.begin();
  }

  close() {
    this.source?.close();
    this.source = null;
    this.request?.abort();
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
  }

  url(path) {
    const query = new URLSearchParams({ range: this.range });
    for (const live of this.lives) query.append("live", live);
    if (this.position) query.set("since", this.position);
    return `${path}?${query}`;
  }

  begin() {
    if (this.polls) this.poll();
    else this.stream();
  }

  take(body, state) {
    this.failures = 0;
    this.position = body.position;
    this.on.update(body, state);
  }

  stream() {
    const source = new EventSource(this.url("/api/stream"));
    this.source = source;
    this.watch();
    source.addEventListener("update", ({ data }) => {
      this.watch();
      this.streamed = true;
      this.take(JSON.parse(data), "live");
    });
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.failures++;
      this.on.state("lost");
      // Closed: the answer was no stream, so the browser does not try again by itself.
      if (this.failures >= PATIENCE || source.readyState === EventSource.CLOSED) this.give_up();
    });
  }

  watch() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      this.on.state("lost");
      this.give_up();
    }, SILENCE);
  }

  give_up() {
    this.close();
    this.until = performance.now() + POLLING;
    this.poll();
  }

  // A stream that has worked is tried again as soon as there is an answer, others later.
  streams_again() {
    return this.until && (this.streamed || performance.now() > this.until);
  }

  async poll() {
    const request = new AbortController();
    this.request = request;
    let wait = 2, answered = false;
    try {
      const answer = await fetch(this.url("/api/metrics"), { signal: request.signal });
      const body = await answer.json();
      if (!body.lives) throw new Error(body.error?.message ?? `HTTP ${answer.status}`);
      wait = body.next;
      answered = true;
      this.take(body, "polling");
    } catch {
      if (!request.signal.aborted) this.on.state("lost");
    }
    if (request.signal.aborted) return;
    if (answered && this.streams_again()) {
      this.until = null;
      this.streamed = false;
      this.stream();
    } else {
      this.timer = setTimeout(() => this.poll(), wait * 1000);
    }
  }
}
