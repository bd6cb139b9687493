-- Owns: the rows of one response while it still arrives: batches that the core cut out of its
-- list, turned into Lua values and given one by one.
-- Must not: hold more than a batch, ask again for what was given, or end silently before the end.

local client = require "garner.client"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local json = require "garner.json"
local methods = require "garner.methods"
local options = require "garner.options"
local request = require "garner.request"
local sending = require "garner.send"

local M = {}

local WHAT = "client:rows"

local SCHEMA = request.extend { items = options.text, optional = options.boolean }
SCHEMA.file = nil -- its rows are given, here

---@class garner.Rows
local Rows = {}
Rows.__index = Rows
Rows.__name = "garner.Rows"

local hidden = setmetatable({}, { __mode = "k" })

local function decode(w, batch)
  if w.state.codec ~= "cjson" then
    return batch:json()
  end
  local text, count = batch:text()
  local list, why = json.codec "cjson".decode(text)
  return list, list and count or why
end

local function stop(self, w)
  self._list, self._at, self._count = nil, 0, 0
  if w.op then
    w.op:cancel()
    w.op = nil
  end
end

local function failure(w, value)
  local err = sending.failure(value, w.context)
  if err.code == "json" and err.body and err.body ~= "" then
    err.message = ("%s (%s): %s"):format(err.message,
      err.headers["content-type"] or "no content type", errors.one_line(err.body, 200))
  end
  return err
end

-- What comes next: a batch, the end (true), or nil and an error.
local function step(w)
  if not w.op then
    local op, err = sending.start(w.state, "submit", w.request)
    if not op then
      return nil, err
    end
    w.op = op
  end
  local event, value = w.op:next()
  if event == "rows" then
    w.begun = true
    w.op:advance() -- another one may come meanwhile
    return value
  end
  w.op = nil
  if not value or value:error() or value:status() >= 400 then
    return nil, failure(w, value)
  end
  return true
end

local function end_with(self, w, err)
  stop(self, w)
  if err and err.code == "no_items" and w.opts.optional then
    err = nil
  end
  w.ended, w.failure = true, err
  return nil, err
end

-- The first row of the next batch.
local function following(self)
  local w = hidden[self]
  if w.ended then
    return nil, w.failure
  end
  w.before, self._list, self._at, self._count = w.before + self._count, nil, 0, 0
  local batch, err
  if w.begun then
    batch, err = step(w)
  else -- a token that is refused is renewed before any row came
    batch, err = sending.with_token(w.state, step, w)
  end
  if not batch or batch == true then
    return end_with(self, w, err)
  end
  local list, count = decode(w, batch)
  if not list then
    return end_with(self, w, errors.from_raw({ kind = "protocol", code = "json",
      retryable = false, message = "rows after row " .. w.before .. ": " .. tostring(count) },
      w.context))
  end
  self._list, self._at, self._count = list, 1, count
  return list[1]
end

--- The next row, waiting for it.
---@return any|nil row nil: the end. JSON null is `garner.json.null`
---@return garner.Error|nil err the rows before it stay good; it comes again with every call
function Rows:next()
  local at = self._at + 1
  if at <= self._count then
    self._at = at
    return self._list[at]
  end
  return following(self)
end

function Rows:__call()
  local at = self._at + 1
  if at <= self._count then
    self._at = at
    return self._list[at]
  end
  if driver.no_for() then
    errors.misuse("rows: this Lua cannot wait inside a `for` iterator here: use each(fn)")
  end
  local row, err = following(self)
  if err then
    errors.raise(err, hidden[self].state.log)
  end
  return row
end

local each_row = Rows.next -- before it is guarded

--- Calls a function with each row; false from it ends the stream.
---@param fn fun(row: any): boolean|nil it may wait
---@return integer|nil rows how many were given to fn
---@return garner.Error|nil err
---@return integer|nil rows given before the error
function Rows:each(fn)
  if not compat.callable(fn) then
    errors.misuse("rows:each: give a function, got " .. options.show(fn))
  end
  local count = 0
  while true do
    local row, err = each_row(self)
    if row == nil then
      return not err and count or nil, err, err and count or nil
    end
    count = count + 1
    local ok, go_on = compat.guard(fn, row)
    if not ok or go_on == false then
      self:close()
      if not ok then
        error(go_on, 0)
      end
      return count
    end
  end
end

--- All rows in one list, which is what a stream is there to do without.
---@param opts table|nil `max_rows`: more than that ends as kind "truncated"
---@return table|nil rows
---@return garner.Error|nil err
---@return table|nil partial the rows that came before the error
function Rows:collect(opts)
  opts = options.check(opts, { max_rows = options.integer(1) }, "rows:collect")
  local out = {}
  while true do
    local row, err = each_row(self)
    if row == nil then
      return not err and out or nil, err, err and out or nil
    elseif #out == opts.max_rows then
      self:close()
      return nil, errors.new { kind = "truncated", code = "max_rows",
        message = "there are more than " .. opts.max_rows .. " rows (max_rows)" }, out
    end
    out[#out + 1] = row
  end
end

--- Ends the stream: what is in flight is cancelled, its connection let go. May be called again.
function Rows:close()
  local w = hidden[self]
  w.before, w.ended = w.before + self._at, true
  stop(self, w)
end
Rows.__close = Rows.close

function Rows:__tostring()
  local w = hidden[self]
  return ("garner rows of %s (%d so far%s)"):format(core.url_redact(w.request.url, false),
    w.before + self._at, w.ended and ", ended" or "")
end

--- Makes a stream; see `client:rows`.
function M.new(state, path, opts)
  opts = client.path_options(path, opts, SCHEMA, WHAT)
  local items = opts.items or ""
  local ok, why = pcall(core.json_split_new, items, 1)
  if items:find("\0", 1, true) or not ok then
    errors.pass(why)
    errors.misuse(WHAT .. ": items: " .. (ok and "it has a NUL byte" or tostring(why)))
  end
  local core_request, context = request.build(state, opts, WHAT)
  core_request.rows = items
  local rows = setmetatable({ _at = 0, _count = 0 }, Rows)
  hidden[rows] = { state = state, opts = opts, request = core_request, context = context,
    before = 0 }
  if compat.closes_for then
    return rows, nil, nil, rows
  end
  return rows
end

methods.guard(Rows, "rows", function(value) return hidden[value] ~= nil end)

return M
