-- Owns: one request of a client from what was checked to its result: starting it, waiting for
-- it, its log line, its error, and once more with another token.
-- Must not: know how a user asks for it, or what a response looks like.

local compat = require "garner.compat"
local engine = require "garner.engine"
local errors = require "garner.errors"

local M = {}

local exchange = engine.exchange

local function log_request(state, result, context)
  state.log("debug", "request", { method = context.method, url = result:url(),
    status = result:status(), elapsed = result:elapsed(),
    attempts = errors.count_attempts(result:attempts()),
    curl = state.curl(result, context.secrets) })
end

--- Starts something on the engine for this client.
---@param state table
---@param verb string "submit", "walk", "poll"
---@param core_request table
---@param rules table|nil
---@return table|nil operation
---@return garner.Error|nil
function M.start(state, verb, core_request, rules)
  local op, err = engine.start(verb, state.core, core_request, rules, state.on_event)
  if op then
    state.operations[op], op.settle = true, state.settle
  end
  return op, err
end

--- The error for the value of a "done" event that is no success.
---@param value any result with an error, or false
---@param context table
---@return garner.Error
function M.failure(value, context)
  if not value then
    return errors.from_raw(engine.cancelled, context)
  end
  return errors.from_result(value, context)
end

-- Ends the request before an error of the user's function goes on its way.
local function tell(op, fn, value)
  local ok, why = compat.guard(fn, value)
  if not ok then
    op:cancel()
    error(why, 0)
  end
end

local function await(state, op, context)
  state.operations[op], op.settle = true, state.settle
  local event, result = op:next()
  while event == "progress" do
    tell(op, context.on_progress, result)
    event, result = op:next()
  end
  state.operations[op] = nil
  if not result then
    return nil, M.failure(result, context)
  end
  return result
end

--- Makes what `once` sends, as often as it is wanted, and puts it into the context, as `request`.
---@param state table
---@param core_request table
---@param context table for errors
---@return table context
function M.prepare(state, core_request, context)
  local ok, prepared = pcall(state.core.request_new, state.core, core_request)
  if not ok then
    errors.pass(prepared)
    errors.misuse("garner: " .. tostring(prepared))
  end
  context.request = prepared
  return context
end

-- Waits for what did not end so easily.
local function follow(state, context, op, raw)
  local result, err
  if raw then
    return nil, errors.from_raw(raw, context)
  elseif not op then
    op, err = engine.start("submit", state.core, context.request, nil, state.on_event)
  end
  if op then
    result, err = await(state, op, context)
  end
  return result, err
end

-- The rest of `once`, from what `engine.exchange` gave.
local function finish(state, context, result, status, op, raw)
  if not result then
    local err
    result, err = follow(state, context, op, raw)
    if not result then
      return nil, err
    end
  elseif state.settle then
    state.settle()
  end
  if state.shown >= 4 then
    log_request(state, result, context)
  end
  status = status or not result:error() and result:status()
  if not status or status >= 400 then
    return nil, errors.from_result(result, context)
  end
  return result, status
end

--- Sends what was prepared and waits for its end.
---@param state table
---@param context table what `prepare` gave
---@return userdata|nil result
---@return integer|garner.Error status
function M.once(state, context)
  return finish(state, context, exchange(state.core, context.request, state.on_event,
    state.waiting))
end

local once = M.once

-- Whether a request that ended like this is to be sent once more, with another token.
local function renewed(state, generation, err)
  if state.offline or not errors.is(err, "unauthenticated") then
    return false, err
  end
  local ok, why = state.session:renew(state.core, generation)
  if ok then
    state.log("info", "token_renewed", { origin = state.core_origin })
    return true
  elseif why then
    why.status, why.request_id = err.status, err.request_id
    return false, why
  end
  return false, err
end

--- Runs something that may end as "unauthenticated": once more if the credential's
--- source has another token by then. A refused request was not taken, so that is
--- right for creating requests too.
---@param state table
---@param run fun(a: any, b: any): any, any gives nil, error where it failed
---@param a any for run
---@param b any for run
---@return any|nil
---@return any what run gave with it, or a garner.Error
function M.with_token(state, run, a, b)
  if state.offline then -- nothing is sent, so no credential is needed
    return run(a, b)
  end
  local generation, why = state.session:ready(state.core)
  if not generation then
    return nil, why
  end
  local value, second = run(a, b)
  if value or second == nil then
    return value, second
  end
  generation, why = renewed(state, generation, second)
  if not generation then
    return nil, why
  end
  return run(a, b)
end

--- The same of `once`, without a step more than most requests need.
---@param state table
---@param context table what `prepare` gave
---@return userdata|nil result
---@return integer|garner.Error status
function M.send(state, context)
  local generation = state.session.generation
  if not generation then
    return M.with_token(state, once, state, context)
  end
  local result, status, op, err = exchange(state.core, context.request, state.on_event,
    state.waiting)
  if status and status < 400 and state.plainly then
    return result, status
  end
  result, status = finish(state, context, result, status, op, err)
  if result then
    return result, status
  end
  generation, err = renewed(state, generation, status)
  if not generation then
    return nil, err
  end
  return once(state, context)
end

return M
