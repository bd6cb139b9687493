-- Shoplazza's data query tasks, version 2022-01: create (a GET with a side effect), detail,
-- list, count. Errors come in the several shapes that its documents show. The rows of a
-- file are shoplazza_events.lua.
local clock = require "sim.clock"
local credential = require "sim.credential"
local events = require "sim.shoplazza_events"
local files = require "sim.files"
local http = require "sim.http"
local json = require "sim.json"
local seed = require "sim.seed"
local state = require "sim.state"

local M = {}

local MAX_SPAN = 24 * 3600
local MAX_LIMIT = 250

local function errors(status, text)
  return http.json(status, { errors = json.array { text } })
end

-- Without a credential: bare text. With a wrong one: a bare JSON string. Others on request.
local function unauthorized(req, scope)
  local shape = scope.settings.auth_shape or (req.headers["access-token"] and "string" or "text")
  if shape == "string" then return http.json(400, '"Unauthorized"') end
  if shape == "errors" then return errors(401, "Unauthorized") end
  if shape == "error" then return http.json(401, { error = "Unauthorized" }) end
  return http.text(400, "Unauthorized")
end

local function time_of(req, name)
  local text = req:arg(name)
  if not text or text == "" then return nil, errors(400, name .. " is required") end
  local epoch = clock.parse_naive(text)
  if not epoch then
    return nil, errors(422, name .. " must have the form 2006-01-02T15:04:05: " .. text)
  end
  return epoch
end

local function create(req, scope)
  local event = req:arg("event")
  if event and not events.is_event(event) then
    return http.json(422, { error = "event is not supported: " .. event })
  end
  local begin, bad_begin = time_of(req, "beginTime")
  local finish, bad_finish = time_of(req, "endTime")
  if not begin or not finish then return bad_begin or bad_finish end
  if finish <= begin then return errors(422, "endTime must be after beginTime") end
  if finish - begin > MAX_SPAN then
    return errors(422, "the time between beginTime and endTime cannot exceed 24 hours")
  end
  local task = { polls = 0, number = #scope.tasks + 1, failed = state.take_failure(scope),
    created = ngx.now() }
  task.id = seed.uuid(("task %s %d"):format(scope.name, task.number))
  task.file = task.id .. ".csv"
  scope.tasks[task.number] = task
  if not state.take_vanished(scope) then scope.task_by_id[task.id] = task end
  local options = { bom = scope.settings.bom }
  files.register(scope, task.file, function() return events.make(event, begin, finish, options) end)
  return http.json(200, { query_id = task.id })
end

-- While a task is pending, `query` is absent, null or has an empty url: all three occur.
local function describe(req, scope, task)
  local out = { query_id = task.id, query_status = 0 }
  if not state.has_ended(scope, task) then
    local shape = (task.polls + task.number) % 3
    if shape == 0 then out.query = json.null end
    if shape == 1 then out.query = { url = "" } end
  elseif task.failed then
    out.query_status, out.query = scope.settings.fail_status, json.null
  elseif not state.shows_link(scope, task) then
    out.query_status, out.query = 2, { url = "" }
  else
    out.query_status, out.query = 2, { url = files.url(req, scope, task.file) }
  end
  return out
end

local function detail(req, scope)
  local id = req:arg("id")
  -- Without an id the server answers with the last task, whosever it is.
  local task = scope.task_by_id[id or ""]
  if not id or id == "" then task = scope.tasks[#scope.tasks] end
  if not task then return errors(404, "no result") end
  task.polls = task.polls + 1
  return http.json(200, describe(req, scope, task))
end

local function list(req, scope)
  local page, limit = req:arg("page") or "1", req:arg("limit") or "20"
  if not page:find("^%d+$") or tonumber(page) < 1 then
    return errors(422, "page must be a number from 1")
  end
  if not limit:find("^%d+$") or tonumber(limit) < 1 or tonumber(limit) > MAX_LIMIT then
    return errors(422, "limit must be between 1 and 250")
  end
  local out = json.array()
  local skip = (tonumber(page) - 1) * tonumber(limit)
  -- Newest first.
  for i = #scope.tasks - skip, math.max(1, #scope.tasks - skip - tonumber(limit) + 1), -1 do
    out[#out + 1] = describe(req, scope, scope.tasks[i])
  end
  return http.json(200, { [scope.settings.tasks_key] = out })
end

local function count(_, scope)
  return http.json(200, { count = #scope.tasks })
end

local endpoints = {
  ["data/query"] = create,
  ["data/task"] = detail,
  ["data/tasks"] = list,
  ["data/count"] = count,
}

local function answer(req, scope)
  local version, name = req.path:match("^/openapi/([^/]+)/(.+)$")
  local endpoint = version == "2022-01" and endpoints[name]
  if not endpoint then return http.json(404, { error = "page not found" }) end
  if not credential.has_header(req, "access-token") then return unauthorized(req, scope) end
  if scope.settings.forbidden then
    return http.json(403, { error = "access denied: requires the read_data scope" })
  end
  if req.method ~= "GET" then return http.json(405, { error = "method not allowed" }) end
  return endpoint(req, scope)
end

function M.handle(req, scope)
  local out = answer(req, scope)
  out.headers["Request-Id"] = ngx.var.request_id
  return out
end

return M
