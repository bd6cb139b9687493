-- Owns: waiting in nginx: a coroutine that waits has a connection of its own, out of a pool, to
-- its engine's Unix socket, and sleeps in nginx's loop until a line comes.
-- Must not: block the worker, or need a timer or lua-resty-core.

local core = require "garner.core"
local errors = require "garner.errors"

local ngx = require("garner.compat").global "ngx"

if not (ngx and ngx.get_phase) then
  errors.misuse 'garner.use "nginx": this is not nginx'
end

local get_phase, socket = ngx.get_phase, ngx.socket.tcp

local M = { name = "nginx", server = true }

--- How many connections to the engine's socket are kept for the next that wait.
M.pool_size = 1024

local IDLE_MS = 60000 -- that an unused connection is kept
local SEND_MS = 5000 -- a line goes into a socket's buffer, or something is broken
local NEVER_MS = 2147483647 -- the engine ends every wait: nginx logs a timeout as an error
local SLICE = 1 -- seconds, after which a timer that sleeps looks whether its worker shuts down

local START_A_TIMER = "start a timer, which can: ngx.timer.at(0, function() ... end)"

-- Phases without sockets and sleep, and what to do there instead.
local ADVICE = {
  init = "make clients here; send requests in timers that init_worker_by_lua* starts: "
    .. "ngx.timer.at(0, function() ... end)",
  init_worker = START_A_TIMER,
  set = "use rewrite_by_lua*, or start a timer: ngx.timer.at(0, function() ... end)",
  balancer = "use access_by_lua*, or start a timer: ngx.timer.at(0, function() ... end)",
  -- Only nginx with OpenResty's patches can wait here, and nothing tells which one this is.
  ssl_client_hello = START_A_TIMER,
  ssl_cert = START_A_TIMER,
  ssl_session_fetch = START_A_TIMER,
  ssl_session_store = START_A_TIMER,
  header_filter = START_A_TIMER,
  body_filter = START_A_TIMER,
  log = START_A_TIMER,
  exit_worker = "the worker ends; do it before, such as in a timer that ngx.timer.every repeats",
}

--- Raises where nginx cannot wait, and says what to do instead.
---@return string phase
function M.check()
  local phase = get_phase()
  local advice = ADVICE[phase]
  if advice then
    errors.misuse("garner: nginx cannot wait in its " .. phase .. " phase; " .. advice)
  elseif not core.yieldable() then -- nginx would find out after it has set its timer
    errors.misuse("garner: nginx cannot wait inside require, string.gsub, table.sort or another C "
      .. "function; call it outside, or start a timer: ngx.timer.at(0, function() ... end)")
  end
  return phase
end

local path, address, greeting -- of the engine that was waited for last
local lines = setmetatable({}, { __mode = "k" }) -- its mailboxes -> what asks for their mail

local function line_of(mailbox)
  local where, key = mailbox:doorbell()
  if not where then
    return nil, key
  elseif where ~= path then
    path, address, greeting = where, "unix:" .. where, key .. "\n"
    lines = setmetatable({}, { __mode = "k" })
  end
  local line = mailbox:id() .. "\n"
  lines[mailbox] = line
  return line
end

local function open(where, options)
  local sock = socket()
  sock:settimeouts(SEND_MS, SEND_MS, NEVER_MS)
  local ok, why = sock:connect(where, options)
  if not ok then
    return nil, why
  end
  return sock
end

-- A connection to a mailbox's engine, and the line that asks there.
local function connect(mailbox)
  local line = lines[mailbox]
  if not line then
    local no_engine
    line, no_engine = line_of(mailbox)
    if not line then
      return nil, no_engine
    end
  end
  local sock, why = open(address)
  if not sock then
    return nil, why
  end
  return sock, line
end

-- Sends a line, gets the answer. On any doubt the connection is closed: then the engine cancels
-- what was submitted to that mailbox.
local function ask(sock, line)
  if sock:getreusedtimes() == 0 then
    line = greeting .. line
  end
  local ok = sock:send(line)
  local answer = ok and sock:receive()
  if answer then
    sock:setkeepalive(IDLE_MS, M.pool_size)
  else
    sock:close()
  end
  return answer
end

-- The worker's time is up: nginx has closed the connections that it still had, but timers may
-- make new ones.
local is_over = false

local failures = 0 -- in a row: no connection, or one that was torn down

-- There is no connection to be had, or somebody tore it down: the caller looks again, soon.
local function stumble(mailbox, why)
  if type(why) == "table" then
    if why.kind == "invalid" then
      errors.misuse("garner: nginx needs an engine with a thread; it was told to do without by "
        .. "garner.engine or GARNER_ENGINE")
    end
    why = why.message
  end
  if mailbox:is_closed() then
    return
  elseif ngx.worker.exiting() then
    is_over = true
  elseif failures == 0 then
    require("garner.log").default()("warn", "nginx.no_connection", { error = why })
  end
  failures = math.min(failures + 1, 8)
  ngx.sleep(0.002 * 2 ^ failures)
end

-- The engine sees who waits go away, and cancels.
local function cancel(sock, line)
  sock:send((sock:getreusedtimes() == 0 and greeting or "") .. line)
  sock:close()
  ngx.sleep(0.01)
end

local function wait(mailbox, deadline)
  local sock, line = connect(mailbox)
  if not sock then
    return stumble(mailbox, line)
  elseif is_over and get_phase() == "timer" then
    return cancel(sock, line)
  elseif deadline then
    line = ("%d %d\n"):format(mailbox:id(), math.ceil(math.max(0, deadline - core.now()) * 1000))
  end
  if ask(sock, line) then
    failures = 0
  else
    stumble(mailbox, "the connection was closed")
  end
end

--- Waits until the mailbox has something, or for the deadline; may return early.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  if mailbox:pending() > 0 or mailbox:is_closed() then
    return
  end
  M.check()
  return wait(mailbox, deadline)
end

-- Mailboxes that one coroutine after the other waits for -> the pool of their own connection,
-- which only the first of them has to tell what it is for.
local own = setmetatable({}, { __mode = "k" })

local function own_of(mailbox)
  local line, no_engine = line_of(mailbox)
  if not line then
    return nil, no_engine
  end
  local pool = { pool = path .. line, address = address, line = greeting .. "=" .. line,
    busy = false }
  own[mailbox] = pool
  return pool
end

-- The same as `ask`, on the mailbox's own connection.
local function ask_alone(sock, mailbox, pool)
  local answer
  if sock:getreusedtimes() == 0 then
    answer = sock:send(pool.line) and sock:receive()
  else
    answer = mailbox:subscribe()
    if answer then
      answer = sock:receive()
    elseif answer == false then -- it has something
      answer = true
    end
  end
  if answer then
    sock:setkeepalive(IDLE_MS, 1)
  else
    sock:close()
  end
  return answer
end

--- Waits without a deadline for one that has just called `check`, for a mailbox that nobody else
--- waits for meanwhile.
---@param mailbox userdata
function M.wait_alone(mailbox)
  local pool = own[mailbox]
  if not pool then
    local no_engine
    pool, no_engine = own_of(mailbox)
    if not pool then
      return stumble(mailbox, no_engine)
    end
  end
  if pool.busy or is_over then
    return wait(mailbox)
  end
  pool.busy = true -- for ever, where nginx ends this coroutine
  local sock, why = open(pool.address, pool)
  local answer = sock and ask_alone(sock, mailbox, pool)
  pool.busy = false
  if answer then
    failures = 0
  else
    stumble(mailbox, why or "the connection was closed")
  end
end

--- Sleeps; nginx goes on. In a timer whose worker shuts down it raises an error of kind
--- "cancelled": nginx waits for sleeping timers, however long that takes.
---@param seconds number
function M.sleep(seconds)
  local phase = M.check()
  local deadline = core.now() + seconds
  repeat
    if phase == "timer" and ngx.worker.exiting() then
      errors.raise(errors.new { kind = "cancelled", code = "shutdown",
        message = "cancelled: nginx shuts this worker down" })
    end
    local left = math.max(0.001, deadline - core.now())
    ngx.sleep(phase == "timer" and math.min(left, SLICE) or left)
  until core.now() >= deadline
end

M.now = core.now

--- Whether waiting is possible here: it always yields.
---@return boolean
function M.yieldable()
  return ADVICE[get_phase()] == nil and core.yieldable()
end

local LEVELS = { error = ngx.ERR, warn = ngx.WARN, info = ngx.INFO, debug = ngx.DEBUG,
  trace = ngx.DEBUG }
local LINE = 1800 -- nginx cuts a line of its log off at 2048 bytes

--- Writes to nginx's error log.
---@param level string
---@param text string
function M.log(level, text)
  local parts = math.max(1, math.ceil(#text / LINE))
  for i = 1, parts do
    local part = text:sub((i - 1) * LINE + 1, i * LINE)
    ngx.log(LEVELS[level], part, parts > 1 and (" (part %d of %d)"):format(i, parts) or "")
  end
end

return M
