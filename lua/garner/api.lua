-- Owns `garner.api`: a table that describes an API becomes a constructor of
-- clients with that API's verbs. The vendors that come with garner are made
-- here too. It must not send anything and knows no API.

local auth = require "garner.auth"
local describe = require "garner.api.describe"
local vendor = require "garner.vendor"
local verbs = require "garner.api.verbs"

local M = {}

local function class_of(api)
  local class = {}
  for name, verb in pairs(api.verbs) do
    if type(verb) ~= "table" or verb.name == nil then
      class[name] = verb
    else
      class[name] = verbs.pull(verb)
      if verb.raw and api.verbs[verb.raw] == nil then class[verb.raw] = verbs.raw(verb) end
    end
  end
  return class
end

-- What a verb does not say for itself, its API says.
local function inherit(api)
  for _, verb in pairs(api.verbs) do
    if type(verb) == "table" and verb.name then
      verb.scope, verb.errors = verb.scope or api.scope, verb.errors or api.errors
      verb.operation = verb.name
    end
  end
end

function M.new(description)
  local api = describe.check(description)
  inherit(api)
  local class = class_of(api)
  local token_env = api.token_env
  if type(token_env) == "string" then token_env = { token_env } end
  return function(given)
    return vendor.new(class, given, {
      name = api.name, base_url = api.base_url, auth = api.auth or auth.bearer,
      token_env = token_env, needs_token = not api.open, headers = api.headers,
      options = api.options, rate = api.rate, burst = api.burst, scope = api.scope,
      credentials = api.credentials,
    })
  end
end

return M
