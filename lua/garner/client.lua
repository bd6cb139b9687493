-- Owns: the client a user holds: base URL, credential, headers, policies, and the
-- verbs that send one request. Must not: know any API; vendors build on it.

local auth = require "garner.auth"
local client_rules = require "garner.client_rules"
local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local headers_of = compat.lazy "garner.headers"
local limiter = compat.lazy "garner.limiter"
local log = require "garner.log"
local methods = require "garner.methods"
local open_clients = require "garner.open_clients"
local options = require "garner.options"
local request = compat.lazy "garner.request"
local response = compat.lazy "garner.response"
local sending = compat.lazy "garner.send"
local traffic = compat.lazy "garner.traffic"

local M = {}

local new_response, send -- by the first request

local hidden = setmetatable({}, { __mode = "k" })

local VERBS = { "get", "head", "post", "put", "patch", "delete" }

-- Method -> path -> what a request without options is, ready to be sent.
local function new_plain()
  local out = {}
  for _, verb in ipairs(VERBS) do
    out[verb:upper()] = {}
  end
  return out
end

-- Options --------------------------------------------------------------------

local SCHEMA = {
  base_url = options.text, token = options.any, access_token = options.any,
  auth = client_rules.auth, headers = options.table, origins = client_rules.list,
  ca_file = options.text, proxy = client_rules.proxy, user_agent = options.text,
  connect_timeout = options.duration, timeout = options.duration, stall_timeout = options.duration,
  retry = client_rules.retry, attempts = client_rules.attempts, max_wait = options.duration,
  max_body = options.integer(1), max_headers = options.integer(1024),
  http_version = options.one_of { "1.1", "2" }, allow_http = options.boolean,
  allow_private = options.boolean, insecure_tls = options.boolean, rate = client_rules.rate,
  burst = options.positive, rate_headers = client_rules.rate_headers, log = log.option,
  transport = client_rules.transport, record = client_rules.record, replay = client_rules.replay,
  cache = client_rules.cache, cache_key = options.text, json = options.one_of { "garner", "cjson" },
}

-- Options that go to the core as they are.
local TO_CORE = { "origins", "ca_file", "proxy", "user_agent", "connect_timeout", "timeout",
  "stall_timeout", "max_body", "max_headers", "http_version", "allow_http", "allow_private",
  "insecure_tls", "rate", "burst", "rate_headers", "attempts", "max_wait" }

local function core_options(opts, session, headers, shown)
  if opts.transport and opts.replay then
    errors.misuse("garner: give transport or replay, not both")
  end
  local out = { transport = (opts.transport or opts.replay) ~= nil, record = opts.record ~= nil,
    log = shown >= 5 and 2 or shown >= 3 and 1 or 0 }
  out.limiter = opts.limiter and limiter.core(opts.limiter)
  out.base_url, out.auth, out.headers = opts.base_url, session:core_options(), headers
  for _, name in ipairs(TO_CORE) do
    out[name] = opts[name]
  end
  for name, value in pairs(opts.retry or {}) do
    out[name] = value
  end
  return out
end

local function from_env(names)
  for _, name in ipairs(names) do
    local text = os.getenv(name)
    if text and text ~= "" then
      return { env = name }
    end
  end
end

-- A vendor's own ways to a credential; their options are secrets and go.
local function made_auth(opts, vendor, what)
  local given, any = {}, false
  for name in pairs(vendor.credentials.options) do
    given[name], opts[name] = opts[name], nil
    any = any or given[name] ~= nil
  end
  local made = vendor.credentials.make(given, opts)
  if made and (opts.token ~= nil or opts.auth) then
    errors.misuse(what .. ": give one credential only: token, auth, or the options of another")
  elseif any and not made then
    errors.misuse(what .. ": " .. vendor.credentials.help)
  end
  return made
end

-- A limiter stands for both numbers; plans count with them.
local function pick_rate(opts, vendor, what)
  if type(opts.rate) == "table" then
    if opts.burst then errors.misuse(what .. ": the limiter given as rate has its own burst") end
    opts.limiter, opts.rate, opts.burst = opts.rate, opts.rate.rate, opts.rate.burst
  else
    opts.rate, opts.burst = opts.rate or vendor.rate, opts.burst or vendor.burst
  end
end

local function pick_auth(opts, vendor, what)
  local made = vendor.credentials and made_auth(opts, vendor, what)
  if made then
    return made
  end
  if opts.token == nil and not opts.auth then
    opts.token = from_env(vendor.token_env or {})
  end
  if opts.token == nil then
    if not opts.auth and vendor.needs_token and not (opts.transport or opts.replay) then
      local names = vendor.token_env or {}
      errors.misuse(what .. ": no token: set the option token"
        .. (names[1] and " or the environment variable " .. names[1] .. auth.env_hint(names[1])
          or "") .. (vendor.credentials and "; " .. vendor.credentials.help or ""))
    end
    return opts.auth
  elseif opts.auth then
    errors.misuse(what .. ": give token or auth, not both")
  elseif auth.is(opts.token) then
    return opts.token
  end
  return (vendor.auth or auth.bearer)(opts.token)
end

local function merged(a, b)
  local out = {}
  for _, map in ipairs { a or {}, b or {} } do
    for name, value in pairs(map) do
      out[name] = value
    end
  end
  return out
end

local NONE = {}

-- Checked headers, and what hides those of a tenant.
local function own_headers(map, session, what)
  if next(map) == nil then
    return NONE, NONE
  end
  local out = {}
  for _, pair in ipairs(headers_of.list(map, what)) do
    out[pair[1]] = pair[2]
  end
  for _, value in ipairs(headers_of.secret_values(out)) do
    session:hide(value)
  end
  return out, headers_of.short_tenants(out)
end

-- The client -----------------------------------------------------------------

---@class garner.Client
---@field log fun(level: string, event: string, fields: table|nil)
---@field options table the options as they were understood, without the credential
---@field get fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
---@field head fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
---@field post fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
---@field put fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
---@field patch fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
---@field delete fun(self, path: string, opts: table|nil): garner.Response|nil, garner.Error|nil
local Client = {}
Client.__index = Client
Client.__name = "garner.Client"

local function state_of(self, what)
  local state = hidden[self]
  if not state then
    errors.misuse("garner: " .. what .. ": call it with a colon, on a client")
  elseif state.closed() then
    errors.misuse("garner: " .. what .. ": this client is closed")
  end
  return state
end

-- The same of a client that is about to send something: only now all that takes is loaded.
local function sender_of(self, what)
  local state = state_of(self, what)
  if not state.on_event then
    new_response, send = response.new, sending.send
    state.attach()
    state.attach = nil
  end
  return state
end

-- Lets go of what a client holds, once: for `close` and for the collector, so it
-- must not reach the client itself. Whoever made it counts the client in.
local function closer(core_client, operations, session, write)
  local closed = false
  local function close()
    if closed then
      return
    end
    closed = true
    for op in pairs(operations) do
      op:cancel()
    end
    local ok, why = pcall(session.settle, session, write) -- a new refresh token is not lost
    session:detach()
    core_client:close()
    open_clients.release(close)
    if not ok then
      error(why, 0)
    end
  end
  return close, function()
    return closed
  end
end

--- Makes a client: the base URL, credential, headers and policies of many requests.
---@param opts table base_url (required), token (text, function, { file = }, { env = }) or auth,
--- headers, origins (more origins that may get the credential), ca_file, proxy ("env", a URL,
--- false), user_agent, connect_timeout (10 s), timeout (120 s), stall_timeout (60 s), retry (false,
--- attempts, or { attempts, backoff, backoff_throttled, backoff_cap, max_wait }), rate (requests a
--- second, or a garner.limiter that several clients keep), burst, rate_headers (the names of
--- headers that tell the rate: { remaining = | used = [, limit =] [, reset = [, reset_kind =
--- "seconds" | "epoch"]] }, `used` may say "39/40"; without it RateLimit, RateLimit-* and
--- X-RateLimit-* are read; false: none), max_body (bytes), max_headers, http_version ("1.1", "2"),
--- json ("cjson"), cache (a garner.cache: pulls of described verbs keep their windows there),
--- cache_key (a text that names whose data that is, instead of the credential itself), log,
--- allow_http, allow_private, insecure_tls, record (garner.record(file)), replay
--- (garner.replay(file)), transport (function(request) that answers in the network's place: see
--- traffic.lua). Durations: seconds or "90s", "15m"
---@param vendor table|nil what an API adds: name, base_url (text, or a function of the checked
--- options), auth (function(token)), token_env, needs_token, scope, headers, rate, burst, options
--- (more rules), credentials (other ways to a credential: options = rules, make = function(their
--- values, the checked options) -> auth or nil, help = a text)
---@return garner.Client
function M.new(opts, vendor)
  vendor = vendor or {}
  local what = "garner." .. (vendor.name or "client")
  opts = options.alias(opts, "access_token", "token", what)
  opts = options.check(opts, merged(merged(SCHEMA, vendor.options),
    vendor.credentials and vendor.credentials.options), what)
  if type(vendor.base_url) == "function" then
    opts.base_url = vendor.base_url(opts)
  end
  opts.base_url = opts.base_url or vendor.base_url
  pick_rate(opts, vendor, what)
  if not opts.base_url then
    errors.misuse(what .. ": base_url is missing")
  end
  local session = auth.session(pick_auth(opts, vendor, what), what)
  local headers, short = own_headers(merged(opts.headers, vendor.headers), session, what)
  if opts.cache and not opts.cache_key and not session:parts() then
    errors.misuse(what .. ": with a cache a token function needs cache_key, a text that names "
      .. "whose data this client gets")
  end
  local function secrets()
    local list = session:secrets()
    for _, hide in ipairs(short) do
      list[#list + 1] = hide
    end
    return list
  end
  local write, shown = log.new(opts.log, secrets)
  local ok, made = pcall(core.client_new, core_options(opts, session, headers, shown))
  if not ok then
    errors.pass(made)
    errors.misuse(what .. ": " .. errors.redact(tostring(made), session:secrets()))
  end
  session:attach(made)
  local operations = setmetatable({}, { __mode = "k" })
  local function settle()
    session:settle(write)
  end
  local close, closed = closer(made, operations, session, write)
  local self = setmetatable({ log = write, options = opts }, Client)
  opts.token, opts.auth, opts.headers = nil, nil, nil
  local state = {
    core = made, base_url = opts.base_url, headers = headers, session = session, secrets = secrets,
    operations = operations, close = close, closed = closed, name = vendor.name,
    plain = new_plain(), plain_count = 0, scope = vendor.scope, codec = opts.json, log = write,
    shown = shown, guard = false, core_origin = made:origin(),
    plainly = shown < 4 and not session:wants_scope(), -- nothing to do after a good answer
    waiting = not session:wants_scope() and operations or nil,
    scoped = session:wants_scope(), settle = session:wants_scope() and settle or nil,
  }
  hidden[self] = state
  state.guard = compat.finalizer(close)
  open_clients.acquire(close) -- by now it is counted out again, whatever happens
  state.attach = function()
    local given = session:core_options() or NONE
    traffic.attach(state, opts, { scheme = given.scheme, header = given.header,
      headers = headers_of.list(headers, what), ca_file = opts.ca_file,
      proxy = opts.proxy ~= "env" and opts.proxy or nil, insecure_tls = opts.insecure_tls })
  end
  -- A worker of nginx has what its master loaded, and may not be able to read files any more.
  local ngx = compat.global "ngx"
  if type(ngx) == "table" and ngx.get_phase then
    compat.load("garner.engine").prepare()
    compat.load "garner.driver.nginx"
  end
  if opts.transport or opts.replay or opts.record then
    sender_of(self, what) -- whoever answers is there from the start
  end
  if opts.insecure_tls then
    write("warn", "insecure_tls", { origin = made:origin() })
  end
  return self
end

-- The headers of a client without those that are a credential by their name.
local function without_secrets(headers)
  local out = {}
  for name, value in pairs(headers) do
    if not core.is_secret_name(name) then out[name] = value end
  end
  return out
end

--- Who asks, and where: plain data to be hashed, as it holds secrets. Another credential, another
--- tenant or another server is another one.
---@param client garner.Client
---@return table
function M.identity(client)
  local state = hidden[client]
  local key = client.options.cache_key
  return { base_url = state.base_url, name = state.name, offline = state.offline and true or nil,
    key = key, headers = key and without_secrets(state.headers) or state.headers,
    credential = not key and state.session:parts() or nil }
end

--- Cancels what is in flight and lets go. May be called again.
function Client:close()
  local state = hidden[self]
  if not state then
    errors.misuse("garner: client:close: call it with a colon, on a client")
  end
  state.plain, state.plain_count = new_plain(), 0 -- so that every verb looks at the state
  state.close()
  if state.finish then
    state.finish()
  end
end
Client.__close = Client.close

function Client:__tostring()
  local state = hidden[self]
  if state.closed() then
    return "garner client (closed)"
  end
  local scheme = state.session:scheme()
  return "garner client " .. state.core_origin .. (scheme and " (" .. scheme .. " ***)" or "")
end

--- "https://host:port" of the base URL.
---@return string
function Client:origin()
  return state_of(self, "origin").core_origin
end

-- Sending --------------------------------------------------------------------

local function send_prepared(state, context)
  local result, status = send(state, context)
  if not result then
    return nil, status
  end
  return new_response(result, context, state.codec, status)
end

local function send_checked(state, opts, what)
  local core_request, context = request.build(state, opts, what)
  return send_prepared(state, sending.prepare(state, core_request, context))
end

local PLAIN_MAX = 64 -- paths

-- A request without options is the same each time: prepared once per path.
local function plain(state, method, path, what)
  if state.plain_count == PLAIN_MAX then
    state.plain, state.plain_count = new_plain(), 0
  end
  local core_request, context = request.build(state, { method = method, path = path }, what)
  local known = sending.prepare(state, core_request, context)
  state.plain[method][path], state.plain_count = known, state.plain_count + 1
  return known
end

--- Sends one request. Answers of 400 and above are errors.
---@param opts table method ("GET"), path (with {name} parts), params, query (a list repeats the
--- key), json, form or body, headers, accept, safe (may be sent again; default GET and HEAD),
--- creates (never sent again unless surely not taken), timeout (seconds or text), attempts,
--- max_body (bytes), redirects, file (the body goes to this path)
---@return garner.Response|nil
---@return garner.Error|nil
function Client:request(opts)
  opts = options.check(opts, request.SCHEMA, "client:request")
  return send_checked(sender_of(self, "client:request"), opts, "client:request")
end

--- The schema's checked options of a verb whose path is given first: there `path` in
--- the options is another name for `params`.
---@param path string
---@param opts table|nil
---@param schema table
---@param what string
---@return table
function M.path_options(path, opts, schema, what)
  if type(path) ~= "string" then
    errors.misuse(what .. ": the path must be a text, got " .. options.show(path))
  end
  opts = options.alias(opts, "path", "params", what)
  opts = options.check(opts, schema, what)
  opts.path = path
  return opts
end

-- Going on in another process -------------------------------------------------

--- The text of a checkpoint of something of this client. Jobs and walks have a verb of that name;
--- this one is theirs.
---@param kind string
---@param fields table plain data
---@return string
function Client:checkpoint(kind, fields)
  local state = state_of(self, "client:checkpoint")
  local with_origin = merged(fields, { origin = state.core_origin })
  return compat.load("garner.checkpoint").encode(kind, with_origin, state.secrets())
end

--- Goes on with what a checkpoint tells of, in this process, with this client's credential.
---@param text string what `job:checkpoint()` or `walk:checkpoint()` gave
---@param opts table|nil options of what is gone on with
---@param kinds table|nil more kinds, of a vendor; internal
---@return any|nil the job or walk
---@return garner.Error|nil err kind "invalid", code "checkpoint", for a text that is none; a
--- checkpoint of another origin raises
function Client:resume(text, opts, kinds)
  local state = sender_of(self, "client:resume")
  local own = { pages = function(fields)
    return compat.load("garner.pages").resume(state, fields)
  end }
  return compat.load("garner.checkpoint").resume(self, text, merged(own, kinds), opts)
end

-- Walks, polls, downloads -----------------------------------------------------

--- Walks over pages; nothing is sent before the first page is asked for. `next` says what names
--- the next page and where that goes:
---   { from = "nextPageToken", query = "pageToken" }: a value of the body (a JSON path) or, with
---   `from_header`, a response header; into the query, with `body` a value of the JSON body (the
---   method is POST then), with `header` a request header
---   { link = "next" }, { link_header = true or a relation }: the next page's URL, in the body or
---   in a Link header
---   { page = "page", size = 250, first = 1 }, { offset = "offset", size = 100, first = 0 }:
---   counted; `to` = "query", "body" or "header". A page shorter than `size` is the last one only
---   if the first page was full; else, and without `size`, an empty one is. A page with the items
---   of the one before it or of the first is an error, with `repeats` = "end" the end, with
---   "allow" a page
---   `more` = "has_more": the JSON path of a flag; where it is there, it says when the walk ends
---@param path string
---@param opts table items (JSON path of the list), next, max_pages (10000), max_bytes, ahead
--- (2: so many pages at most are fetched before they are asked for; false: none), resume (an
--- error's), and what `request` takes; a POST must be `safe`
---@return garner.Walk
function Client:pages(path, opts)
  return compat.load("garner.pages").new(sender_of(self, "client:pages"), path, opts)
end

--- The rows of one large response, given while it still arrives, in constant memory: `for row in
--- api:rows(path, { items = "data.items" }) do`, `rows:next()`, `rows:each(fn)`, `rows:close()`.
--- Nothing is sent before the first row is asked for. A caller who takes none stops the server's
--- sending, and no timeout runs meanwhile (but the server's own); `timeout` ends with the first
--- byte of the body. All of the document is read strictly, what follows the list too. Once rows
--- were given, the request is not sent again: a body that breaks off then is an error behind
--- them. There is no checkpoint: who needs one walks over `pages`. With `record`, bodies up to
--- the client's `max_body` are kept; `transport` and `replay` have the whole body at once.
---@param path string
---@param opts table items (JSON path of the list; none: the document is the list), optional (true:
--- a document without that list, or with null there, has no rows; else error code "no_items"),
--- max_body (bytes of one row), and what `request` takes
---@return garner.Rows
function Client:rows(path, opts)
  return compat.load("garner.row_stream").new(sender_of(self, "client:rows"), path, opts)
end

--- Waits for many jobs with shared requests.
---@param spec table see poll.lua
---@param on_report fun(id: string, state: string, element: any, status: string|nil)
---@return true|nil
---@return garner.Error|nil
function Client:poll(spec, on_report)
  return compat.load("garner.poll")(sender_of(self, "client:poll"), spec, on_report)
end

--- Downloads a file that a server named. No credential and no header of the client is
--- sent. The file appears under its name when it is whole; what a cut connection or a killed
--- process left in `<path>.part` is gone on with where the server can (a strong ETag).
---@param url string http or https
---@param path string
---@param opts table|nil see download.lua: sha256, resume, progress, on_progress, max_body (bytes),
--- timeout, attempts, redirects
---@return garner.File|nil
---@return garner.Error|nil
function Client:download(url, path, opts)
  return compat.load("garner.download").run(sender_of(self, "client:download"), url, path, opts)
end

methods.guard(Client, "client", function(value) return hidden[value] ~= nil end)

-- get, head, post, put, patch, delete: `request` with the path given first; there `path` in the
-- options is another name for `params`.
for _, verb in ipairs(VERBS) do
  local what, method = "client:" .. verb, verb:upper()
  Client[verb] = function(self, path, opts)
    local state = hidden[self]
    if not state then
      methods.refuse("client", verb)
    elseif opts == nil then
      local known = state.plain[method][path]
      if not known and type(path) == "string" then
        known = plain(sender_of(self, what), method, path, what)
      end
      if known then
        return send_prepared(state, known)
      end
    end
    opts = M.path_options(path, opts, request.SCHEMA, what)
    if opts.method then
      errors.misuse(what .. ": the method is " .. method)
    end
    opts.method = method
    return send_checked(sender_of(self, what), opts, what)
  end
end

return M
