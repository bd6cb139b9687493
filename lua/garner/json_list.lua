-- Owns: cutting a JSON list of any size into the texts of its elements, in constant memory.
-- Must not: read the elements; that is the strict reader's, which also refuses what is cut wrongly.

local core = require "garner.core"
local errors = require "garner.errors"
local iterator = require "garner.iterator"

local M = {}

local MAX_ELEMENT = 16 * 1024 * 1024

local function fail(self, message, kind)
  self:close()
  return nil, errors.new { kind = kind or "protocol", code = "json",
    message = ("%s, element %d: %s"):format(self.source.name, self.count + 1, message) }
end

-- More bytes into an empty buffer; false at the end, or when an error is set.
local function refill(self)
  local chunk, err = self.source:read()
  self.buffer, self.at, self.err = chunk or "", 1, err
  return chunk ~= nil
end

-- The next byte that is no white space, without taking it; nil at the end.
local function peek(self, pattern)
  while true do
    local at = self.buffer:find(pattern or "[^ \t\r\n]", self.at)
    if at then
      self.at = at
      return self.buffer:sub(at, at)
    end
    if not refill(self) then return nil end
  end
end

-- Where in this buffer the element ends: the place of the comma or bracket behind it. Outside
-- of strings only these count, inside only quotes and backslashes.
local function scan(buffer, at, state)
  if state.escaped then at, state.escaped = at + 1, false end
  while true do
    local found = buffer:find(state.inside and '["\\]' or '["%[%]{},]', at)
    if not found then return nil end
    local c = buffer:sub(found, found)
    at = found + 1
    if c == "\\" then
      state.escaped = at > #buffer
      at = at + 1
    elseif c == '"' then
      state.inside = not state.inside
    elseif c == "[" or c == "{" then
      state.depth = state.depth + 1
    elseif state.depth == 0 then
      return found
    elseif c ~= "," then
      state.depth = state.depth - 1
    end
  end
end

-- A source that failed, or ended where it should not.
local function broken_off(self)
  local err = self.err
  if not err then return fail(self, "the list ends in the middle") end
  self:close()
  return nil, err
end

local function take_element(self)
  local parts, size = {}, 0
  local state = { depth = 0, inside = false, escaped = false }
  while true do
    local stop = scan(self.buffer, self.at, state)
    local piece = self.buffer:sub(self.at, stop and stop - 1)
    size = size + #piece
    if size > self.max_element then
      return fail(self, ("larger than %d bytes"):format(self.max_element), "too_large")
    end
    parts[#parts + 1] = piece
    if stop then
      self.at = stop
      return table.concat(parts)
    end
    if not refill(self) then return broken_off(self) end
  end
end

-- What comes before an element: true; false at the end of the list; nil and an error.
local function take_separator(self)
  local c
  if self.begun then
    c = peek(self)
  else -- the bracket, and a byte order mark before it
    self.begun = true
    c = peek(self, "[^ \t\r\n\239\187\191]")
    if c ~= "[" then return fail(self, "this is no list") end
    self.at = self.at + 1
    c = peek(self)
    if c and c ~= "]" then return true end
  end
  if c == "," then
    self.at = self.at + 1
    return true
  elseif c == "]" then
    self.at = self.at + 1
    if peek(self) then return fail(self, "something follows the list") end
    if self.err then return broken_off(self) end
    self:close()
    return false
  elseif c then
    return fail(self, "no comma behind an element")
  end
  return broken_off(self)
end

local function step(self)
  if self.closed then return nil end
  local more, err = take_separator(self)
  if not more then return nil, err end
  local text
  text, err = take_element(self)
  if not text then return nil, err end
  local value, message = core.json_decode(text)
  if value == nil then return fail(self, "not JSON: " .. tostring(message)) end
  self.count = self.count + 1
  return value, self.count
end

local Elements = iterator.class(step, function(self)
  self.closed, self.buffer, self.at = true, "", 1
  self.source:close()
end)

--- The elements of a list, one after the other, and their numbers.
---@param source garner.Chunks
---@param max_element? integer bytes of one, 16 MiB
---@return table iterator see iterator.lua
function M.new(source, max_element)
  return setmetatable({ source = source, buffer = "", at = 1, count = 0,
    max_element = max_element or MAX_ELEMENT }, Elements)
end

return M
