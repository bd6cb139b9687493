-- Owns which windows of a pull a cache keeps and how: the server's answers as they came, under a
-- name that says who asked whom for what. Must not: keep what a source does not give whole, or
-- give anybody what another credential got.

local core = require "garner.core"
local coverage = require "garner.coverage"
local errors = require "garner.errors"
local json = require "garner.json"
local plan = require "garner.plan"

local M = {}

-- Where the zone of a source's times is not known, they may be so far from UTC.
local UNKNOWN_ZONE = 14 * 3600

local EXACT = 1e-6 -- seconds

---@class garner.pull.keeper how the windows of a source come and go
---@field about fun(window: table): table plain data: all that decides what the server sends
---@field fetch fun(window: table, budget: table, keep: fun(page: string)): table|nil,
---       garner.Error|nil
---@field read fun(window: table, pages: string[]): table|nil the answer again
---@field identity fun(): string|nil who asks; nil: that cannot be said, and nothing is kept
---@field windows boolean false: there is one, of everything there is
---@field on_clock boolean its windows are of instants, or of times in a zone that is known

-- Before when data no longer changes.
local function settled_at(cache, now, lag)
  return now - math.max(lag or 0, cache.settle)
end

-- Whether the data of a window has settled: what it asks for, not only what the range has of it.
-- What is no cell of the grid has an end that another call need not have again.
local function is_closed(source, cache, keeper, window)
  if window.whole ~= nil then return window.whole end
  local ends = window.ends + window.send_to - window.to
  if not keeper.on_clock then ends = ends + UNKNOWN_ZONE end
  return keeper.windows and ends <= settled_at(cache, source.now, source.lag)
end

local function copy(map)
  local out = {}
  for name, value in pairs(map) do out[name] = value end
  return out
end

-- A tail is named by its begin alone: its end moves on with the clock.
local function key_of(source, keeper, window, open)
  local asked, who = copy(window), keeper.identity()
  if not who then return nil end
  if open and asked.send_to then asked.send_to = asked.send_from end
  local text = json.try_encode { who = who, open = open, verb = source.operation,
    about = keeper.about(asked) }
  return text and "window\0" .. text
end

-- Pages as one text: a line of numbers (the window's end in microseconds, the pages' lengths),
-- whole ones in any locale, then the texts.
local function pack(window, pages)
  local head = { ("%.0f"):format(window.send_to * 1e6) }
  for _, page in ipairs(pages) do head[#head + 1] = ("%d"):format(#page) end
  return table.concat(head, " ") .. "\n" .. table.concat(pages)
end

local function unpack_pages(text)
  local head, start = text:match "^([%d %-]+)\n()"
  if not head then return nil end
  local to, pages = nil, {}
  for number in head:gmatch "%S+" do
    number = tonumber(number)
    if not number then return nil end
    if not to then
      to = number / 1e6
    else
      pages[#pages + 1] = text:sub(start, start + number - 1)
      start = start + number
    end
  end
  if start ~= #text + 1 then return nil end
  return to, pages
end

-- Rows of a tail that goes further than this window does.
local function cut(source, window, answer)
  local rows = {}
  for _, row in ipairs(answer.rows) do
    local at = source.time(row)
    if not at or at <= window.send_to then rows[#rows + 1] = row end
  end
  answer.rows = rows
  return answer
end

-- The answer that was kept, if it is enough for this window: `late` is how much of its end may
-- be missing.
local function read(source, keeper, window, text, late)
  local to, pages = unpack_pages(text)
  if not to then return nil end
  if not keeper.windows then to = window.send_to end
  local beyond = to - window.send_to > EXACT
  if window.send_to - to > late or beyond and not source.time and to - window.send_to > late then
    return nil
  end
  -- What another version of the vendor's file kept may not be what this one can read.
  local ok, answer = pcall(keeper.read, window, pages)
  if not ok or not answer then return nil end
  answer.requests, answer.bytes = 0, 0
  if window.send_to - to > EXACT then answer.lacks = window.send_to - to end
  return beyond and source.time and cut(source, window, answer) or answer
end

-- Why an answer is not kept: an error, or nothing for one that is.
local function why_not(answer)
  if answer.state and coverage.HOLES[answer.state] then
    return answer.err or errors.new { kind = "not_ready", message = answer.reason or answer.state }
  end
  local warning = answer.warnings and answer.warnings[1]
  if not answer.state and warning and not answer.rows[1] then
    return errors.new { kind = "not_ready", message = warning.message }
  end
end

-- What the cache tells about an answer, for coverage and warnings.
local function mark(source, answer, about)
  answer.age = about.age
  if about.stale then
    answer.stale, answer.state = true, "provisional"
    answer.reason = ("stale by a failed request: as of %.0f s ago (%s)"):format(about.age,
      tostring(about.cause))
    answer.warnings[#answer.warnings + 1] = { code = "stale", message = answer.reason,
      data = { age = about.age, kind = about.cause.kind } }
    source.client.log("warn", "cache.stale", { pull = source.name, age = about.age,
      error = tostring(about.cause) })
  elseif answer.lacks then
    answer.state = answer.state or "provisional"
    answer.reason = answer.reason or ("from the cache: as of %.0f s ago"):format(about.age or 0)
  end
  return answer
end

local function fetch_and_keep(source, cache, keeper, window, budget, closed, renew)
  local pages, who = {}, keeper.identity()
  local answer, err = keeper.fetch(window, budget, function(page)
    pages[#pages + 1] = page
    renew()
  end)
  if not answer then return nil, err end
  local verdict = why_not(answer)
  if verdict then
    return answer, nil, nil, nil, source.on_not_ready ~= "provisional" and verdict or nil
  elseif keeper.identity() ~= who then -- another token came meanwhile
    return answer
  end
  return answer, nil, pack(window, pages),
    closed and not answer.state and cache.ttl.closed or cache.ttl.open
end

---Lets a source's windows go through a cache.
---@param source garner.pull.source its `fetch` is set
---@param cache garner.Cache
---@param keeper garner.pull.keeper
function M.attach(source, cache, keeper)
  source.fetch = function(window, budget)
    local waits = source.on_not_ready == "wait"
      and plan.is_young(window, source.settle_after or source.lag, source.now)
    local closed = is_closed(source, cache, keeper, window)
    -- Who waits until two looks agree needs two looks.
    local key = not waits and key_of(source, keeper, window, not closed)
    if not key then return keeper.fetch(window, budget) end
    -- Without times rows cannot be cut, so that only "until now" is as good as another "now".
    local late = not closed and (source.time or window.send_to >= source.now - 1)
      and cache.ttl.open or EXACT
    local answer, err, about = cache:through(key, {
      ttl = closed and cache.ttl.closed or cache.ttl.open, stale = cache.stale_if_error,
      read = function(text, _, stale)
        return read(source, keeper, window, text, stale and late + cache.stale_if_error or late)
      end,
      fetch = function(renew)
        return fetch_and_keep(source, cache, keeper, window, budget, closed, renew)
      end,
    })
    if not answer then return nil, err end
    return mark(source, answer, about)
  end
end

---The grid on which windows are cut for a cache, as window.plan takes it.
---@param cache garner.Cache
---@param now number epoch
---@param lag number|nil seconds
---@return table align, settled
function M.grid(cache, now, lag)
  return { align = cache.align, settled = settled_at(cache, now, lag) }
end

---A short name for all that a credential is, in which nothing of it is left.
---@param parts table plain data
---@return string|nil name nil for what is no JSON (a header that is not UTF-8)
function M.fold(parts)
  local text = json.try_encode(parts)
  return text and core.sha256(text) or nil
end

return M
