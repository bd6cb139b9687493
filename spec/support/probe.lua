-- For the specs of faults: asks the server of faults for many misbehaviours side by side,
-- each at a port of its own so that no connection is shared, and checks what came of each.
-- Must not: know what is right; the cases say so.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"

local assert = require "luassert"

local M = {}

local SECRET = "s3cr3t-probe-token"

local function merged(...)
  local out = {}
  for _, map in ipairs { ... } do
    for name, value in pairs(map) do out[name] = value end
  end
  return out
end

local function ask(case, server, path)
  local api = clients.client(merged({ base_url = case.base, token = SECRET, timeout = 20,
    retry = { attempts = 2, backoff = 0.01, backoff_throttled = 0.01 } }, case.options or {}))
  local res, err = api:request(merged({ method = "GET" }, case.request or {}, { path = path }))
  local value, problem
  if res then value, problem = res:json() end
  case.outcome = { res = res, err = err, value = value, problem = problem,
    seen = server:seen(path) }
end

--- Runs the cases side by side and keeps the outcome of each in it.
---@param cases table[] { name, answer or answers, options of the client, request, tls =
--- certificate, and what `check` looks at }
function M.run(cases)
  local server, asked = faults.start(), {}
  for i, case in ipairs(cases) do
    local path = "/case" .. i
    local answers = case.answers or { case.answer or {} }
    server:script(path, (unpack or table.unpack)(answers)) -- luacheck: ignore 113 143
    case.base = case.tls and server:tls(case.tls) or server:origin()
    case.options = case.tls and merged({ ca_file = server.ca_file }, case.options or {})
      or case.options
    asked[i] = function() ask(case, server, path) end
  end
  local outcomes = require("garner").all(asked, { concurrency = #asked })
  clients.close_all()
  server:stop()
  for _, outcome in ipairs(outcomes) do
    assert(outcome.ok, tostring(outcome.err))
  end
end

local function shown(outcome)
  return tostring(outcome.err or outcome.problem or outcome.res)
end

--- Checks a case: kind, code, status, message (a part of it), json = true (a value came) or
--- "bad" (a response that is no JSON), requests = how many were sent, retryable, body.
---@param case table
function M.check(case)
  local outcome = assert(case.outcome, "was not run")
  local err = outcome.err or case.json == "bad" and outcome.problem
  local text = shown(outcome)
  assert.is_nil(text:find(SECRET, 1, true), text)
  if case.kind then
    assert.truthy(err, "a success: " .. text)
    assert.equal(case.kind, err.kind, text)
    assert.equal(case.code, err.code, text)
  else
    assert.is_nil(outcome.err, text)
  end
  if case.json == true then assert.truthy(outcome.value ~= nil, text) end
  if case.body then assert.equal(case.body, outcome.res.body) end
  if case.status then assert.equal(case.status, (outcome.res or err).status, text) end
  if case.retryable ~= nil then assert.equal(case.retryable, err.retryable, text) end
  if case.message then
    assert.truthy(text:find(case.message, 1, true), text .. "\n does not say " .. case.message)
  end
  if case.requests then assert.equal(case.requests, #outcome.seen, text) end
  if case.also then case.also(outcome) end
end

return M
