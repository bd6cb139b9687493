-- The /_sim endpoints: faults, settings, recorded requests, leaks, reset. For tests and
-- users who steer the simulator; no API of a vendor lives here.
local http = require "sim.http"
local json = require "sim.json"
local state = require "sim.state"

local M = {}

local function problem(text)
  return http.json(400, { error = text })
end

local FAULT_FIELDS = {
  scope = "string", path = "string", query = "string", method = "string", origin = "string",
  times = "number", skip = "number", status = "number", body = "any", headers = "table",
  delay_ms = "number", drop = "any", content_type = "string", truncate = "number",
}

local function body_object(req)
  local value, why = json.decode(req.body)
  if not json.is_object(value) then return nil, why or "the body must be a JSON object" end
  return value
end

local function check_fault(value)
  for name, field in pairs(value) do
    local kind = FAULT_FIELDS[name]
    if not kind then return "unknown field: " .. name end
    if kind ~= "any" and type(field) ~= kind then return name .. " must be a " .. kind end
  end
  if value.drop ~= nil and value.drop ~= true and value.drop ~= "after" then
    return 'drop must be true or "after"'
  end
  for _, name in ipairs { "path", "query" } do
    if value[name] and not pcall(string.find, "", value[name]) then
      return name .. " is not a Lua pattern"
    end
  end
end

local function add_fault(req)
  local value, why = body_object(req)
  why = why or check_fault(value)
  if why then return problem(why) end
  local fault = {
    seen = 0, used = 0, times = value.times or 1, skip = value.skip or 0, path = value.path,
    query = value.query, method = value.method, origin = value.origin, status = value.status,
    headers = value.headers or {}, delay_ms = value.delay_ms, drop = value.drop,
    truncate = value.truncate, content_type = value.content_type, body = value.body,
  }
  if fault.body == nil or fault.body == json.null then fault.body = "" end
  if type(fault.body) ~= "string" then
    fault.body = json.encode(fault.body)
    fault.content_type = fault.content_type or "application/json; charset=utf-8"
  end
  -- Something has to happen: a fault that asks for nothing else is a server error.
  if not (fault.status or fault.delay_ms or fault.drop or fault.truncate or value.headers) or
    value.body ~= nil and not fault.status then
    fault.status = 500
  end
  table.insert(state.scope(value.scope or "").faults, fault)
  return http.json(200, { ok = true })
end

local function settings(req)
  local value, why = body_object(req)
  if why then return problem(why) end
  if value.scope ~= nil and type(value.scope) ~= "string" then
    return problem("scope must be a string")
  end
  local scope = state.scope(value.scope or "")
  value.scope = nil
  for name, setting in pairs(value) do
    why = state.check_setting(name, setting ~= json.null and setting or nil)
    if why then return problem(why) end
  end
  for name, setting in pairs(value) do
    if setting == json.null then setting = nil end
    scope.settings[name] = setting
  end
  return http.json(200, { ok = true })
end

-- The same answer as Lua source, for callers without a JSON reader.
local function as_lua(value)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" then return tostring(value) end
  local out = {}
  if json.is_array(value) then
    for i, item in ipairs(value) do out[i] = as_lua(item) end
  else
    for key, item in pairs(value) do out[#out + 1] = ("[%q]=%s"):format(key, as_lua(item)) end
    table.sort(out)
  end
  return "{" .. table.concat(out, ",\n") .. "}"
end

local function reply(req, value)
  if req:arg("format") == "lua" then
    return http.text(200, "return " .. as_lua(value), "text/x-lua")
  end
  return http.json(200, value)
end

local function requests(req)
  local list, dropped = state.requests(state.scope(req:arg("scope") or ""))
  return reply(req, { requests = json.array(list), dropped = dropped })
end

local function leaks(req)
  return reply(req, { leaks = json.array(state.leaks(req:arg("scope"))) })
end

local function reset(req)
  state.reset(req:arg("scope"))
  return http.json(200, { ok = true })
end

local function info(req)
  return reply(req, {
    files = ngx.var.files, files_tls = ngx.var.files_tls, time = ngx.now(), pid = ngx.worker.pid(),
  })
end

local endpoints = {
  ["POST /_sim/fault"] = add_fault,
  ["POST /_sim/settings"] = settings,
  ["GET /_sim/requests"] = requests,
  ["GET /_sim/leaks"] = leaks,
  ["POST /_sim/reset"] = reset,
  ["GET /_sim/info"] = info,
}

function M.handle(req)
  local endpoint = endpoints[req.method .. " " .. req.path]
  if not endpoint then return http.json(404, { error = "no such control: " .. req.path }) end
  return endpoint(req)
end

return M
