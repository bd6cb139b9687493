-- Owns the shape of an API's description: which fields there are, what each
-- must be, and messages that name the verb and the field. What passes here
-- needs no further check. It must not send anything and knows no API.

local api_arguments = require "garner.api.arguments"
local compat = require "garner.compat"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local next_page = require "garner.next_page"
local options = require "garner.options"
local pull = require "garner.pull"
local time = require "garner.time"

local M = {}

local function text_or_function(value)
  if compat.callable(value) then return value end
  return options.text(value)
end

-- A duration, or a function of the caller's arguments that gives one.
local function duration(value)
  if compat.callable(value) then return value end
  return options.duration(value)
end

local function texts_or_function(value)
  if compat.callable(value) then return value end
  for key, text in pairs(type(value) == "table" and value or { 0 }) do
    if type(key) ~= "number" or type(text) ~= "string" then
      return nil, "must be a list of texts or a function"
    end
  end
  return value
end

local function switch(rule)
  return function(value)
    if value == false then return { off = true } end
    return rule(value)
  end
end

local function off(value)
  return type(value) == "table" and value.off
end

-- Other ways to a credential than `token`: see client.new.
local function credentials(value)
  if type(value) == "table" and type(value.options) == "table" and compat.callable(value.make)
    and options.text(value.help) then
    return value
  end
  return nil, "must be { options = rules, make = function(their values, the others), help = text }"
end

local API = {
  name = options.text, base_url = text_or_function, auth = switch(options.callable),
  token_env = options.any, headers = options.table, options = options.table,
  rate = options.positive, burst = options.positive, scope = options.text,
  errors = options.callable, verbs = options.table, credentials = credentials,
}

local VERB = {
  get = options.text, post = options.text, method = options.text, path = options.text,
  safe = options.boolean, creates = options.boolean, scope = options.text,
  title = text_or_function, what = text_or_function, arguments = options.table,
  query = options.table, body = function(value)
    if compat.callable(value) then return value end
    return options.table(value)
  end,
  headers = options.table, items = options.text, pages = options.table, window = options.table,
  rows = options.table, warnings = text_or_function, not_ready = options.callable,
  errors = options.callable, lag = duration, retention = duration, rate = options.table,
  notes = texts_or_function, check = options.callable, raw = switch(options.text),
  job = options.table,
}

local WINDOW = {
  kind = options.one_of { "instant", "naive", "date" }, max = duration,
  edges = options.one_of { "[]", "[)", "(]", "()" }, granularity = options.duration,
  from = options.text, to = options.text, date = options.text, place =
    options.one_of { "query", "body" },
  format = function(value)
    if compat.callable(value) then return value end
    return options.one_of { "rfc3339", "epoch", "epoch_ms" }(value)
  end,
  zone_name = options.text, default = options.table, zone = function(value)
    local zone, message = time.zone(value)
    return zone, message and "is no zone: " .. message
  end,
}

local ROWS = {
  each = options.callable, all = options.callable, time = text_or_function,
  key = texts_or_function, identity = options.callable, columns = texts_or_function,
  record = options.callable, records = options.callable, points = options.boolean,
  sort = options.boolean, format = options.one_of { "csv", "jsonl", "json" },
}

-- How a job is made and watched: where the create's answer has its id, how it is asked about,
-- what the answers say.
local JOB = {
  id = options.text, poll = options.table, status = options.text, uri = options.text,
  error = options.text, states = options.table, recreate = options.any, wait = options.table,
}

local POLL = {
  get = options.text, post = options.text, query = options.text, body = options.text,
  items = options.text, batch = options.integer(1), id = options.text, entry = options.callable,
}

local RATE = { per_second = options.positive, burst = options.positive, when = options.callable }

-- What a client has under names of its own.
local RESERVED = { "checkpoint", "client", "close", "delete", "download", "get", "head", "job_apis",
  "log", "name", "options", "origin", "pages", "patch", "poll", "post", "put", "request", "resume",
  "resume_job", "settings" }

local function need(map, names, what)
  for _, name in ipairs(names) do
    if map[name] == nil then errors.misuse(("%s: the field %s is missing"):format(what, name)) end
  end
end

-- Headers of every request: a text, or what the constructor must be given.
local HEADER = { option = options.text, env = options.text, what = options.text,
  optional = options.callable }

local function read_headers(headers, what)
  local out = {}
  for name, given in pairs(headers) do
    local label = ("%s: headers.%s"):format(what, tostring(name))
    if type(given) == "string" then
      out[name] = given
    else
      out[name] = options.check(given, HEADER, label, "field")
      need(out[name], { "option", "env", "what" }, label)
    end
  end
  return out
end

local function read_options(given, api, what)
  local out = {}
  for name, value in pairs(given) do
    local rule, message = api_arguments.rule_of(value)
    if not rule then errors.misuse(("%s: options.%s %s"):format(what, tostring(name), message)) end
    out[name] = api_arguments.rule(rule)
  end
  for _, verb in pairs(api.verbs) do
    if type(verb) == "table" and verb.window then out.zone = out.zone or options.text end
  end
  return out
end

-- "get = path" is short for a method and a path.
local function read_endpoint(verb, what)
  local given = 0
  for _, method in ipairs { "get", "post" } do
    if verb[method] then
      verb.method, verb.path = method:upper(), verb[method]
      given = given + 1
    elseif verb.path and given == 0 then
      verb.method = verb.method or "GET"
    end
  end
  if given > 1 or not verb.path then
    errors.misuse(what .. ": give one of get, post, or method and path")
  end
  verb.method = verb.method:upper()
  if verb.job and verb.creates == nil then verb.creates = not verb.safe end
  if verb.safe == nil then verb.safe = verb.method == "GET" and not verb.creates end
  verb.carries = verb.method ~= "GET" and verb.method ~= "HEAD"
  if verb.body and not verb.carries then
    errors.misuse(("%s: body: a %s request has none"):format(what, verb.method))
  end
end

-- One look: many ids in the body of a POST, or one in a GET's query or path.
local function read_poll(poll, what)
  need(poll, { poll.post and "body" or "get" }, what)
  poll.method, poll.path = poll.post and "POST" or "GET", poll.post or poll.get
  poll.id = poll.id or "id"
  if poll.post then
    need(poll, { "items" }, what)
  elseif not poll.query then
    poll.path_key = poll.path:match "{([%w_]+)}"
    if not poll.path_key then
      errors.misuse(what .. ": give query, the name of the id there, or a path with {id}")
    end
  end
  return poll
end

local function read_job(verb, what)
  local label = what .. ": job"
  local rules = options.check(verb.job, JOB, label, "field")
  need(rules, { "id", "poll", "status", "states", "uri" }, label)
  rules.poll = read_poll(options.check(rules.poll, POLL, label .. ".poll", "field"),
    label .. ".poll")
  for status, state in pairs(rules.states) do
    if state ~= "done" and state ~= "failed" and state ~= "running" then
      errors.misuse(('%s: states.%s must be "done", "failed" or "running", got %s'):format(label,
        tostring(status), options.show(state)))
    end
  end
  if rules.wait then
    rules.wait = options.check(rules.wait, require("garner.job").CADENCE, label .. ".wait", "field")
  end
  if rules.recreate ~= nil then
    local message
    rules.recreate, message = require("garner.job").recreate_rule(rules.recreate)
    if message then errors.misuse(("%s: recreate %s"):format(label, message)) end
  end
  for _, name in ipairs { "items", "pages", "warnings", "not_ready" } do
    if verb[name] then
      errors.misuse(("%s: %s is of no use where a job makes a file"):format(what, name))
    end
  end
  verb.job = rules
end

-- What would be left out of the request would be left out of the answer's range, unseen.
local function check_ends(verb, what)
  local window = verb.window
  if window.place == "body" and not verb.carries then
    errors.misuse(("%s: window: place: a %s request has no body"):format(what, verb.method))
  elseif window.kind ~= "date" and window.date then
    errors.misuse(what .. ": window: date is for kind = \"date\"")
  elseif window.kind == "date" and window.edges ~= "[]" and window.edges ~= "[)" then
    errors.misuse(what .. ": window: edges of dates are \"[]\" or \"[)\" (to: the day after)")
  end
end

local function check_edges(verb, what)
  local window = verb.window
  if window.kind ~= "date" and window.edges == "[]" and not (verb.rows or {}).time then
    errors.misuse(what .. ": window: with edges \"[]\" windows share instants; rows.time is "
      .. "missing")
  end
end

local function read_window(verb, what)
  local window = options.check(verb.window, WINDOW, what .. ": window", "field")
  window.kind = window.kind or "instant"
  if window.kind == "date" then
    if (window.date == nil) == (window.from == nil and window.to == nil) then
      errors.misuse(what .. ": window: of dates: give date (one day a request), or from and to")
    end
  end
  if not window.date then need(window, { "from", "to" }, what .. ": window") end
  for _, name in ipairs { "from", "to", "date" } do
    if window[name] and verb.path:find("{" .. window[name] .. "}", 1, true) then
      window.in_path = window.in_path or {}
      window.in_path[name] = true
    end
  end
  window.edges = window.edges or (window.kind == "date" and "[]" or "[)")
  window.place = window.place or (verb.carries and "body" or "query")
  verb.window = window
  check_ends(verb, what)
end

local function read_arguments(verb, what)
  local list, rules = {}, {}
  for name, given in pairs(verb.arguments or {}) do
    local label = ("%s: arguments.%s"):format(what, tostring(name))
    if type(name) ~= "string" then errors.misuse(label .. ": the name must be a text") end
    if pull.RULES[name] or endpoint.CALL_OPTIONS[name] then
      errors.misuse(label .. ": every verb has an option of this name already")
    end
    list[name] = api_arguments.compile(name, given, verb, label)
    rules[name] = list[name].rule
  end
  verb.arguments, verb.rules = list, rules
  for name in verb.path:gmatch "{([%w_]+)}" do
    local window = verb.window or {}
    if not list[name] and name ~= window.from and name ~= window.to and name ~= window.date then
      errors.misuse(("%s: the path has {%s}, which is no argument and no name of the window")
        :format(what, name))
    end
  end
end

local function read_verb(name, given, what)
  what = ("%s: verbs.%s"):format(what, name)
  if type(given) ~= "table" then
    errors.misuse(what .. ": must be a table or a function, got " .. options.show(given))
  end
  local verb = options.check(given, VERB, what, "field")
  read_endpoint(verb, what)
  verb.name = name
  if verb.job then read_job(verb, what) end
  if verb.window then read_window(verb, what) end
  read_arguments(verb, what)
  verb.rows = options.check(verb.rows, ROWS, what .. ": rows", "field")
  if verb.window then check_edges(verb, what) end
  if verb.rows.each and verb.rows.all then
    errors.misuse(what .. ": rows: give each(item) or all(body), not both")
  end
  if verb.pages then
    if not verb.items then
      errors.misuse(what .. ": items is missing: the JSON path of a page's list")
    end
    if verb.pages.items or not verb.pages.next then
      errors.misuse(what .. ": pages: next is missing, or items is here and not beside it")
    end
    next_page.rules({ next = verb.pages.next, items = verb.items, method = verb.method,
      json = verb.method ~= "GET" and {} or nil }, nil, what .. ": pages")
  end
  if verb.rate then
    verb.rate = options.check(verb.rate, RATE, what .. ": rate", "field")
    need(verb.rate, { "per_second" }, what .. ": rate")
  end
  if not verb.window then
    for _, field in ipairs { "lag", "retention" } do
      if verb[field] then errors.misuse(("%s: %s needs a window"):format(what, field)) end
    end
  end
  verb.raw = not off(verb.raw) and (verb.raw or (verb.job and "create_" or "get_") .. name) or nil
  return verb
end

---Checks a description; what is wrong raises at the caller's line.
---@param given table
---@return table a copy: its verbs are read, functions are left as they are
function M.check(given)
  if type(given) ~= "table" then
    errors.misuse("garner.api: a table expected, got " .. options.show(given))
  end
  local what = "garner.api"
  if type(given.name) == "string" then what = ("garner.api %q"):format(given.name) end
  local api = options.check(given, API, what, "field")
  need(api, { "name", "base_url", "verbs" }, what)
  if off(api.auth) then api.auth, api.open = nil, true end
  local verbs = {}
  for name, verb in pairs(api.verbs) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
      errors.misuse(("%s: a verb's name must be a Lua name, got %s"):format(what,
        options.show(name)))
    end
    for _, reserved in ipairs(RESERVED) do
      if name == reserved and not compat.callable(verb) then
        errors.misuse(("%s: verbs.%s: a client has that name for something else"):format(what,
          name))
      end
    end
    verbs[name] = compat.callable(verb) and verb or read_verb(name, verb, what)
  end
  api.verbs = verbs
  api.headers = read_headers(api.headers or {}, what)
  api.options = read_options(api.options or {}, api, what)
  return api
end

return M
