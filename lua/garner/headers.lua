-- Owns: the header fields that a user gives: checking them, and which of their values are not
-- to be shown. Must not: know what a request is.

local compat = require "garner.compat"
local errors = require "garner.errors"
local options = require "garner.options"

local M = {}

--- Checks headers and gives them as a list sorted by name, values as text.
---@param headers table<string, string|number>
---@param what string
---@return table[]
function M.list(headers, what)
  local list = {}
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
      errors.misuse(what .. ": not a header's name: " .. options.show(name))
    end
    if type(value) == "number" then
      value = compat.number_text(value)
    end
    if type(value) ~= "string" then
      errors.misuse(what .. ": the header " .. name .. " must be a text, got a " .. type(value))
    elseif value:gsub("\t", ""):find("%c") then
      errors.misuse(what .. ": the header " .. name .. " has a control character in it "
        .. "(CR, LF and NUL would let it add headers)")
    end
    list[#list + 1] = { name, value }
  end
  table.sort(list, function(a, b)
    return a[1] < b[1]
  end)
  return list
end

-- A tenant's id is not to be shown either; one so short that other words may hold it
-- stays, or messages could not be read any more.
local SHORTEST_TENANT = 8

local function is_tenant(lower)
  return (lower:find("org%-id") or lower:find("tenant") or lower:find("organization")) ~= nil
end

local function names_tenant(lower, value)
  return #value >= SHORTEST_TENANT and is_tenant(lower)
end

-- Hides a word of its own where quotes are round it, or where what stands before it speaks of
-- an organization.
local function hider(id)
  local word = "%f[%w]" .. id:gsub("%W", "%%%0") .. "%f[%W]"
  return function(text)
    if not text:find(id, 1, true) then
      return text
    end
    text = text:gsub("([\"'])" .. word .. "([\"'])", "%1***%2")
    return (text:gsub("([Oo][Rr][Gg][%w_%-]*[%s\"':=#]+)" .. word, "%1***")
      :gsub("([Tt]enant[%w_%-]*[%s\"':=#]+)" .. word, "%1***"))
  end
end

--- For tenants whose ids are too short to be hidden wherever they stand: functions that hide
--- them in a text where they are surely meant.
---@param headers table<string, string|number>
---@return (fun(text: string): string)[]
function M.short_tenants(headers)
  local list = {}
  for name, value in pairs(headers) do
    local text = tostring(value)
    if is_tenant(name:lower()) and #text < SHORTEST_TENANT and text:find("%w") then
      list[#list + 1] = hider(text)
    end
  end
  return list
end

--- The values of headers that carry a secret or a tenant by their name.
---@param headers table<string, string|number>
---@return string[]
function M.secret_values(headers)
  local list = {}
  for name, value in pairs(headers) do
    local lower = name:lower()
    if lower:find("authorization") or lower:find("token") or lower:find("secret")
      or lower:find("cookie") or lower:find("key") or names_tenant(lower, tostring(value)) then
      list[#list + 1] = tostring(value)
    end
  end
  return list
end

return M
