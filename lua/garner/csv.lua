--- Reads CSV (RFC 4180) in constant memory, a row at a time.
-- Owns quoting, line ends, the byte order mark and the names of columns. Must
-- not convert values: every field is text. A malformed file is an error with its
-- line, never a row that looks right.

local chunks = require "garner.chunks"
local iterator = require "garner.iterator"

local M = {}

local MAX_FIELD = 1024 * 1024
local MAX_ROW = 16 * 1024 * 1024
local FIELD_COST = 16

local function failure(fields)
  return require("garner.errors").new(fields)
end

---@class garner.CsvRows
---@field columns string[]|nil the names of the columns, once the first row was read
---@field line integer the line on which the last row began
-- Chunks --------------------------------------------------------------------

-- Errors travel as the reader's `err`; they are raised or returned at the top.
local function fail(reader, message, fields)
  fields = fields or {}
  fields.kind, fields.code = fields.kind or "protocol", fields.code or "csv"
  fields.line = reader.at_line
  fields.message = ("%s, line %d: %s"):format(reader.name, reader.at_line, message)
  reader.err = failure(fields)
end

local function next_chunk(reader)
  local chunk, err = reader.source:read()
  if chunk == nil then reader.err, reader.ended = err, true end
  return chunk
end

-- The next bytes into the buffer; false at the end. All before is consumed.
local function refill(reader)
  local text = ""
  while not reader.ended and (text == "" or (not reader.begun and #text < 3)) do
    text = text .. (next_chunk(reader) or "")
  end
  if not reader.begun then
    reader.begun = true
    if text:sub(1, 3) == "\239\187\191" then text = text:sub(4) end
    local mark = text:sub(1, 2)
    if not reader.err and (mark == "\255\254" or mark == "\254\255") then
      fail(reader, "the text is UTF-16; convert it to UTF-8 first")
    end
    if text == "" and not reader.ended then return refill(reader) end
  end
  reader.buffer, reader.at = text, 1
  return text ~= "" and not reader.err
end

-- The next byte without taking it; nil at the end.
local function peek(reader)
  if reader.at > #reader.buffer and not refill(reader) then return nil end
  return reader.buffer:byte(reader.at)
end

-- Fields --------------------------------------------------------------------

local LF, CR, QUOTE = 10, 13, 34

-- Text to the field being read; false if that is more than the limits allow.
local function put(reader, text, cost)
  local size = #text
  reader.field_size = reader.field_size + size
  reader.row_size = reader.row_size + size + (cost or 0)
  local limit = reader.field_size > reader.max_field and "field"
    or reader.row_size > reader.max_row and "row"
  if limit then
    fail(reader, ("a %s is larger than %d bytes (max_%s)"):format(limit,
      reader["max_" .. limit], limit), { kind = "too_large" })
    return false
  end
  if size > 0 then reader.parts[#reader.parts + 1] = text end
  return true
end

local function add(reader, from, to)
  return to < from or put(reader, reader.buffer:sub(from, to))
end

local function count_lines(reader, from, to)
  local at = reader.buffer:find("\n", from, true)
  while at and at <= to do
    reader.next_line = reader.next_line + 1
    at = reader.buffer:find("\n", at + 1, true)
  end
end

-- Takes a line end if one is next ("\n", "\r\n", or "\r" at the very end).
-- A lone "\r" belongs to the field: then it is put there and false returned.
local function take_line_end(reader, byte)
  reader.at = reader.at + 1
  if byte == CR then
    local following = peek(reader)
    if following == LF then
      reader.at = reader.at + 1
    elseif following then
      put(reader, "\r")
      return false
    end
  end
  reader.next_line = reader.next_line + 1
  return true
end

-- Inside quotes, up to and with the closing one. True, or an error is set.
local function read_quoted(reader)
  reader.at = reader.at + 1
  while true do
    if reader.at > #reader.buffer and not refill(reader) then
      if not reader.err then fail(reader, "a quoted field that begins in this row never ends") end
      return false
    end
    local from = reader.at
    local quote = reader.buffer:find('"', from, true)
    local to = quote and quote - 1 or #reader.buffer
    count_lines(reader, from, to)
    if not add(reader, from, to) then return false end
    reader.at = to + 1
    if quote then
      reader.at = quote + 1
      if peek(reader) ~= QUOTE then return not reader.err end
      -- A doubled quote stands for one.
      if not add(reader, reader.at, reader.at) then return false end
      reader.at = reader.at + 1
    end
  end
end

-- The rest of a field that is not in quotes, or what follows a closing quote.
-- Returns "field" at a delimiter, "row" at the end of the row, nil on an error.
local function read_plain(reader, after_quote)
  while true do
    local byte = peek(reader)
    if reader.err then return nil end
    if not byte then return "row" end
    local from = reader.at
    local special = reader.buffer:find(reader.specials, from)
    local to = special and special - 1 or #reader.buffer
    if after_quote and to >= from then
      fail(reader, "text follows a closing quote")
      return nil
    end
    if not add(reader, from, to) then return nil end
    reader.at = to + 1
    if special then
      byte = reader.buffer:byte(special)
      if byte == reader.delimiter then
        reader.at = special + 1
        return "field"
      elseif byte == QUOTE then
        if after_quote or not reader.lazy_quotes then
          fail(reader, "a quote inside a field that is not quoted")
          return nil
        end
        if not add(reader, special, special) then return nil end
        reader.at = special + 1
      elseif take_line_end(reader, byte) then
        return "row"
      elseif after_quote then
        fail(reader, "text follows a closing quote")
        return nil
      end
    end
  end
end

-- A record that lies in the buffer and has no quotes, as most do, is cut at its
-- delimiters at once. Nil: take it apart byte by byte.
local function read_simple(reader)
  local from = reader.at
  local line_end = reader.buffer:find("\n", from, true)
  if not line_end or line_end - from > reader.max_simple then return nil end
  local line = reader.buffer:sub(from, line_end - 1)
  if line:byte(-1) == CR then line = line:sub(1, -2) end
  if line:find('"', 1, true) then return nil end
  local record, count, at = {}, 0, 1
  local separator = reader.separator
  local found = line:find(separator, 1, true)
  while found do
    count = count + 1
    record[count] = line:sub(at, found - 1)
    at = found + 1
    found = line:find(separator, at, true)
  end
  record[count + 1] = line:sub(at)
  reader.at, reader.next_line = line_end + 1, reader.next_line + 1
  return record
end

local function read_careful(reader)
  local record, quoted = {}, false
  local ending
  repeat
    reader.parts, reader.field_size = {}, 0
    local is_quoted = peek(reader) == QUOTE
    if is_quoted then
      quoted = true
      if not read_quoted(reader) then return nil end
    end
    ending = read_plain(reader, is_quoted)
    if not ending then return nil end
    -- Empty fields take memory too, so each has a price.
    if not put(reader, "", FIELD_COST) then return nil end
    record[#record + 1] = table.concat(reader.parts)
  until ending == "row"
  return record, quoted
end

-- One record as a list of fields, or nil at the end or on an error. Lines with
-- nothing on them are no records.
local function read_record(reader)
  while true do
    reader.at_line, reader.row_size = reader.next_line, 0
    if not peek(reader) then return nil end
    local record, quoted = read_simple(reader), false
    if not record then
      record, quoted = read_careful(reader)
      if not record then return nil end
    end
    if quoted or #record > 1 or record[1] ~= "" then return record end
  end
end

-- Rows ----------------------------------------------------------------------

-- Every column gets a name of its own: a second "a" is "a_2", one without a
-- name "column_3"; names that the file itself uses are never made up.
local function name_columns(record)
  local literal, used, counts, names = {}, {}, {}, {}
  for i = 1, #record do literal[record[i]] = true end
  for i = 1, #record do
    local base = record[i] ~= "" and record[i] or "column_" .. i
    local name = base
    while used[name] or (name ~= record[i] and literal[name]) do
      counts[base] = (counts[base] or 1) + 1
      name = base .. "_" .. counts[base]
    end
    used[name], names[i] = true, name
  end
  return names
end

local function to_row(reader, record)
  local columns = reader.columns
  if not reader.ragged and #record ~= reader.width then
    fail(reader, ("%d fields where %s %d"):format(#record,
      columns and "the header has" or "the first row has", reader.width))
    return nil
  end
  if not columns then return record end
  local row = {}
  for i = 1, #record do row[columns[i] or i] = record[i] end
  return row
end

-- The next row and its line; nil at the end; nil and an error.
local function step(self)
  local reader = self.reader
  if reader.closed then return nil end
  local record = not reader.err and read_record(reader)
  if record and not reader.width then
    if reader.header == true then
      reader.columns = name_columns(record)
      local names = record
      record = read_record(reader)
      -- Else a whole file of them would be one header, and no row.
      if not record and not reader.err and table.concat(names):find("\r", 1, true) then
        fail(reader, "its lines end with lone carriage returns: convert them to \\n")
      end
    elseif reader.header then
      reader.columns = name_columns(reader.header)
    end
    reader.width = reader.columns and #reader.columns or (record and #record) or 0
    self.columns = reader.columns
  end
  local row = record and to_row(reader, record)
  if row then
    self.line = reader.at_line
    return row, reader.at_line
  end
  local err = reader.err
  self:close()
  return nil, err
end

local Rows = iterator.class(step, function(self)
  local reader = self.reader
  reader.closed, reader.buffer, reader.parts = true, "", nil
  reader.source:close()
end)

local KNOWN = { header = true, delimiter = true, ragged = true, lazy_quotes = true,
  max_field = true, max_row = true }

local function check_options(options)
  if type(options) ~= "table" then return "options must be a table, got " .. type(options) end
  for name in pairs(options) do
    if not KNOWN[name] then
      return "unknown option " .. tostring(name) .. " (delimiter, header, lazy_quotes, max_field, "
        .. "max_row, ragged)"
    end
  end
  local header, delimiter = options.header, options.delimiter or ","
  if header ~= nil and type(header) ~= "boolean" and type(header) ~= "table" then
    return "header must be true, false or a list of names"
  end
  if type(delimiter) ~= "string" or #delimiter ~= 1 or delimiter:find('["\r\n%z]') then
    return "delimiter must be one byte that is no quote and no line end"
  end
  for _, name in ipairs { "max_field", "max_row" } do
    local limit = options[name]
    if limit ~= nil and (type(limit) ~= "number" or limit ~= limit or limit < 1) then
      return name .. " must be a number of bytes above 0"
    end
  end
end

local function new(source, options)
  options = options or {}
  local problem = check_options(options)
  if problem then require("garner.errors").misuse("csv: " .. problem) end
  local reader = {
    buffer = "", at = 1, next_line = 1, at_line = 1, header = options.header,
    max_field = options.max_field or MAX_FIELD, max_row = options.max_row or MAX_ROW,
    ragged = options.ragged, lazy_quotes = options.lazy_quotes,
  }
  if reader.header == nil then reader.header = true end
  reader.source, problem = chunks.new(source, "csv")
  if not reader.source then require("garner.errors").misuse("csv: " .. problem) end
  reader.name = reader.source.name
  local delimiter = options.delimiter or ","
  reader.delimiter, reader.separator = delimiter:byte(), delimiter
  -- A line of this length cannot break a limit, whatever its fields are.
  reader.max_simple = math.min(reader.max_field, reader.max_row / (FIELD_COST + 1) - 1)
  reader.specials = '[%' .. delimiter .. '"\r\n]'
  if delimiter:find("%w") then reader.specials = "[" .. delimiter .. '"\r\n]' end
  return setmetatable({ reader = reader, line = 0 }, Rows)
end

--- Iterate over the rows of a CSV text, file or stream.
---
---     for row in csv.rows { file = "report.csv" } do print(row.event) end
---
--- `source`: `{ text = }`, `{ file = path }`, `{ file = open file }` (left open but
--- for `close = true`), or a function that gives chunks of any size and nil at the
--- end (or nil, err). gzip is unpacked where the first two bytes say so, and its
--- end checked.
--- Options: `header` true (default: the first row names the columns), false (rows
--- are lists) or a list of names; `delimiter` (","); `ragged` accepts rows with
--- too few fields (absent) or too many (numbered); `lazy_quotes` accepts quotes
--- inside fields that are not quoted; `max_field` (1 MiB) and `max_row` (16 MiB,
--- every field counting 16 more) in bytes. Columns of the same name get "_2",
--- "_3", nameless ones "column_N". Empty lines are skipped; a byte order mark is
--- dropped; lines end with LF or CRLF. Gives the row and the line it began on.
--- Raises an error object (kinds protocol, too_large, file; `line`) where a plain
--- end would hide a failure. The iterator can be called, has `columns`, `line` and
--- `close()`, and closes its file at the end, on an error and, on Lua 5.4, when
--- the loop is left early.
---@param source table|function
---@param options? table
---@return garner.CsvRows
function M.rows(source, options)
  local rows = new(source, options)
  return rows, nil, nil, rows
end

--- Call `fn(row, line)` for every row.
---@param source table|function as for `rows`
---@param fn fun(row: table, line: integer)
---@param options? table as for `rows`
---@return integer|nil count
---@return table|nil err
function M.each(source, fn, options)
  return iterator.each(new(source, options), fn, "csv.each")
end

--- All rows as a list.
---@param source table|function as for `rows`
---@param options? table as for `rows`
---@return table[]|nil rows
---@return table|nil err
---@return table[]|nil partial the rows before the error
function M.collect(source, options)
  return iterator.collect(new(source, options))
end

return M
