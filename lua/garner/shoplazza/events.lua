-- Owns how the events of a range come out of Shoplazza: one data query task
-- for each window and event, created, waited for, downloaded, read. It must
-- not create a second task for a window that has one.

local query = require "garner.shoplazza.tasks"
local time = require "garner.time"

local M = {}

-- The windows of every event, one event after the other. Windows of one
-- event are a chain: only they can share an instant.
---@param windows garner.Window[]
---@param events string[] empty for one task without the parameter
---@param zone garner.Zone
---@return table[]
function M.windows(windows, events, zone)
  local out = {}
  for index = 1, math.max(1, #events) do
    for _, window in ipairs(windows) do
      out[#out + 1] = {
        index = #out + 1, chain = index, event = events[index], from = window.from, to = window.to,
        send_from = window.send_from, send_to = window.send_to,
        from_text = time.format(window.from, zone), to_text = time.format(window.to, zone),
        begin_text = time.format(window.send_from, zone),
        end_text = time.format(window.send_to, zone),
      }
    end
  end
  return out
end

-- The task of this window, created unless it has one.
local function task_of(shop, window, given, budget)
  if window.job then return window.job end
  if budget then
    local ok, err = budget:spend(given.in_doubt == "list" and 2 or 1)
    if not ok then return nil, err end
  end
  local err
  window.job, err = shop:create_query {
    event = window.event, begin_time = window.begin_text, end_time = window.end_text,
    timeout = given.timeout, headers = given.headers, attempts = given.attempts,
    recreate = given.recreate, in_doubt = given.in_doubt, track = given.track,
    failed_status = given.failed_status,
  }
  return window.job, err
end

-- A task of this window that has ended well, or why not; and the requests it took.
local function finished_task(shop, window, given, budget)
  local made, err = task_of(shop, window, given, budget)
  if not made then return nil, err, 1 end
  local before = made.requests or -made.creates
  local reports
  reports, err = made:wait(given.wait, budget)
  local requests = (made.requests or 0) - before
  if not reports then
    err.query_id = made.reports[1].query_id
    return nil, err, requests
  end
  if budget then
    local ok, why = budget:spend(1)
    if not ok then return nil, why, requests end
  end
  return reports[1], nil, requests + 1
end

---One window's rows, read from its file as they are asked for. Where it is asked again because a
---task is not ready, that task is gone on with (`window.job`); once its rows are given, the next
---time is a new task, since a task's file does not change.
---@param shop garner.shoplazza
---@param window table
---@param given table
---@param budget? table `spend`
---@return table|nil answer
---@return garner.Error|nil
function M.fetch(shop, window, given, budget)
  local each, err, requests = finished_task(shop, window, given, budget)
  if not each then return nil, err end
  local file
  file, err = each:rows { max_body = given.max_body }
  if not file then return nil, err end
  window.job = nil
  return { rows = query.rows(file, {
    query_id = each.query_id, query_event = window.event, window_from = window.from_text,
    window_to = window.to_text,
  }), query_id = each.query_id, requests = requests, bytes = file.size }
end

---One window's file, kept as it is.
---@param shop garner.shoplazza
---@param window table
---@param folder string
---@param given table
---@param budget? table `spend`
---@return string|nil path
---@return garner.Error|nil
---@return number|nil bytes
function M.keep(shop, window, folder, given, budget)
  local each, err = finished_task(shop, window, given, budget)
  if not each then return nil, err end
  local name = ("%s-%s.csv"):format(window.event or "events",
    window.from_text:gsub("[:%-]", ""):gsub("T", "-"))
  local path = folder:gsub("/+$", "") .. "/" .. name
  local saved
  saved, err = each:download(path, { max_body = given.max_body })
  if not saved then return nil, err end
  return path, nil, saved.size
end

---How jobs of Shoplazza are asked: one GET for each task, always with its id
---("if omitted, latest task").
---@param shop garner.shoplazza
---@param detail garner.endpoint
---@param call table timeout, headers
---@param states table<string, string>
---@param create fun(ask: table): garner.report[]|nil, garner.Error|nil, number|nil
---@return garner.job.api
function M.job_api(shop, detail, call, states, create)
  local api = { client = shop, states = states, freeze = query.freeze }
  function api.apply(each, element) query.apply(each, element, states) end
  function api.poll(reports)
    local ids = {}
    for index, each in ipairs(reports) do ids[index] = { id = each.id } end
    return { method = "GET", path = shop:api_path(detail.path), headers = call.headers, ids = ids,
      query_key = "id", id = "query_id", status = "query_status", uri = "query.url",
      states = states, operation = "wait", scope = detail.scope, request_timeout = call.timeout }
  end
  function api.can_create(each) return each.begin_time ~= nil and each.end_time ~= nil end
  api.create = create
  return api
end

return M
