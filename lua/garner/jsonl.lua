-- Owns: JSON Lines: one JSON value a line, read in constant memory; blank lines, the byte order
-- mark, gzip. Must not: guess; a line that is no JSON is an error with its number.

local chunks = require "garner.chunks"
local core = require "garner.core"
local errors = require "garner.errors"
local iterator = require "garner.iterator"

local M = {}

local MAX_LINE = 16 * 1024 * 1024

---@class garner.JsonLines
---@field line integer the number of the line that was read last

local function fail(self, message, kind)
  self:close()
  return nil, errors.new { kind = kind or "protocol", code = "json", line = self.line,
    message = ("%s, line %d: %s"):format(self.source.name, self.line, message) }
end

-- The next line without its end, in pieces where it lies in more than one chunk; nil at the
-- end of all; nil and an error.
local function next_line(self)
  local parts, size
  while true do
    local at = self.buffer:find("\n", self.at, true)
    local piece = self.buffer:sub(self.at, at and at - 1)
    size = (size or 0) + #piece
    if size > self.max_line then
      self.line = self.line + 1
      return fail(self, ("longer than %d bytes (max_line)"):format(self.max_line), "too_large")
    end
    if at then
      self.at = at + 1
      if not parts then return piece end
      parts[#parts + 1] = piece
      return table.concat(parts)
    end
    parts = parts or {}
    parts[#parts + 1] = piece
    local chunk, err = self.source:read()
    if not chunk then
      self.buffer, self.at = "", 1
      if err then
        self:close()
        return nil, err
      end
      local last = table.concat(parts)
      return last ~= "" and last or nil
    end
    self.buffer, self.at = chunk, 1
  end
end

local function without_mark(self, text)
  if text:sub(1, 3) == "\239\187\191" then return text:sub(4) end
  local mark = text:sub(1, 2)
  if mark == "\255\254" or mark == "\254\255" then
    return fail(self, "the text is UTF-16; convert it to UTF-8 first")
  end
  return text
end

local function step(self)
  while not self.closed do
    local text, err = next_line(self)
    if not text then
      self:close()
      return nil, err
    end
    self.line = self.line + 1
    if self.line == 1 then
      text, err = without_mark(self, text)
      if not text then return nil, err end
    end
    if text:find "%S" then
      local value, message = core.json_decode(text)
      if value == nil then return fail(self, "not JSON: " .. tostring(message)) end
      return value, self.line
    end
  end
end

local Lines = iterator.class(step, function(self)
  self.closed, self.buffer, self.at = true, "", 1
  self.source:close()
end)

local function new(source, options, what)
  options = options or {}
  local made, problem = chunks.new(source, what)
  if not made then errors.misuse(what .. ": " .. problem) end
  options = require("garner.options").check(options, {
    max_line = require("garner.options").integer(1),
  }, what)
  return setmetatable({ source = made, buffer = "", at = 1, line = 0,
    max_line = options.max_line or MAX_LINE }, Lines)
end

--- Iterates over the values of JSON Lines.
---
---     for row in jsonl.rows { file = "events.jsonl" } do print(row.event) end
---
--- gzip is unpacked, and its end checked, where the first two bytes say so. Blank lines are
--- skipped. Gives the value (null is `garner.json.null`) and the number of its line. Raises an
--- error object (kinds protocol, too_large, file; `line`) where a plain end would hide a failure.
--- The iterator has `line` and `close()`, and closes its file at the end, on an error and, on
--- Lua 5.4, when the loop is left early.
---@param source table|function as for `csv.rows`
---@param options? { max_line: integer } bytes, 16 MiB
---@return garner.JsonLines
function M.rows(source, options)
  local rows = new(source, options, "jsonl.rows")
  return rows, nil, nil, rows
end

--- Calls `fn(value, line)` for every line.
---@param source table|function as for `rows`
---@param fn fun(value: any, line: integer)
---@param options? table as for `rows`
---@return integer|nil count
---@return garner.Error|nil
function M.each(source, fn, options)
  return iterator.each(new(source, options, "jsonl.each"), fn, "jsonl.each")
end

--- All values as a list.
---@param source table|function as for `rows`
---@param options? table as for `rows`
---@return any[]|nil values
---@return garner.Error|nil
---@return any[]|nil partial those before the error
function M.collect(source, options)
  return iterator.collect(new(source, options, "jsonl.collect"))
end

return M
