-- Owns how the events of a range come out of Shoplazza: one data query task
-- for each window and event, created, waited for, downloaded, read. It must
-- not create a task twice.

local errors = require "garner.errors"
local job = require "garner.job"
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

-- A task of this window that has ended well, or why not.
local function finished_task(shop, window, given)
  local made, err = shop:create_query {
    event = window.event, begin_time = window.begin_text, end_time = window.end_text,
    timeout = given.timeout, headers = given.headers, attempts = given.attempts,
  }
  if not made then return nil, err end
  local reports
  reports, err = made:wait(given.wait)
  if not reports then
    err.query_id = made.query_id
    return nil, err
  end
  return reports[1]
end

-- The file needs no name for longer than it takes to open it.
local function temporary(each, given)
  local path = os.tmpname()
  local saved, err = each:download(path, { max_body = given.max_body })
  if not saved then
    os.remove(path)
    return nil, err
  end
  local file, message = io.open(path, "rb")
  os.remove(path)
  if not file then
    return nil, errors.new { kind = "file", message = "cannot read the result file: " .. message }
  end
  return file
end

---One window's rows, read from its file as they are asked for.
---@param shop garner.shoplazza
---@param window table
---@param given table
---@return table|nil answer
---@return garner.Error|nil
function M.fetch(shop, window, given)
  local each, err = finished_task(shop, window, given)
  if not each then return nil, err end
  local file
  file, err = temporary(each, given)
  if not file then return nil, err end
  local rows
  rows, err = query.rows(file, {
    query_id = each.query_id, query_event = window.event, window_from = window.from_text,
    window_to = window.to_text,
  })
  if not rows then return nil, err end
  return { rows = rows, query_id = each.query_id }
end

---One window's file, kept as it is.
---@param shop garner.shoplazza
---@param window table
---@param folder string
---@param given table
---@return string|nil path
---@return garner.Error|nil
function M.keep(shop, window, folder, given)
  local each, err = finished_task(shop, window, given)
  if not each then return nil, err end
  local name = ("%s-%s.csv"):format(window.event or "events",
    window.from_text:gsub("[:%-]", ""):gsub("T", "-"))
  local path = folder:gsub("/+$", "") .. "/" .. name
  local saved
  saved, err = each:download(path, { max_body = given.max_body })
  return saved and path, err
end

---How a job of Shoplazza is asked: one GET for each task, always with its id
---("if omitted, latest task").
---@param shop garner.shoplazza
---@param detail garner.endpoint
---@param ask fun(id: string, call: table): table|nil, garner.Error|nil one look at a task
---@param call table
---@return garner.job.api
function M.job_api(shop, detail, ask, call)
  local api = { apply = query.apply }
  function api.poll(_, reports)
    local ids = {}
    for index, each in ipairs(reports) do ids[index] = { id = each.id } end
    return { method = "GET", path = shop:api_path(detail.path), headers = call.headers, ids = ids,
      query_key = "id", id = "query_id", status = "query_status", uri = "query.url",
      states = query.STATES, operation = "wait", scope = detail.scope,
      request_timeout = call.timeout }
  end
  function api.look(_, reports, apply)
    for _, each in ipairs(reports) do
      local body, err = ask(each.id, call)
      if not body then return nil, err end
      apply(each, body)
    end
    return true
  end
  return api
end

---The job of one created task.
---@param shop garner.shoplazza
---@param id string
---@param event string|nil
---@param api garner.job.api
---@param element? table what the server said about it
---@return garner.job
function M.job(shop, id, event, api, element)
  local each = query.new_report(id, event, element)
  return job.new(shop, api, { each }, { query_id = each.query_id })
end

return M
