-- Owns: the elements of a JSON list of any size, out of pieces of text, in constant memory.
-- Must not: cut or check the list; the core does, as strictly as where it reads all at once.

local core = require "garner.core"
local errors = require "garner.errors"
local iterator = require "garner.iterator"

local M = {}

local MAX_ELEMENT = 16 * 1024 * 1024
local PIECE = 64 * 1024 -- bytes whose elements are there at once
local MARK = "\239\187\191" -- a byte order mark, which files may begin with

local function fail(self, raw)
  self:close()
  return nil, errors.new { kind = raw.kind, code = raw.kind == "protocol" and "json" or raw.code,
    message = ("%s, after element %d: %s"):format(self.source.name, self.count, raw.message) }
end

local function begin(self)
  self.split = core.json_split_new("", self.max_element)
  local head = self.source:peek(#MARK)
  if head and head:sub(1, #MARK) == MARK then
    self.chunk, self.from = self.source:read(), #MARK + 1
  end
end

-- Some more text; nil at the end, nil and an error.
local function next_piece(self)
  if not self.chunk then
    local chunk, err = self.source:read()
    if not chunk then return nil, err end
    self.chunk, self.from = chunk, 1
  end
  local chunk, from = self.chunk, self.from
  if from == 1 and #chunk <= PIECE then
    self.chunk = nil
    return chunk
  end
  self.from = from + PIECE
  if self.from > #chunk then self.chunk = nil end
  return chunk:sub(from, from + PIECE - 1)
end

-- More elements: true; false at the end; nil and an error. What went wrong comes behind the
-- elements before it.
local function refill(self)
  if not self.split then begin(self) end
  self.list, self.at, self.size = nil, 0, 0
  while not self.list do
    if self.broken then return fail(self, self.broken) end
    if self.ended then
      self:close()
      return self.err == nil and false or nil, self.err
    end
    local batch
    local piece, err = next_piece(self)
    if piece then
      batch, self.broken = self.split:feed(piece)
    else
      self.ended, self.err = true, err
      if not err then batch, self.broken = self.split:finish() end
    end
    if batch then self.list, self.size = batch:json() end
  end
  return true
end

local function step(self)
  if self.closed then return nil end
  if self.at == self.size then
    local more, err = refill(self)
    if not more then return nil, err end
  end
  self.at, self.count = self.at + 1, self.count + 1
  return self.list[self.at], self.count
end

local Elements = iterator.class(step, function(self)
  self.closed, self.list = true, nil
  if self.split then
    self.split:close()
    self.split = nil
  end
  self.source:close()
end)

--- The elements of a list, one after the other, and their numbers.
---@param source garner.Chunks
---@param max_element? integer bytes of one, 16 MiB
---@return table iterator see iterator.lua
function M.new(source, max_element)
  return setmetatable({ source = source, at = 0, size = 0, count = 0,
    max_element = max_element or MAX_ELEMENT }, Elements)
end

return M
