-- Owns a saved file of rows: CSV by RFC 4180 or JSON Lines, written beside
-- its name as ".part", which is locked meanwhile, and renamed when whole.
-- Columns that turn up late are added at the end, so rows are spooled and the
-- CSV is written when all columns are known. It must not fetch, and keeps no
-- more than a buffer of text in memory.

local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local json = require "garner.json"

local M = {}

local BUFFER = 65536 -- bytes of text before they are written

local FORMATS = { csv = "csv", jsonl = "jsonl", ndjson = "jsonl" }

local Writer = {}
Writer.__index = Writer

local function file_error(doing, path, message, number)
  return errors.new { kind = "file", code = number and compat.errno(number),
    message = ("%s %s: %s"):format(doing, path,
      tostring(message):gsub("^" .. path:gsub("%p", "%%%0") .. ":%s*", "")) }
end

---@param path any
---@param options any
---@param source garner.pull.source
---@return table|nil writer
---@return string|nil message misuse
function M.new(path, options, source)
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
    return nil, "a file name expected"
  end
  options = options or {}
  if type(options) ~= "table" then return nil, "a table of options expected" end
  for name in pairs(options) do
    if name ~= "force" then
      return nil, ("unknown option %q; known options: force"):format(tostring(name))
    end
  end
  local suffix = path:match "%.(%w+)$"
  local format = suffix and FORMATS[suffix:lower()]
  if not format then return nil, "the file name must end in .csv, .jsonl or .ndjson" end
  return setmetatable({
    path = path, format = format, force = options.force, source = source,
  }, Writer)
end

local function exists(path)
  local file = io.open(path, "rb")
  if not file then return false end
  file:close()
  return true
end

local function refuse(path)
  return errors.new { kind = "file", code = "EEXIST",
    message = ("%s exists; give { force = true } to replace it"):format(path) }
end

---A file that is written under its name in the end, or only held for its lock.
---@param path string
---@return userdata|nil
---@return garner.Error|nil kind "file"; code "locked": another run has it, and later may not
function M.lock(path)
  local file, raw = core.file_open(path)
  if file then return file end
  return nil, errors.from_raw(raw)
end

---Opens the file before anything is asked for; it is locked from now on, so
---that a second run of the same script does not do all of it once more.
---@return garner.Error|nil kind "file"; code "locked": another run is writing it
function Writer:open()
  if not self.force and exists(self.path) then return refuse(self.path) end
  local file, err = M.lock(self.path)
  if not file then return err end
  self.file, self.text, self.size = file, {}, 0
  if self.format == "csv" then
    -- The spool needs no name: it is read back through this handle only.
    local message, number
    self.spool, message, number = io.tmpfile()
    if not self.spool then
      self:abort()
      return file_error("cannot spool rows for", self.path, message, number)
    end
  end
end

function Writer:abort()
  if self.spool then self.spool:close() end
  if self.file then self.file:abort() end
  self.spool, self.file, self.text = nil, nil, nil
end

local function flush(self)
  local text = table.concat(self.text)
  self.text, self.size = {}, 0
  local ok, raw = self.file:write(text)
  if not ok then return nil, errors.from_raw(raw) end
  return true
end

-- True, or nil and an error.
local function put(self, ...)
  for index = 1, select("#", ...) do
    local text = select(index, ...)
    self.text[#self.text + 1], self.size = text, self.size + #text
  end
  if self.size < BUFFER then return true end
  return flush(self)
end

local function cell(value)
  if value == nil or value == json.null then return "" end
  if type(value) ~= "string" then
    value = assert(json.try_encode(value))
    if value:sub(1, 1) ~= "{" and value:sub(1, 1) ~= "[" then return value end
  elseif value == "" then
    -- Quoted, so that an empty text and an absent value stay apart.
    return '""'
  end
  if value:find '[",\r\n]' then return '"' .. value:gsub('"', '""') .. '"' end
  return value
end

---One CSV record, without the line end.
---@param cells table<number, any>
---@param count number
---@return string
function M.record(cells, count)
  local out = {}
  for index = 1, count do out[index] = cell(cells[index]) end
  -- A record of one empty field would read back as an empty line.
  if count == 1 and out[1] == "" then return '""' end
  return table.concat(out, ",")
end

local function add_column(columns, name)
  local place = columns.place[name]
  if not place then
    place = #columns.names + 1
    columns.names[place] = name
    columns.place[name] = place
  end
  return place
end

local function new_columns(names)
  local columns = { names = {}, place = {} }
  for _, name in ipairs(names or {}) do add_column(columns, name) end
  return columns
end

local function spool_row(self, columns, record, order)
  local cells, width = {}, 0
  local names = order
  if not names then
    names = {}
    for name in pairs(record) do names[#names + 1] = name end
    table.sort(names)
  end
  for _, name in ipairs(names) do
    local at = add_column(columns, name)
    cells[at] = record[name]
    if at > width then width = at end
  end
  width = math.max(width, #columns.names)
  local line = M.record(cells, width)
  return self.spool:write(("%d %d\n"):format(width, #line), line)
end

local function spool_failed(self, message, number)
  return nil, file_error("cannot spool rows for", self.path, message, number)
end

-- Rows that were spooled before a column turned up end in empty cells.
local function unspool(self, columns)
  local total = #columns.names
  local ok, message, number = self.spool:seek("set", 0)
  if not ok then return spool_failed(self, message, number) end
  local err
  if total > 0 then ok, err = put(self, M.record(columns.names, total), "\r\n") end
  while ok do
    local head = self.spool:read "*l"
    if not head then return true end
    local width, size = head:match "^(%d+) (%d+)$"
    local line = tonumber(size) == 0 and "" or self.spool:read(tonumber(size))
    if not line or #line ~= tonumber(size) then return spool_failed(self, "it is cut short") end
    ok, err = put(self, line, (","):rep(total - tonumber(width)), "\r\n")
  end
  return nil, err
end

local function write_record(self, columns, record, order)
  if self.format == "csv" then
    local ok, message, number = spool_row(self, columns, record, order)
    if ok then return true end
    return spool_failed(self, message, number)
  end
  local line, message = json.try_encode(record)
  if not line then return nil, file_error("cannot write", self.path, message) end
  return put(self, line, "\n")
end

-- A row is one record, or several where the source says so. True, or nil and an
-- error.
local function write_row(self, columns, row)
  local source = self.source
  if source.records then
    for _, each in ipairs(source.records(row)) do
      local ok, err = write_record(self, columns, each[1], each[2])
      if not ok then return nil, err end
    end
    return true
  end
  local record, order = row, nil
  if source.record then record, order = source.record(row) end
  return write_record(self, columns, record, order)
end

local function commit(self, columns)
  local ok, err = true, nil
  if self.format == "csv" then ok, err = unspool(self, columns) end
  if ok then ok, err = flush(self) end
  if ok and not self.force and exists(self.path) then ok, err = nil, refuse(self.path) end
  if ok then
    local raw
    ok, raw = self.file:finish()
    if not ok then err = errors.from_raw(raw) end
  end
  self:abort()
  return not ok and err or nil
end

---Writes every row and puts the file in its place; nothing stays on an error.
---@param next_row fun(): table|nil, garner.Error|nil
---@return number|nil rows
---@return garner.Error|nil
function Writer:write_all(next_row)
  local columns = new_columns(self.source.columns)
  local count = 0
  while true do
    local row, err = next_row()
    if err then
      self:abort()
      return nil, err
    end
    if row == nil then break end
    local ok, why = write_row(self, columns, row)
    if not ok then
      self:abort()
      return nil, why
    end
    count = count + 1
  end
  local err = commit(self, columns)
  if err then return nil, err end
  return count
end

return M
