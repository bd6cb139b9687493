-- Owns: the dashboard's three answers (what there is to show, points as JSON,
-- points as a stream of server-sent events) and the reading of their arguments.
-- Must not: know BlendVision; feed.lua asks it.

local config = require "dashboard.config"
local feed = require "dashboard.feed"
local garner = require "garner"
local stream = require "dashboard.stream"

local json = garner.json

local M = {}

local LONGEST = 3600 -- seconds that one stream lives; the page's next goes on where it ended
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

-- Asks for what is due and gives what the page is to get.
local function update(running)
  local now = ngx.time()
  local wanted = running:wanted(now)
  local answers = feed.fetch_all(wanted, now)
  for i, each in ipairs(wanted) do running:take(each, answers[i], now) end
  return { as_of = now, next = settings.refresh, position = running:position(),
    lives = answers }
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
  local body = update(stream.new(given))
  local good = false
  for _, each in ipairs(body.lives) do good = good or each.series[1] or not each.error end
  reply(good and 200 or 502, body)
end

-- One event; false when nobody listens any more.
local function send(...)
  return ngx.print(...) and ngx.flush(true)
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
  local running, started = stream.new(given), ngx.time()
  local alive = send(("retry: %d\n\n"):format(1000 * math.max(1, settings.refresh)))
  while alive and not ngx.worker.exiting() and ngx.time() - started < LONGEST do
    -- Without news it is a short one: the page knows that we are here, and of when that is.
    local body = update(running)
    alive = send("event: update\nid: ", body.position, "\ndata: ", json.encode(body), "\n\n")
    ngx.sleep(settings.refresh)
  end
end

---What garner did so far in all workers, as Prometheus reads it.
function M.counters()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
  ngx.print(garner.prometheus { dict = "garner" })
end

---Called once, in init_by_lua: what is wrong with the settings shows at the start.
function M.setup()
  settings = config.read()
  feed.setup(settings)
end

return M
