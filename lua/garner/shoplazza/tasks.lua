-- Owns what Shoplazza's data query tasks mean: events, the two ends of a
-- query, what a task's answer says, the rows of its file. Facts: "Create Data
-- Query Task" and its siblings (Shoplazza Admin API reference), and the
-- published OpenAPI file of version 2022-01. It must not send anything or wait.

local compat = require "garner.compat"
local enums = require "garner.enums"
local json = require "garner.json"
local report = require "garner.report"

local M = {}

M.EVENTS = enums.new("event", "", {
  "impressions", "add_payment_info", "add_to_cart", "begin_checkout", "pageview", "place_order",
  "product_search", "product_view", "purchase_product", "refund_order",
})

-- "The duration between beginTime and endTime cannot exceed 24 hours"; "only
-- events after this time are queried": the begin is documented as excluded,
-- the end is inferred to be included.
M.MAX_WINDOW = 24 * 3600
M.EDGES = "(]"

-- Numbers are all there is: 0 is pending, 2 is complete, the others have
-- never been documented and are polled on until the deadline.
M.STATES = { ["0"] = "running", ["2"] = "done" }
M.STATUSES = { ["0"] = "pending", ["2"] = "complete" }

-- Leaky bucket of an app and store: 40 requests, 2 a second drain.
M.RATE, M.BURST = 2, 40

M.SCOPE = "read_data"

local function present(value)
  if value ~= json.null then return value end
end

local function as_text(value)
  if type(value) == "number" then return compat.number_text(value) end
  return value ~= nil and tostring(value) or nil
end

-- A failed task is created again: "never retried server-side".
M.RECREATE = { max = 3, pause = 60 }

---Takes what the server says about a task into its report.
---@param each garner.report
---@param element table
---@param states? table<string, string> what the numbers mean, if more is known than documented
function M.apply(each, element, states)
  local status = as_text(present(element.query_status))
  each.query_status = present(element.query_status)
  each.state = (states or M.STATES)[status] or "unknown"
  each.status = M.STATUSES[status] or status or "unknown"
  local query = present(element.query)
  local url = type(query) == "table" and present(query.url)
  each.uri = type(url) == "string" and url ~= "" and url or nil
end

---A task as a report.
---@param id string|nil the query_id
---@param ask? { event?: string, begin_time?: string, end_time?: string } what it was created with
---@param element table|nil
---@param states? table<string, string>
---@return garner.report
function M.new_report(id, ask, element, states)
  local created = element == nil
  element = element or {}
  id = id or as_text(present(element.query_id))
  ask = ask or {}
  local each = report.new { id = id, event = ask.event, begin_time = ask.begin_time,
    end_time = ask.end_time, raw = element }
  each.query_id = each.id
  M.apply(each, element, states)
  if created then each.status, each.state = "pending", "running" end
  return each
end

---What a checkpoint keeps of a task.
---@param each garner.report
---@return table
function M.freeze(each)
  return { event = each.event, begin_time = each.begin_time, end_time = each.end_time }
end

---A task out of a checkpoint.
---@param frozen table
---@return garner.report
function M.thaw(frozen)
  local each = M.new_report(type(frozen.id) == "string" and frozen.id or nil, frozen)
  each.raw = nil
  return each
end

---The tasks of a list answer. One page of the vendor calls the list "tasks",
---another "querys".
---@param body table
---@return table[]|nil
function M.list(body)
  local list = present(body.tasks)
  if type(list) ~= "table" then list = present(body.querys) end
  return type(list) == "table" and list or nil
end

---The rows of a result file as they are read: of CSV every value is text. The suffix of the URL
---says nothing: the first bytes do.
---@param rows garner.FileRows
---@param about table what a row also answers to, where no column has the name
---@return fun(): table|nil, garner.Error|nil
function M.rows(rows, about)
  local columns = {}
  local meta = { __index = about, columns = columns }
  return function()
    local row, err = rows:step()
    if row == nil then return nil, err end
    if not columns[1] then
      for index, name in ipairs(rows.columns or {}) do columns[index] = name end
    end
    return setmetatable(row, meta)
  end
end

---Text that is equal for rows that are equal in every field. The file's bytes need
---not be valid UTF-8, which JSON would refuse.
---@param row table
---@return string
function M.identity(row)
  local parts = {}
  for name, value in pairs(row) do
    local text = type(value) == "string" and "s" .. value or "j" .. tostring(json.try_encode(value))
    parts[#parts + 1] = ("%d %s%d %s"):format(#name, name, #text, text)
  end
  table.sort(parts)
  return table.concat(parts)
end

---What `save` writes of a row: its columns, in the file's order.
---@param row table
---@return table
---@return string[]|nil
function M.record(row)
  local columns = getmetatable(row).columns
  return row, columns[1] and columns or nil
end

return M
