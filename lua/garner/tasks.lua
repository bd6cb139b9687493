-- Owns: functions that run side by side: `garner.all`, and windows in flight for pulls.
-- Must not: know how they wait.

local compat = require "garner.compat"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"
local schedulers = require "garner.scheduler"

local M = {}

-- Streams --------------------------------------------------------------------

---@class garner.Stream
local Stream = {}
Stream.__index = Stream

local function start_one(stream)
  stream.started = stream.started + 1
  local i = stream.started
  stream.scheduler:spawn(function()
    return stream.fn(i)
  end, stream, i)
end

--- Called by the scheduler when one has ended.
function Stream:ended(i, entry)
  self.entries[i] = entry
  if self.gate and self.awaited == i then
    schedulers.open(self.gate, self.scheduler)
  end
end

-- What runs or waits to be handed out, without what is away in a pause.
local function full(stream)
  return stream.started - stream.delivered - stream.away >= stream.concurrency
end

-- Lets one come back whose pause is over: always, if somebody waits for just that.
local function admit(stream)
  local first
  for i in pairs(stream.returning) do
    first = math.min(first or i, i)
  end
  if not first or first ~= stream.awaited and full(stream) then
    return false
  end
  local gate = stream.returning[first]
  stream.returning[first], stream.away = nil, stream.away - 1
  schedulers.open(gate, stream.scheduler)
  return true
end

local function fill(stream)
  while not stream.closed and admit(stream) do end -- luacheck: ignore 542
  while not stream.closed and stream.started < stream.n and not full(stream) do
    start_one(stream)
  end
end

--- Called by what runs as `i`: sleeps without counting as in flight, so that others go
--- on, and comes back when there is room.
---@param i integer
---@param seconds number
function Stream:pause(i, seconds)
  self.away = self.away + 1
  fill(self)
  driver.current().sleep(seconds)
  local gate = schedulers.new_gate()
  self.returning[i] = gate
  fill(self)
  self.scheduler:pass(gate)
end

--- The next in order, waiting for it. What `run` raised is raised here.
---@return integer|nil index nil at the end
---@return any ... what run returned for it
function Stream:next()
  if self.closed or self.delivered == self.n then
    return nil
  end
  fill(self)
  local i = self.delivered + 1
  if not self.entries[i] then
    self.gate, self.awaited = schedulers.new_gate(function()
      self:close()
    end), i
    fill(self)
    self.scheduler:pass(self.gate)
    self.gate, self.awaited = nil, nil
  end
  local entry = self.entries[i]
  if self.closed then
    return nil
  end
  self.entries[i], self.delivered = nil, i
  if entry.raised then
    self:close()
    error(entry.err, 0)
  end
  fill(self)
  local task = driver.task()
  if not (task and task.scheduler == self.scheduler) then
    self.scheduler:kick() -- so that the next requests are out while the caller works
  end
  return i, compat.unpack(entry, 1, entry.n)
end

--- Ends the stream: what is in flight is cancelled.
function Stream:close()
  if self.closed then
    return
  end
  self.closed = true
  self.entries = {}
  self.scheduler:drop_all(self)
  if self.gate then
    schedulers.open(self.gate, self.scheduler)
  end
end

--- Runs run(1) to run(count) side by side and gives the outcomes in order. Never more
--- than `concurrency` are started ahead of the one handed out last.
---@param spec table `count`, `concurrency`, `run` = function(index) that may wait
---@return garner.Stream
function M.ordered(spec)
  local stream = setmetatable({
    n = spec.count, concurrency = spec.concurrency, fn = spec.run,
    scheduler = schedulers.current(), started = 0, delivered = 0, entries = {},
    away = 0, returning = {},
  }, Stream)
  return stream
end

-- garner.all -----------------------------------------------------------------

local function check_functions(fns)
  if type(fns) ~= "table" then
    errors.misuse("garner.all: give a list of functions, got " .. options.show(fns))
  end
  local count = 0
  for key, fn in pairs(fns) do
    if not compat.whole(key) or type(fn) ~= "function" and not compat.callable(fn) then
      errors.misuse("garner.all: entry " .. tostring(key) .. " is not a function in a list")
    end
    count = count + 1
  end
  for i = 1, count do
    if fns[i] == nil then
      errors.misuse("garner.all: the list has a hole at " .. i)
    end
  end
  return count
end

local All = {}
All.__index = All

function All:start()
  self.started = self.started + 1
  self.scheduler:spawn(self.fns[self.started], self, self.started)
end

--- Called by the scheduler when one has ended.
function All:ended(i, entry)
  local results = self.results
  results[i] = entry
  results.failed = results.failed + (entry.ok and 0 or 1)
  self.over = self.over + 1
  if self.started < self.n then
    self:start()
  elseif self.over == self.n then
    schedulers.open(self.gate, self.scheduler)
  end
end

--- Runs functions that wait side by side, in every host, and gives their outcomes in
--- the order of the list. One that fails or raises does not touch the others.
---@param fns function[]
---@param opts table|nil `concurrency`: how many run at a time (default: all of them)
---@return table results `results[i]` = { ok = boolean, n = count, [1..n] = returned values,
--- err = what it raised, or returned after nil or false, traceback = text if it raised };
--- `results.failed`: how many are not ok
function M.all(fns, opts)
  local n = check_functions(fns)
  opts = options.check(opts, { concurrency = options.integer(1) }, "garner.all")
  local results = { failed = 0 }
  if n == 0 then
    return results
  end
  local limit = math.min(opts.concurrency or n, n)
  local all = setmetatable({ fns = fns, results = results, n = n, started = 0, over = 0,
    scheduler = schedulers.current(), gate = nil }, All)
  all.gate = schedulers.new_gate(function()
    all.scheduler:drop_all(all)
  end)
  for i = 1, n do
    results[i] = false -- so that the list is made at once
  end
  for _ = 1, limit do
    all:start()
  end
  local ok, why = compat.guard(all.scheduler.pass, all.scheduler, all.gate)
  if not ok then -- Ctrl-C, or the host's own error: nobody will take what is in flight
    all.scheduler:drop_all(all)
    error(why, 0)
  end
  return results
end

return M
