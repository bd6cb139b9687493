-- Owns what becomes of a create whose fate is unknown: left as it is, created again, found
-- in the vendor's list, or decided by the caller. Never by itself, and never silently. How
-- a vendor creates and lists comes as a `spec`; this file must not know any vendor.

local compat = require "garner.compat"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"

local M = {}

-- An interval between two looks at a list that may lag.
local AGAIN = 1

---Rule for `in_doubt`.
---@param lists boolean can this vendor list what there is?
---@return fun(value: any): any, string|nil
function M.rule(lists)
  local words = { fail = true, recreate = true, list = lists or nil }
  return function(value)
    if words[value] or compat.callable(value) then return value end
    return nil, ('must be "fail", "recreate"%s or a function(err), got %s'):format(
      lists and ', "list"' or "", options.show(value))
  end
end

---@class garner.doubt.spec
---@field create fun(): garner.report[]|nil, garner.Error|nil one create request
---@field job fun(list: garner.report[]): garner.job
---@field adopt? fun(id: string): garner.report[] what the server already has
---@field ids? fun(): table[]|nil, garner.Error|nil a list of what there is: reports
---@field known? table<string, boolean> ids that this client made
---@field policy? string|function what `M.rule` takes
---@field track? boolean list before the create, so that `candidates` can compare
---@field owner table what creates one at a time where the policy is "list"
---@field log fun(level: string, event: string, fields: table)
---@field what string for messages
---@field creates? number how many create requests were made

local function create(spec)
  spec.creates = (spec.creates or 0) + 1
  return spec.create()
end

local function ids_of(list)
  local out = {}
  for _, each in ipairs(list) do
    if each.id then out[each.id] = true end
  end
  return out
end

local function candidates(spec)
  local list, err = spec.ids()
  if not list then return nil, err end
  local out = {}
  for _, each in ipairs(list) do
    if each.id and not (spec.before and spec.before[each.id]) and not spec.known[each.id] then
      out[#out + 1] = each
    end
  end
  return out
end

-- Gives an error the ways out of it.
local function equip(spec, err)
  local function as_job(list, why)
    if list then return spec.job(list) end
    return nil, why
  end
  function err.retry()
    spec.log("warn", "in_doubt.created_again", { what = spec.what, creates = spec.creates + 1 })
    local list, why = create(spec)
    if not list and why.kind == "in_doubt" then equip(spec, why) end
    return as_job(list, why)
  end
  if spec.ids then
    function err.candidates() return candidates(spec) end
    function err.adopt(_, id)
      if type(id) ~= "string" or id == "" then
        errors.misuse("adopt: an id expected, such as err:candidates()[1].id, got "
          .. options.show(id))
      end
      local list = spec.adopt(id)
      spec.log("warn", "in_doubt.adopted", { what = spec.what, id = list[1].id })
      return as_job(list)
    end
  end
  return err
end

-- What the list says: the one that was not there before, or that there is none.
local function by_list(spec, err)
  local found, why
  for look = 1, 2 do
    if look > 1 then driver.current().sleep(AGAIN) end
    found, why = candidates(spec)
    if not found then
      err.message = ("%s; the list that could tell more could not be had: %s"):format(err.message,
        why.message)
      return nil, err
    end
    if found[1] then break end
  end
  if #found == 1 then return err:adopt(found[1].id).reports end
  if found[1] then
    err.found = found
    err.message = ("%s; the list has %d that were not there before, and does not say whose they "
      .. "are"):format(err.message, #found)
    return nil, err
  end
  local made
  made, why = err:retry()
  return made and made.reports, why
end

local function decided(spec, err)
  local policy = spec.policy or "fail"
  spec.log("warn", "in_doubt", { what = spec.what, error = tostring(err),
    policy = tostring(policy) })
  equip(spec, err)
  if policy == "fail" then return nil, err end
  if policy == "list" then return by_list(spec, err) end
  local made, why
  if policy == "recreate" then
    made, why = err:retry()
  else
    made, why = policy(err)
    if made ~= nil and made ~= false and (type(made) ~= "table" or not made.reports) then
      errors.misuse("in_doubt: the function must give a job (of err:retry() or err:adopt(id)), "
        .. "or nil, got " .. options.show(made))
    end
  end
  if made then return made.reports end
  return nil, why or err
end

local function listed(spec)
  if not spec.track then return true end
  local list, err = spec.ids()
  if not list then return nil, err end
  spec.before = ids_of(list)
  return true
end

local function run(spec)
  local ok, err = listed(spec)
  if not ok then return nil, err end
  local list
  list, err = create(spec)
  if list or err.kind ~= "in_doubt" then return list, err end
  return decided(spec, err)
end

-- Two creates at a time could each find the other's in the list. A task that was dropped
-- holds nothing any more, nor does a coroutine that nobody resumed and that was collected.
local function one_at_a_time(spec)
  local owner = spec.owner
  owner.creating = owner.creating or setmetatable({}, { __mode = "v" })
  local holder = owner.creating
  while holder.at and not (holder.at.life and holder.at.life.over) do
    driver.current().sleep(0.02)
  end
  local mine = { life = driver.life() }
  holder.at = mine
  local ok, list, err = compat.guard(run, spec)
  if holder.at == mine then holder.at = nil end
  if not ok then error(list, 0) end
  return list, err
end

---One create, and what its policy makes of it where nobody knows whether the server took it. The
---error has `retry()` (a job, or nil and an error: created once more), and where the vendor has a
---list `candidates()` (what is there that this client did not make, and that was not there before
---if that is known) and `adopt(id)` (a job of what is there already).
---@param spec garner.doubt.spec
---@return garner.report[]|nil
---@return garner.Error|nil
---@return number creates
function M.create(spec)
  if spec.policy == "list" then spec.track = true end
  local list, err
  if spec.policy == "list" then
    list, err = one_at_a_time(spec)
  else
    list, err = run(spec)
  end
  for _, each in ipairs(list or {}) do each.creates = spec.creates end
  return list, err, spec.creates or 0
end

return M
