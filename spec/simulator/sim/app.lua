-- Takes every request: finds its scope, records it, applies a fault, asks the handler for
-- an answer and sends it. The one place that knows which path belongs to which part.
local behaviour = require "sim.behaviour"
local blendvision = require "sim.blendvision"
local control = require "sim.control"
local credential = require "sim.credential"
local files = require "sim.files"
local google = require "sim.google"
local http = require "sim.http"
local json = require "sim.json"
local metrics = require "sim.blendvision_metrics"
local oauth = require "sim.oauth"
local raw = require "sim.raw"
local shoplazza = require "sim.shoplazza"
local state = require "sim.state"
local weather = require "sim.weather"

local M = {}

local routes = {
  { "api", "^/bv/cms/v1/lives/[^/]*/metrics$", metrics.handle },
  { "api", "^/bv/", blendvision.handle },
  { "api", "^/admin/reports/v1/", google.handle },
  { "api", "^/openapi/", shoplazza.handle },
  { "api", "^/weather/v1/", weather.handle },
  { "files", "^/download/", files.handle },
}

for i, entry in ipairs(oauth.routes) do table.insert(routes, i, entry) end

local function scope_of(req)
  if req.prefix_scope then return req.prefix_scope end
  if req.origin == "files" then
    local name = req.path:match("^/download/scope%-([^/]*)/")
    if name then return http.unescape(name) end
  end
  return credential.scope(req) or req:arg("scope") or ""
end

local function route(req, scope)
  if req.path:find("^/_http/") then return behaviour.handle(req) end
  for _, entry in ipairs(routes) do
    if entry[1] == req.origin and req.path:find(entry[2]) then return entry[3](req, scope) end
  end
  return http.json(404, { code = 5, message = "Not Found", details = json.array() })
end

local function canned(fault)
  local answer = http.text(fault.status, fault.body, fault.content_type)
  for name, value in pairs(fault.headers) do answer.headers[name] = value end
  return answer
end

-- 444 makes nginx close at once; with reset_timedout_connection that is a TCP reset.
local function drop(record)
  record.status = 0
  return ngx.exit(444)
end

local function finish(req, record, fault, answer)
  if not answer then return end
  record.status = answer.status
  if fault and fault.drop == "after" then return drop(record) end
  if fault and fault.truncate then return raw.truncate(req, answer, fault.truncate) end
  if fault and not fault.status then
    for name, value in pairs(fault.headers) do answer.headers[name] = value end
  end
  http.send(answer)
end

---Serves the current request of nginx.
---@param origin "api"|"files"
function M.serve(origin)
  local req = http.read(origin)
  if req.path:find("^/_sim/") then return http.send(control.handle(req)) end
  local scope = state.scope(scope_of(req))
  local record = state.record(scope, req)
  local fault = state.fault(scope, req)
  if fault then
    record.fault = true
    if fault.delay_ms then ngx.sleep(fault.delay_ms / 1000) end
    if fault.drop == true then return drop(record) end
    if fault.status then return finish(req, record, fault, canned(fault)) end
  end
  return finish(req, record, fault, route(req, scope))
end

return M
