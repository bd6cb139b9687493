-- Owns: the dashboard's three answers (what there is to show, points as JSON,
-- points as a stream of server-sent events) and the reading of their arguments.
-- Must not: know BlendVision; feed.lua asks it.

local config = require "dashboard.config"
local feed = require "dashboard.feed"
local garner = require "garner"
local stream = require "dashboard.stream"

local json = garner.json

local M = {}

-- Seconds that one stream lives; the page's next goes on where it ended. nginx gives the memory of
-- a request back at its end only.
local LONGEST = 3600
local HEARTBEAT = 15 -- seconds
local settings

local function reply(status, body)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.print(json.encode(body))
end

local function as_list(value)
  if type(value) == "table" then return value end
  return value and value ~= true and { value } or {}
end

-- The lives that are asked for, all if none is named; each must be one of ours,
-- so nobody can use the token for another.
local function lives_of(args)
  local list, seen = {}, {}
  for _, id in ipairs(as_list(args.live)) do
    if not settings.names[id] then return nil, "live: this dashboard does not show it" end
    if not seen[id] then list[#list + 1] = id end
    seen[id] = true
  end
  return list[1] and list or settings.lives
end

local function arguments()
  local args = ngx.req.get_uri_args(50)
  local seconds = config.seconds(args.range or config.RANGE)
  if not seconds then return nil, "range: one of 30m, 1h, 2h, 6h, 12h, 24h" end
  local lives, message = lives_of(args)
  if not lives then return nil, message end
  local since = ngx.var.http_last_event_id or args.since
  return { lives = lives, seconds = seconds, refresh = settings.refresh, settle = settings.settle,
    since = type(since) == "string" and since or nil, now = ngx.time() }
end

-- The arguments; without them the error has been sent.
local function checked()
  local given, message = arguments()
  if not given then reply(400, { error = { kind = "invalid", message = message } }) end
  return given
end

local function body_of(running, answers, now)
  return { as_of = now, next = settings.refresh, position = running:position(),
    lives = json.array(answers) }
end

---What the page needs to know first.
function M.config()
  local lives = {}
  for i, id in ipairs(settings.lives) do lives[i] = { id = id, name = settings.names[id] } end
  reply(200, { lives = lives, ranges = config.RANGES, range = config.RANGE,
    source = settings.source, refresh = settings.refresh, settle = settings.settle })
end

---All points of a range, or those since a place: for pages without a stream.
function M.metrics()
  local given = checked()
  if not given then return end
  local running, now, wanted = stream.new(given), ngx.time(), {}
  for i, state in ipairs(running.lives) do
    wanted[i] = { live = state.live, from = running:from(state, now) }
  end
  local answers, good = feed.fetch_all(wanted, now), false
  for i, answer in ipairs(answers) do
    running:take(running.lives[i], answer, now)
    good = good or answer.series[1] or not answer.error
  end
  reply(good and 200 or 502, body_of(running, answers, now))
end

-- One event; false when nobody listens any more.
local function send(running, answers, now)
  local body = body_of(running, answers, now)
  return ngx.print("event: update\nid: ", body.position, "\ndata: ", json.encode(body), "\n\n")
    and ngx.flush(true)
end

-- Tells one live for as long as somebody listens. Each has a light thread, so that one that is
-- slow keeps no other waiting.
local function follow(running, state)
  local alive = true
  while alive do
    local now = ngx.time()
    local answer = feed.fetch_safely(state.live, running:from(state, now), now)
    local seconds = running:take(state, answer, now)
    alive = send(running, { answer }, now)
    ngx.sleep(seconds)
  end
end

---The range, and from then on what is new, as server-sent events. Ends when the
---page is gone (lua_check_client_abort), when this worker is told to end, or
---after an hour: the page goes on where it ended.
function M.stream()
  local given = checked()
  if not given then return end
  ngx.header["Content-Type"] = "text/event-stream"
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["X-Accel-Buffering"] = "no"
  ngx.print(("retry: %d\n\n"):format(1000 * math.max(1, settings.refresh)))
  local running, threads, started = stream.new(given), {}, ngx.time()
  for i, state in ipairs(running.lives) do
    threads[i] = ngx.thread.spawn(follow, running, state)
  end
  -- Without news, too, the page is to know that we are here.
  local alive, told = ngx.flush(true), started
  while alive and not ngx.worker.exiting() and ngx.time() - started < LONGEST do
    ngx.sleep(1)
    if ngx.time() - told >= HEARTBEAT then
      told = ngx.time()
      alive = send(running, {}, told)
    end
  end
  for _, thread in ipairs(threads) do ngx.thread.kill(thread) end
end

---What garner did so far in all workers, as Prometheus reads it.
function M.counters()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
  ngx.print(garner.check(garner.prometheus { dict = "garner" }))
end

---Called once, in init_by_lua: what is wrong with the settings shows at the start.
function M.setup()
  settings = config.read()
  feed.setup(settings)
end

return M
