-- Owns: where the bytes of a file of rows come from (text, a path, an open file, a function),
-- one piece at a time; unpacks gzip, which its first two bytes tell, and closes what it opened.
-- Must not: know what the bytes mean.

local compat = require "garner.compat"

local M = {}

local SIZE = 64 * 1024

local function failure(fields)
  return require("garner.errors").new(fields)
end

---@class garner.Chunks
---@field name string for messages
local Chunks = {}
Chunks.__index = Chunks

local function of_text(text)
  local at = 1
  return function()
    if at > #text then return nil end
    local chunk = text:sub(at, at + SIZE - 1)
    at = at + SIZE
    return chunk
  end
end

local function of_file(file)
  return function() return file:read(SIZE) end
end

local function open(self, path)
  local file, message, number = io.open(path, "rb")
  if not file then
    -- The C library's message begins with the path.
    return nil, failure { kind = "file", code = compat.errno(number),
      message = "cannot read " .. tostring(message) }
  end
  self.file, self.source = file, of_file(file)
  return true
end

local function raw(self)
  if self.path then
    local path = self.path
    self.path = nil
    local ok, err = open(self, path)
    if not ok then return nil, err end
  end
  local chunk, err, number = self.source()
  if chunk == nil then
    if err ~= nil and type(err) ~= "table" then
      err = failure { kind = "file", code = compat.errno(number),
        message = self.name .. ": " .. tostring(err) }
    end
    return nil, err
  end
  if type(chunk) ~= "string" then
    require("garner.errors").misuse(self.what .. ": a chunk must be text or nil, got "
      .. type(chunk))
  end
  return chunk
end

local function unpack_error(self, err)
  err.message = self.name .. ": " .. err.message
  return failure(err)
end

-- The next unpacked bytes; the packed ones that are left wait in `packed`.
local function unpacked(self)
  while true do
    if self.packed then
      local text, at = self.inflate:next(self.packed, self.at)
      if not text then return nil, unpack_error(self, at) end
      self.at = at
      if text ~= "" then return text end
    end
    local err
    self.packed, err = raw(self)
    self.at = 1
    if self.packed == nil then
      if err then return nil, err end
      local ok, why = self.inflate:finish()
      return nil, not ok and unpack_error(self, why) or nil
    end
  end
end

-- Two bytes tell what it is; a source may give them one by one.
local function begin(self)
  self.begun = true
  local head, err = "", nil
  while #head < 2 do
    local chunk
    chunk, err = raw(self)
    if not chunk then break end
    head = head .. chunk
  end
  if head:sub(1, 2) == "\31\139" then
    local why
    self.inflate, why = require("garner.core").inflate_new()
    if not self.inflate then return nil, failure(why) end
    self.packed, self.at = head, 1
    return unpacked(self)
  end
  if head == "" then return nil, err end
  return head
end

--- The next bytes, any number but 0.
---@return string|nil chunk nil at the end
---@return garner.Error|nil err
function Chunks:read()
  local chunk = self.peeked
  if chunk then
    self.peeked = nil
    return chunk
  elseif self.ended then
    return nil, self.err
  end
  local err
  repeat
    if not self.begun then
      chunk, err = begin(self)
    elseif self.inflate then
      chunk, err = unpacked(self)
    else
      chunk, err = raw(self)
    end
  until chunk ~= ""
  if chunk == nil then self.ended, self.err = true, err end
  return chunk, err
end

--- What `read` will give next, which stays there: at least so many bytes, if there are.
---@param size integer
---@return string|nil chunk nil where there is nothing
---@return garner.Error|nil err
function Chunks:peek(size)
  local chunk, err = self:read()
  while chunk and #chunk < size do
    local more
    more, err = self:read()
    if not more then break end
    chunk = chunk .. more
  end
  self.peeked = chunk
  return chunk, not chunk and err or nil
end

--- Closes the file, if one was opened or is to be closed. May be called again.
function Chunks:close()
  local file, inflate = self.file, self.inflate
  self.file, self.inflate, self.packed, self.peeked = nil, nil, nil, nil
  self.ended = true
  if file then file:close() end
  if inflate then inflate:close() end
end

--- Makes the pieces of a source; nothing is opened yet.
---@param source any `{ text = }`, `{ file = path or open file }` (also `path =`), with
--- `close = true` for an open file that is to be closed at the end; a function that gives chunks
--- and nil at the end (or nil, err); or what this function gave
---@param what string names the verb in messages
---@return garner.Chunks|nil
---@return string|nil message misuse
function M.new(source, what)
  if getmetatable(source) == Chunks then return source end
  local self = setmetatable({ what = what, name = what }, Chunks)
  if type(source) == "function" then
    self.source = source
    return self
  elseif type(source) ~= "table" then
    return nil, "the source must be { text = }, { file = } or a function, got " .. type(source)
  end
  local text, file = source.text, source.file
  if file == nil then file = source.path end
  if type(text) == "string" and file == nil then
    self.source = of_text(text)
  elseif type(file) == "string" and text == nil then
    self.path, self.name = file, file
  elseif io.type(file) == "file" and text == nil then
    self.source = of_file(file)
    if source.close then self.file = file end
  else
    return nil, "the source must have either text (a string) or file (a path or an open file)"
  end
  return self
end

return M
