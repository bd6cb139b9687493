-- Owns: `garner.rows`: the rows of a file, whatever its name says: gzip or not, CSV, JSON Lines,
-- or a JSON list, told by its first bytes. Must not: convert a value, or take for a row what is
-- none.

local chunks = require "garner.chunks"
local csv = require "garner.csv"
local errors = require "garner.errors"
local iterator = require "garner.iterator"
local json = require "garner.json"
local json_list = require "garner.json_list"
local jsonl = require "garner.jsonl"
local options = require "garner.options"

local M = {}

---@class garner.FileRows
---@field format string|nil "csv", "jsonl" or "json", once the first row was read
---@field columns string[]|nil of CSV, the names of the columns in the file's order
---@field line integer|nil where the last row began; of a JSON list its number
---@field size integer|nil bytes, of what `report:rows` downloaded

local FORMATS = { csv = true, jsonl = true, json = true }

local function format_option(value)
  if FORMATS[value] then return value end
  return nil, 'must be "csv", "jsonl" or "json", got ' .. options.show(value)
end

local SCHEMA = {
  path = options.any, file = options.any, text = options.any, read = options.callable,
  close = options.boolean, format = format_option, csv = options.table,
}

local LOOK = 512 -- bytes in which the first one that means something must come

local function open(self)
  local format, source = self.wanted, self.source
  if not format then
    local chunk, err = source:peek(LOOK)
    if err then return nil, err end
    local first = (chunk or ""):gsub("^\239\187\191", ""):match "^%s*(.)"
    if first == "<" then
      return nil, errors.new { kind = "protocol", code = "html",
        message = ("%s is a page, not rows: %s"):format(source.name,
          errors.one_line(chunk, 100)) }
    end
    format = first == "[" and "json" or first == "{" and "jsonl" or "csv"
  end
  self.format = format
  if format == "csv" then
    self.inner = csv.rows(source, self.csv)
  elseif format == "jsonl" then
    self.inner = jsonl.rows(source)
  else
    self.inner = json_list.new(source)
  end
  return true
end

local function step(self)
  if self.closed then return nil end
  if not self.inner then
    local ok, err = open(self)
    if not ok then
      self:close()
      return nil, err
    end
  end
  local row, at = self.inner:step()
  if row == nil then
    self:close()
    return nil, at
  end
  -- A value that is no row must not look like one, nor like the end.
  if self.format ~= "csv" and (type(row) ~= "table" or json.is_array(row)) then
    self:close()
    return nil, errors.new { kind = "protocol", code = "json", line = at,
      message = ("%s: row %s is no object"):format(self.source.name, tostring(at)) }
  end
  self.columns, self.line = self.inner.columns, at
  return row, at
end

local Rows = iterator.class(step, function(self)
  self.closed = true
  if self.inner then self.inner:close() end
  self.source:close()
end)

--- The iterator alone, for those who go on with it.
---@param given string|table as for `rows`
---@param what string names the verb in messages
---@return garner.FileRows
function M.new(given, what)
  if type(given) == "string" then given = { path = given } end
  local opts = options.check(given, SCHEMA, what)
  local source, problem = chunks.new(opts.read or opts, what)
  if not source then errors.misuse(what .. ": " .. problem) end
  return setmetatable({ source = source, wanted = opts.format, csv = opts.csv }, Rows)
end

--- Iterates over the rows of a file in constant memory.
---
---     for row in garner.rows "report.csv.gz" do print(row.event) end
---
--- gzip is unpacked (its end is checked); CSV, JSON Lines and a JSON list of objects are told by
--- the first bytes. A row is a table: of CSV by the names of its header, every value text; of
--- JSON the object. Gives the row and its line (of a JSON list its number). Raises an error
--- object (kinds protocol, too_large, file; code "html" for a page where rows were expected)
--- where a plain end would hide a failure; `rows:step()` gives nil and the error instead. The
--- iterator has `format`, `columns` (of CSV), `line` and `close()`, and closes what it opened at
--- the end, on an error and, on Lua 5.4, when the loop is left early.
---@param source string|table a path, or { path = } or { file = path or open file, close = whether
--- an open one is closed at the end } or { text = } or { read = function that gives chunks, nil at
--- the end }; and format = "csv", "jsonl" or "json" where the first bytes would mislead; csv =
--- options of `csv.rows`
---@return garner.FileRows
function M.rows(source)
  local rows = M.new(source, "garner.rows")
  return rows, nil, nil, rows
end

return M
