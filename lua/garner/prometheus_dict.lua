-- Owns: the samples of all workers of an nginx in one ngx.shared dict. A counter is one number to
-- which each worker adds what it counted since the last time; a gauge is a number of each worker
-- that expires if the worker does not renew it. So what a dead worker counted stays, nobody has to
-- find out who is dead, and the dict does not grow with the number of workers that ever were.
-- Must not: know what the samples mean.

local core = require "garner.core"
local compat = require "garner.compat"
local errors = require "garner.errors"
local log = require "garner.log"

local M = {}

local PREFIX = "garner:"
local LIVES = 3 -- intervals that a gauge stays without its worker

local workers = {} -- by name of the dict: what this worker added to it so far

local function find(name)
  local ngx = compat.global "ngx"
  if not ngx or not ngx.shared then
    errors.misuse("garner.prometheus: dict is for nginx; without it the text is this process's")
  end
  local dict = ngx.shared[name]
  if not dict then
    errors.misuse("garner.prometheus: there is no dict of that name: add "
      .. '"lua_shared_dict ' .. name .. ' 1m;" to the http block')
  elseif ngx.get_phase() == "init" then
    errors.misuse("garner.prometheus: with dict it is for the workers: call it in "
      .. "init_worker_by_lua_block, not in init_by_lua_block")
  end
  return ngx, dict
end

-- What a child of fork finds here is its parent's.
local function worker_of(name)
  local worker, pid = workers[name], core.pid()
  if not worker or worker.pid ~= pid then
    worker = { pid = pid, added = {} }
    workers[name] = worker
  end
  return worker
end

local function gauge_key(worker, sample)
  return PREFIX .. worker.pid .. ":" .. sample.key
end

local function add(worker, dict, sample)
  local more = sample.value - (worker.added[sample.key] or 0)
  if more == 0 then
    return true
  end
  local ok, why = dict:incr(PREFIX .. sample.key, more, 0)
  if ok then
    worker.added[sample.key] = sample.value
  end
  return ok, why
end

local function publish(worker, dict, samples, ttl)
  for _, sample in ipairs(samples) do
    local ok, why = true, nil
    if sample.gauge and ttl then
      ok, why = dict:set(gauge_key(worker, sample), sample.value, ttl)
    elseif sample.gauge then
      dict:delete(gauge_key(worker, sample))
    elseif sample.value then
      ok, why = add(worker, dict, sample)
    end
    if not ok then
      return nil, "the dict of garner.prometheus: " .. tostring(why)
    end
  end
  return true
end

-- Once in a worker, also where the code cache is off and every request has a Lua state of its
-- own: the mark is the worker's.
local function keep_publishing(ngx, dict, worker, interval, read)
  local mark, ttl = PREFIX .. worker.pid, LIVES * interval
  if worker.timer or not dict:add(mark, true, ttl) then
    return
  end
  worker.timer = ngx.timer.every(interval, function(ends)
    local ok, why = publish(worker, dict, read(), not ends and ttl or nil)
    if not ok then
      log.default()("warn", "prometheus.dict_full", { error = why })
    end
    if ends then
      dict:delete(mark)
    else
      dict:set(mark, true, ttl)
    end
  end)
end

local function add_up_gauges(dict, samples)
  local sums = {}
  for _, key in ipairs(dict:get_keys(0)) do
    local sample = key:match("^" .. PREFIX .. "%d+:(.+)$")
    if sample then
      sums[sample] = (sums[sample] or 0) + (dict:get(key) or 0)
    end
  end
  for _, sample in ipairs(samples) do
    if sample.gauge then
      sample.value = sums[sample.key] or sample.value
    end
  end
end

--- Adds this worker's samples to the dict, and gives them the values of all workers.
---@param name string of the dict
---@param interval number seconds
---@param samples table[] of prometheus.lua
---@param read fun(): table[] the same, later
---@return true|nil
---@return string|nil why
function M.sum(name, interval, samples, read)
  local ngx, dict = find(name)
  local worker = worker_of(name)
  local ok, why = publish(worker, dict, samples, LIVES * interval)
  if not ok then
    return nil, why
  end
  keep_publishing(ngx, dict, worker, interval, read)
  for _, sample in ipairs(samples) do
    if sample.value and not sample.gauge then
      sample.value = dict:get(PREFIX .. sample.key) or 0
    end
  end
  add_up_gauges(dict, samples)
  return true
end

return M
