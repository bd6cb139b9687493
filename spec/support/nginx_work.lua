-- What the specs of nginx run in every place of it that can wait, and in a plain script to
-- compare with: all that waits, over the simulator, told as one text.
local garner = require "garner"

local M = {}

local FAST = { first = 0.02, factor = 1.2, cap = 0.1 }

local function pull(bv)
  local count, sum = 0, 0
  local day = os.date("!%Y-%m-%d", os.time() - 86400)
  for point in bv:live_metrics { live_id = "live-1", from = day .. "T00:00:00Z",
    to = day .. "T09:00:00Z" }:rows() do
    count, sum = count + 1, sum + (point.number or 0)
  end
  return ("metrics %d %.6g"):format(count, sum)
end

local function walk(api)
  local sizes = {}
  for page in api:pages("/_http/pages", { items = "items",
    next = { from = "next", query = "token" } }) do
    sizes[#sizes + 1] = #page.items
  end
  return "walk " .. table.concat(sizes, " ")
end

local function job(bv, folder)
  local made = garner.check(bv:create_report { event_id = "event-1", type = "live",
    dimensions = { "poll_votes" } })
  local reports = garner.check(made:wait(FAST))
  local file = garner.check(reports[1]:download(folder .. "/votes.csv", { sha256 = true }))
  return ("job %s %d %s"):format(reports[1].state, file.size, file.sha256)
end

local function side_by_side(api)
  local fns = {}
  for i = 1, 8 do
    fns[i] = function()
      garner.wait(function() return true end)
      return garner.check(api:get("/_http/echo", { query = { n = i } })).status
    end
  end
  fns[9] = function() return api:get "/_http/status/404" end
  fns[10] = function()
    local looks = 0
    return garner.wait(function()
      looks = looks + 1
      return looks == 3 and looks or nil
    end, { first = 0.01, factor = 1 })
  end
  local results, out = garner.all(fns, { concurrency = 5 }), {}
  for i, result in ipairs(results) do
    out[i] = result.ok and tostring(result[1]) or result.err.kind
  end
  return "all " .. table.concat(out, " ")
end

---@param url string of the simulator
---@param scope string a scope that has been prepared by `prepare`
---@param folder string for files
---@return string what came of it
function M.run(url, scope, folder)
  local token = "sim-token." .. scope
  local bv = garner.blendvision { token = token, org_id = "sim-org", base_url = url }
  local api = garner.client { base_url = url, auth = garner.auth.bearer(token),
    retry = { backoff = 0.01 } }
  local out = { pull(bv), walk(api), job(bv, folder), side_by_side(api) }
  bv:close()
  api:close()
  return table.concat(out, "\n")
end

---Sets a scope of the simulator up.
function M.prepare(scope)
  scope:settings { polls_until_ready = 2 }
  scope:fault { path = "^/_http/pages$", query = "token=b", times = 0, status = 200,
    body = { items = { 4 } } }
  scope:fault { path = "^/_http/pages$", times = 0, status = 200,
    body = { items = { 1, 2, 3 }, next = "b" } }
end

return M
