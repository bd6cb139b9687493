-- Owns: what one open page has been sent so far, so that each point goes to it
-- once (and again only if its value has changed), how long to wait before a live is
-- asked again, and where a broken stream goes on. Must not: write to the network.

local array = require("garner").json.array

local M = {}

local SLOWEST = 30 -- seconds between two looks at a live that gives errors

local Stream = {}
Stream.__index = Stream

---`lives` of what it gives: for each a table with `live`.
---@param spec { lives: string[], seconds: number, refresh: number, settle: number, since:
---  string|nil, now: number } since: a position, of another stream of the same lives
function M.new(spec)
  local self, places = setmetatable({ spec = spec, lives = {} }, Stream), {}
  for place in (spec.since or ""):gmatch "[^,]+" do
    local epoch = tonumber(place)
    -- A place outside the range says nothing: the whole range is sent.
    local known = epoch and epoch > spec.now - spec.seconds and epoch <= spec.now
    places[#places + 1] = known and epoch or false
  end
  local fits = #places == #spec.lives
  for i, live in ipairs(spec.lives) do
    self.lives[i] = { live = live, through = fits and places[i] or nil, failures = 0, sent = {} }
  end
  return self
end

---From where on the points of a live may be new, or may still change.
---@param state table an entry of `lives`
---@param now number epoch
---@return number epoch
function Stream:from(state, now)
  local earliest = now - self.spec.seconds
  if not state.through then return earliest end
  -- A second at least: with `settle` 0 a look may come before the clock has gone on.
  return math.max(earliest, math.min(state.through - self.spec.settle, now - 1))
end

-- The points of a series that were not sent yet, or with another value.
local function news(sent, series, keep)
  local key = series.type .. (series.dimension and "=" .. series.dimension or "")
  local old, known = sent[key] or {}, {}
  local times, values = array(), array()
  for i, time in ipairs(series.times) do
    local value = series.values[i]
    if old[time] ~= value then
      times[#times + 1], values[#values + 1] = time, value
    end
    if time >= keep then known[time] = value end
  end
  for time, value in pairs(old) do
    if time >= keep and known[time] == nil then known[time] = value end
  end
  sent[key], series.times, series.values = known, times, values
  return times[1] ~= nil
end

local function pause(self, state, answer)
  if not answer.error then
    state.failures = 0
    return self.spec.refresh
  end
  state.failures = state.failures + 1
  return math.max(math.min(self.spec.refresh * 2 ^ (state.failures - 1), SLOWEST),
    answer.error.retry_after or 0)
end

---Takes an answer, and leaves in it what is to be sent.
---@param state table an entry of `lives`
---@param answer table as feed.fetch gives it
---@param now number epoch, when it was asked for
---@return number seconds until it should be asked for again
function Stream:take(state, answer, now)
  -- What was asked for once more, only to see whether it changed, is no hole.
  for _, hole in ipairs(answer.holes) do
    hole.from = math.max(hole.from, math.min(state.through or hole.from, hole.to))
  end
  state.through = answer.through or state.through
  local keep = (state.through or now) - self.spec.settle
  if answer.holes[1] then keep = math.min(keep, answer.holes[1].from) end
  local list = array()
  for _, series in ipairs(answer.series) do
    if news(state.sent, series, keep) then list[#list + 1] = series end
  end
  local seconds = pause(self, state, answer)
  answer.series, answer.through = list, nil
  if answer.error then answer.error.retry_in = seconds end
  return seconds
end

---Where another stream of the same lives may go on: for each the time before
---which all points were sent, "-" where there is none.
---@return string
function Stream:position()
  local places = {}
  for i, state in ipairs(self.lives) do
    places[i] = state.through and ("%.0f"):format(state.through) or "-"
  end
  return table.concat(places, ",")
end

return M
