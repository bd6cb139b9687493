-- Owns how the rows of adjacent windows become one sequence: what lies
-- outside the asked-for range is dropped, and rows in the instants that two
-- windows share are compared, so that each comes out as often as it
-- happened; and whether two answers have the same rows. It must not fetch
-- anything and must not know any vendor.

local core = require "garner.core"

local M = {}

local function canonical(value)
  if type(value) == "string" then return #value .. ":" .. value end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for name, inner in pairs(value) do
    parts[#parts + 1] = canonical(name) .. "=" .. canonical(inner)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

---Text that is equal for rows that are equal in every field: of the vendor's
---untouched object where the row has it.
---@param row table
---@return string
function M.identity(row)
  return canonical(type(row.raw) == "table" and row.raw or row)
end

---Text that is equal for lists of the same rows, each as often, in any order;
---a short one, as it is kept for each window that is waited for.
---@param list table[]
---@param rules garner.rows.rules
---@return string
function M.fingerprint(list, rules)
  local identity, parts = rules.identity or M.identity, {}
  for index, row in ipairs(list) do
    local text = identity(row)
    local key = rules.key and rules.key(row)
    parts[index] = key and canonical { key, text } or text
  end
  table.sort(parts)
  for index, text in ipairs(parts) do parts[index] = #text .. ":" .. text end
  local text = table.concat(parts)
  return core.sha256(text) or text
end

---@class garner.rows.rules
---@field from? number epoch where the asked-for range begins
---@field to? number epoch where it ends, exclusive
---@field time? fun(row: table): number|nil epoch of a row; without it nothing is compared
---@field key? fun(row: table): string|nil what identifies a row, for APIs that have a key
---@field identity? fun(row: table): string text that is equal for equal rows
---@field on_conflict? fun(older: table, newer: table) two rows of one key with different values
---@field on_outside? fun(row: table) a row that its window did not ask for
local Merger = {}
Merger.__index = Merger

local function as_iterator(source)
  if type(source) == "function" then return source end
  local index = 0
  return function()
    index = index + 1
    return source[index]
  end
end

---@param rules garner.rows.rules
---@return table merger
function M.merger(rules)
  return setmetatable({ rules = rules, held = {}, held_index = 0, held_to = nil }, Merger)
end

-- Is the row part of what the pull was asked for?
local function wanted(self, row, window)
  local rules = self.rules
  local at = rules.time(row)
  if not at then return true end
  if at < window.send_from or at > window.send_to then
    if rules.on_outside then rules.on_outside(row) end
    return false
  end
  if rules.from and at < rules.from then return false end
  if rules.to and at >= rules.to then return false end
  return true
end

-- One row per key: later answers win over earlier ones, in the earlier place.
local function keyed(self, window, source)
  local rules = self.rules
  local out, place = {}, {}
  local function put(row)
    local key = rules.key(row)
    local at = key and place[key]
    if not at then
      out[#out + 1] = row
      if key then place[key] = #out end
      return
    end
    if rules.identity(out[at]) ~= rules.identity(row) and rules.on_conflict then
      rules.on_conflict(out[at], row)
    end
    out[at] = row
  end
  for _, row in ipairs(self.held) do put(row) end
  -- No `for`: the source may wait, which a `for` of PUC 5.1 cannot, and may end in an error.
  local next_row = as_iterator(source)
  local row, err = next_row()
  while row ~= nil do
    if wanted(self, row, window) then put(row) end
    row, err = next_row()
  end
  local give = as_iterator(out)
  return function()
    local one = give()
    if one == nil then return nil, err end
    return one
  end
end

-- Without a key, a row of the shared instant counts as often as the window
-- that has more of it: what was held is given first and paid back.
local function counted(self, window, source)
  local rules = self.rules
  local owed = {}
  for _, row in ipairs(self.held) do
    local identity = rules.identity(row)
    owed[identity] = (owed[identity] or 0) + 1
  end
  local bound = self.held_to
  local held, next_row = as_iterator(self.held), as_iterator(source)
  return function()
    local row = held()
    if row then return row end
    while true do
      local err
      row, err = next_row()
      if not row then return nil, err end
      if wanted(self, row, window) then
        local at = bound and rules.time(row)
        local identity = at and at <= bound and rules.identity(row)
        local debt = identity and owed[identity] or 0
        if debt == 0 then return row end
        owed[identity] = debt - 1
      end
    end
  end
end

---The rows of one window, in order, with what the window before it shares.
---Windows are fed in plan order; one that has no rows to give is
---not fed: `release` gives what was held back for it. Windows of different
---chains share no instant.
---@param window table from the plan: index, chain, send_from, send_to
---@param following? table the next window of the plan
---@param source table[]|fun(): table|nil, garner.Error|nil
---@return fun(): table|nil, garner.Error|nil
function Merger:feed(window, following, source)
  if not self.rules.time then return as_iterator(source) end
  if following and following.chain ~= window.chain then following = nil end
  local adjacent = self.held_index == window.index - 1
  if not adjacent then self.held_to = nil end
  local inner = (self.rules.key and keyed or counted)(self, window, source)
  local hold_from = following and following.send_from <= window.send_to and following.send_from
  local holding = {}
  return function()
    while true do
      local row, err = inner()
      if row == nil then
        self.held, self.held_index, self.held_to = holding, window.index, window.send_to
        return nil, err
      end
      local at = hold_from and self.rules.time(row)
      if at and at >= hold_from then
        holding[#holding + 1] = row
      else
        return row
      end
    end
  end
end

---What is still held back: to be given when the next window gives nothing.
---@return fun(): table|nil
function Merger:release()
  local held = self.held
  self.held, self.held_to = {}, nil
  return as_iterator(held)
end

return M
