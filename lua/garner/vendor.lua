-- Owns what the vendor objects have in common: a vendor is a client that
-- knows an API. It must not know any one of them.

local auth = require "garner.auth"
local client = require "garner.client"
local errors = require "garner.errors"
local methods = require "garner.methods"
local options = require "garner.options"
local pull = require "garner.pull"

local M = {}

-- What every vendor takes beside the client's options: windows in flight.
local SETTINGS = { concurrency = options.integer(1, 1000) }

---Several sets of option rules as one; later ones win.
---@param ... table<string, function>
---@return table<string, function>
function M.rules(...)
  local out = {}
  for _, rules in ipairs { ... } do
    for name, rule in pairs(rules) do out[name] = rule end
  end
  return out
end

---An environment variable that is set to something.
---@param name string
---@return string|nil
function M.env(name)
  local text = os.getenv(name)
  return text ~= "" and text or nil
end

-- A value that the vendor needs besides the token: from the option, else from
-- the environment.
local function needed(spec, given, source)
  local value = given[source.option]
  if value == nil then value = M.env(source.env) end
  if value == nil and source.optional and source.optional(given) then return nil end
  if value == nil or value == "" then
    errors.misuse(("garner.%s: no %s: set the option %s or the environment variable %s%s; it is %s")
      :format(spec.name, source.option, source.option, source.env, auth.env_hint(source.env),
        source.what))
  end
  local text, message = options.text(value)
  if not text then errors.misuse(("garner.%s: %s %s"):format(spec.name, source.option, message)) end
  return text
end

local function method(object, name)
  local inner = rawget(object, "client")
  local found = inner and inner[name]
  if type(found) ~= "function" or rawget(inner, name) ~= nil then return found end
  return function(self, ...)
    -- Called with a dot it is refused there: what comes first is no client.
    return found(self == object and inner or nil, ...)
  end
end

-- What every vendor object has beside its own verbs and the client's.
local COMMON = {}

---Goes on with what a checkpoint tells of: see the client's `resume`.
---@param text string
---@param given? table options of what is gone on with
---@return any|nil
---@return garner.Error|nil
function COMMON.resume(self, text, given)
  local kinds = {}
  if self.resume_job then
    kinds.job = function(fields, more)
      if fields.vendor ~= self.name then
        errors.misuse(("resume: the checkpoint is of a job of %s, this is %s"):format(
          tostring(fields.vendor), self.name))
      end
      return self:resume_job(fields, more)
    end
  end
  return self.client:resume(text, given, kinds)
end

local function is_vendor(value)
  return type(value) == "table" and rawget(value, "settings") ~= nil
end

local guarded = setmetatable({}, { __mode = "k" })

-- Classes are shared by all objects of a vendor.
local function guard(class, name)
  if guarded[class] then return end
  methods.guard(class, name, is_vendor)
  guarded[class] = true
end

---A vendor object: its own verbs, and those of the client below.
---@param class table the verbs
---@param given table|nil what the caller passed
---@param spec table name, base_url (text, or a function of the checked settings), auth, token_env,
---  needs_token (true), scope, headers { [name] = text, or { option, env, what, optional =
---  function(given) } }, options (rules),
---  credentials (see client.new)
---@return table
function M.new(class, given, spec)
  if given ~= nil and type(given) ~= "table" then
    errors.misuse(("garner.%s: options must be a table, got %s"):format(spec.name, type(given)))
  end
  local copy, headers = {}, {}
  for name, value in pairs(given or {}) do copy[name] = value end
  for name, source in pairs(spec.headers or {}) do
    if type(source) == "string" then
      headers[name] = source
    else
      headers[name] = needed(spec, copy, source)
      copy[source.option] = nil
    end
  end
  local inner = client.new(copy, {
    name = spec.name, base_url = spec.base_url, auth = spec.auth, token_env = spec.token_env,
    needs_token = spec.needs_token ~= false, scope = spec.scope, headers = headers,
    options = M.rules(SETTINGS, spec.options or {}),
    rate = spec.rate, burst = spec.burst, credentials = spec.credentials,
  })
  guard(class, spec.name)
  local made = { client = inner, settings = inner.options, log = inner.log, name = spec.name }
  return setmetatable(made, {
    __index = function(object, name)
      local verb = class[name]
      if verb == nil then verb = COMMON[name] end
      if verb ~= nil then return verb end
      return method(object, name)
    end,
    __tostring = function() return ("garner %s client"):format(spec.name) end,
    __close = function() inner:close() end,
    __name = "garner." .. spec.name,
  })
end

methods.guard(COMMON, "client", is_vendor)

---A pull of a vendor: the source with what the caller's options say.
---@param self table vendor object
---@param given table checked options
---@param what string the verb, for messages
---@param source garner.pull.source
---@return garner.pull
function M.pull(self, given, what, source)
  source.client, source.service, source.operation = self, self.name, what
  source.concurrency = given.concurrency or self.settings.concurrency
  pull.configure(source, given, what)
  local made, message = pull.new(source)
  if not made then errors.misuse(("%s: %s"):format(what, message)) end
  return made
end

return M
