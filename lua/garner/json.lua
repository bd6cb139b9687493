-- Owns: JSON for users: the strict reader and the encoder of the C core behind a
-- small API, and the choice between them and lua-cjson.
-- Must not: read or write JSON itself, or be more lenient than RFC 8259.

local core = require "garner.core"
local errors = require "garner.errors"

local M = {}

--- JSON's null, in what `decode` gives and `encode` takes. It is the same value as
--- `cjson.null` (and OpenResty's `ngx.null`), and unlike nil it is true in a
--- condition.
---@type lightuserdata
M.null = core.null

local array_metatable = getmetatable(core.json_array())

local function check_options(options, who)
  if options == nil then
    return
  end
  if type(options) ~= "table" then
    errors.misuse(who .. ": options must be a table, got " .. type(options))
  end
  for name in pairs(options) do
    if name ~= "depth" then
      errors.misuse(who .. ": unknown option " .. tostring(name) .. " (known: depth)")
    end
  end
  local depth = options.depth
  if depth ~= nil and not (type(depth) == "number" and depth >= 1 and depth <= 2048
      and depth % 1 == 0) then
    errors.misuse(who .. ": depth must be a whole number from 1 to 2048")
  end
end

--- Reads one JSON text (RFC 8259, nothing more: no comments, no trailing commas, no
--- byte order mark, valid UTF-8 only).
---
--- Objects and arrays become tables (arrays from index 1), null becomes `json.null`;
--- of a key that occurs twice the last value counts. Integers are exact: beyond what
--- this Lua holds exactly (64 bits from 5.3 on, 2^53 before) they become text, digit
--- by digit, and so does a fraction too large for a double. An empty array stays
--- one when it is encoded again.
---@param text string
---@param options? { depth: integer } nesting allowed, 512 if not given, 2048 at most
---@return any|nil value
---@return garner.Error|nil err kind "protocol", code "json"; `offset` is the bad byte, from 1
function M.decode(text, options)
  if type(text) ~= "string" then
    errors.misuse("json.decode: text expected, got " .. type(text))
  end
  check_options(options, "json.decode")
  local value, message, offset = core.json_decode(text, options and options.depth)
  if value == nil then
    return nil, errors.new {
      kind = "protocol", code = "json", message = "not JSON: " .. message, offset = offset,
    }
  end
  return value
end

--- Writes a value as JSON text: keys sorted, no spaces, so that equal values give
--- equal bytes on every Lua and in every locale.
---
--- A table made by `json.array`, or with the keys 1..n, is an array, any other an
--- object with text as keys (an empty one `{}`). Whole numbers are never written
--- with an exponent; fractions are as short as reads back the same. Metamethods are
--- not called. Raises, naming the path, for what JSON cannot hold: functions and the
--- like, NaN, infinity, sparse and mixed tables, text that is not UTF-8, tables that
--- contain themselves or nest deeper than `depth`.
---@param value any
---@param options? { depth: integer } nesting allowed, 512 if not given, 2048 at most
---@return string text
function M.encode(value, options)
  check_options(options, "json.encode")
  if value == nil then
    errors.misuse("json.encode: a value expected, got nil (JSON's null is garner.json.null)")
  end
  local text, message = core.json_encode(value, options)
  if not text then
    errors.misuse("json.encode: " .. message)
  end
  return text
end

--- As `encode`, for values that come from somewhere else: does not raise.
---@param value any
---@return string|nil text
---@return string|nil message
function M.try_encode(value)
  return core.json_encode(value)
end

--- Marks a table as an array, so that it is encoded as one even when it is empty.
---@param list? table a new table if not given
---@return table list the same table
function M.array(list)
  if list ~= nil and type(list) ~= "table" then
    errors.misuse("json.array: a table expected, got " .. type(list))
  end
  return core.json_array(list)
end

--- Whether `encode` would write this as an array: marked by `json.array` or read
--- from `[]`, or a table whose keys begin at 1.
---@param value any
---@return boolean
function M.is_array(value)
  if type(value) ~= "table" then
    return false
  end
  return getmetatable(value) == array_metatable or rawget(value, 1) ~= nil
end

local codecs = {}

function codecs.garner()
  return { decode = core.json_decode, encode = M.try_encode }
end

-- lua-cjson as the program has configured it (`require "cjson"` is one object).
function codecs.cjson()
  local found, cjson = pcall(require, "cjson")
  if not found then
    errors.pass(cjson)
    errors.misuse('json = "cjson" needs lua-cjson, which cannot be loaded: ' .. tostring(cjson))
  end
  local function guarded(fn)
    return function(value)
      local ok, result = pcall(fn, value)
      if ok then
        return result
      end
      errors.pass(result)
      return nil, tostring(result)
    end
  end
  return { decode = guarded(cjson.decode), encode = guarded(cjson.encode) }
end

--- The pair of functions that a client's `json` option names: "garner" (the default)
--- or "cjson". Both functions return nil and a message instead of raising.
---@param name? "garner"|"cjson"
---@return { decode: fun(text: string): any, string?; encode: fun(value: any): string?, string? }
function M.codec(name)
  local make = codecs[name == nil and "garner" or name]
  if not make then
    errors.misuse('json must be "garner" or "cjson", got ' .. tostring(name))
  end
  return make()
end

return M
