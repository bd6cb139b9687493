-- Owns the text form of what another process can go on with: one line of JSON with a version
-- and a kind, and where it may go on. It must not know what a kind holds, nor let a secret in.

local compat = require "garner.compat"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"

local M = {}

M.VERSION = 1

-- Fields that would hold a credential, whatever is in them. (A page's token is a place.)
local FORBIDDEN = { "^access[-_]token$", "^refresh[-_]token$", "^authorization$", "password",
  "secret", "^cookie$", "^assertion$", "^api[-_]?key$", "^private[-_]key$" }

-- Shorter ones are no secrets, and would be found in any text.
local SHORTEST = 6

local function check_names(value, path)
  if type(value) ~= "table" then return end
  for name, inner in pairs(value) do
    local lower = tostring(name):lower()
    for _, pattern in ipairs(FORBIDDEN) do
      if type(inner) ~= "table" and lower:find(pattern) then
        error(("a checkpoint must not hold %s%s"):format(path, name), 0)
      end
    end
    check_names(inner, path .. tostring(name) .. ".")
  end
end

---The text of a checkpoint. Raises where it would hold a secret.
---@param kind string "job" or "pages"
---@param fields table plain data
---@param secrets? table what must not be in it, as `errors.redact` takes it
---@return string text one line
function M.encode(kind, fields, secrets)
  check_names(fields, "")
  local rest = json.encode(fields)
  local listed = {}
  for _, secret in ipairs(secrets or {}) do
    if type(secret) ~= "string" or #secret >= SHORTEST then listed[#listed + 1] = secret end
  end
  if errors.redact(rest, listed) ~= rest then
    error("a checkpoint must not hold the credential: an id or a URL in it repeats it", 0)
  end
  return ('{"garner":%d,"kind":%s%s%s'):format(M.VERSION, json.encode(kind),
    rest == "{}" and "" or ",", rest:sub(2))
end

---Reads a checkpoint.
---@param text string
---@return string|nil kind
---@return table|string fields, or why it is none
function M.decode(text)
  if type(text) ~= "string" then return nil, "a text expected, got " .. type(text) end
  local fields, why = json.decode(text)
  if type(fields) ~= "table" or json.is_array(fields) then
    return nil, "it is no JSON object" .. (why and ": " .. tostring(why.message or why) or "")
  end
  local version, kind = fields.garner, fields.kind
  if not compat.whole(version) or type(kind) ~= "string" then
    return nil, "it is no checkpoint of garner"
  elseif version > M.VERSION then
    return nil, ("it was written by a newer garner (version %g, this one reads up to %d)"):format(
      version, M.VERSION)
  end
  fields.garner, fields.kind = nil, nil
  return kind, fields
end

---Goes on with a checkpoint, by the kind it says.
---@param client garner.Client|table the client or vendor object that was asked to
---@param text string
---@param kinds table<string, fun(fields: table, given: table|nil): any, garner.Error|nil>
---@param given? table options for the kind
---@return any|nil what `kinds` gives
---@return garner.Error|nil kind "invalid", code "checkpoint", where the text is none
function M.resume(client, text, kinds, given)
  local kind, fields = M.decode(text)
  if not kind then
    return nil, errors.new { kind = "invalid", code = "checkpoint", operation = "resume",
      message = "the checkpoint cannot be read: " .. fields }
  end
  if type(fields.origin) ~= "string" then
    return nil, errors.new { kind = "invalid", code = "checkpoint", operation = "resume",
      message = "the checkpoint cannot be read: it names no origin" }
  end
  if fields.origin ~= client:origin() then
    errors.misuse(("resume: the checkpoint is of %s, this client's origin is %s"):format(
      options.show(fields.origin), client:origin()))
  end
  if not kinds[kind] then
    errors.misuse(("resume: a checkpoint of kind %s%s is not for this client"):format(
      options.show(kind), fields.vendor and (" (%s)"):format(tostring(fields.vendor)) or ""))
  end
  return kinds[kind](fields, given)
end

return M
