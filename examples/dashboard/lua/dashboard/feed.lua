-- Owns: asking BlendVision for the points of lives, through garner, and what an
-- answer of the dashboard says about each live. Must not: know HTTP or the page.

local garner = require "garner"

local M = {}

local array, null = garner.json.array, garner.json.null
local client, settle

---Makes the client. Its credential is garner's matter: BLENDVISION_TOKEN and
---BLENDVISION_ORG_ID of the environment.
---@param config table as config.read gives it
function M.setup(config)
  settle = config.settle
  client = garner.blendvision {
    base_url = config.base_url,
    timeout = "20s", attempts = 2, -- the page asks again by itself
    -- However many pages are open: what has settled is asked for once, the rest (the hour that
    -- goes on) once a refresh.
    cache = garner.cache { dict = "metrics", ttl = { open = 0.8 * config.refresh },
      settle = settle, lock = "5s" },
  }
end

-- What the page draws of one series: columns, as short in JSON as they get.
local function columns(series)
  local times, values = array(), array()
  for i, epoch in ipairs(series.epochs) do
    if epoch then
      times[#times + 1] = epoch
      values[#values + 1] = series.numbers[i] or null
    end
  end
  return { type = series.type, dimension = series.dimension, unit = series.unit,
    times = times, values = values }
end

local function epoch_of(text)
  return garner.time.parse(text).epoch
end

-- What the page says about an error. The message is the server's own, and no
-- field of garner's errors holds a secret.
local function problem(err)
  local cause = err.cause or err
  return { kind = cause.kind, message = cause.message, status = cause.status,
    retry_after = cause.retry_after }
end

-- Until when the points of a whole answer are known: a cache may have had its end.
local function known_to(pull, to)
  local windows = pull:coverage()
  return to - math.ceil(windows[#windows].age or 0)
end

---The points of one live with from <= time < to.
---@param live string
---@param from number epoch
---@param to number epoch
---@return table answer live, series, holes (from, to, kind), and error or as_of; `through`: all
---  points before it are known, nil where nothing is
function M.fetch(live, from, to)
  local pull = client:live_metrics { live_id = live, from = from, to = to, lag = settle }
  local series, err, partial = pull:series()
  local answer = { live = live, series = array(), holes = array() }
  for i, each in ipairs(series or partial or {}) do answer.series[i] = columns(each) end
  if not err then
    answer.as_of = known_to(pull, to)
    answer.through = answer.as_of
    return answer
  end
  answer.error = problem(err)
  for i, window in ipairs(err.windows or {}) do
    answer.holes[i] = { from = epoch_of(window.from), to = epoch_of(window.to),
      kind = window.err and window.err.kind or window.state }
    answer.through = answer.through or answer.holes[1].from
  end
  if answer.through == from then answer.through = nil end
  return answer
end

---As `fetch`, but what is wrong with the program itself is an answer too, and
---in the log.
---@param live string
---@param from number epoch
---@param to number epoch
---@return table answer
function M.fetch_safely(live, from, to)
  local ok, answer = pcall(M.fetch, live, from, to)
  if ok then return answer end
  ngx.log(ngx.ERR, "dashboard: ", tostring(answer))
  return { live = live, series = array(), holes = array(),
    error = { kind = "internal", message = "the server's error log says more" } }
end

---The same for several lives, side by side.
---@param wanted { live: string, from: number }[]
---@param to number epoch
---@return table[] answers in the same order
function M.fetch_all(wanted, to)
  local calls, answers = {}, {}
  for i, each in ipairs(wanted) do
    calls[i] = function() return M.fetch_safely(each.live, each.from, to) end
  end
  for i, each in ipairs(garner.all(calls, { concurrency = 4 })) do answers[i] = each[1] end
  return answers
end

return M
