-- The Google+ communities of the simulated account: ids, parameters and their values for a
-- day. Values come as the documents show them in different places: int64 as text or as a
-- number, parameters without a value, two spellings of the entity. Knows nothing of HTTP.
local clock = require "sim.clock"
local seed = require "sim.seed"
local values = require "sim.google_values"

local M = {}

M.FIRST_ID = 1000

local NAMES = { "My Community", "Café \"Zentral\", Berlin", "登山の会", "Book\tclub",
  "Sales, EMEA", "O'Brien & sons", "Ünïcödé", "R&D <internal>" }

local function count(id, day, salt, most)
  return seed.number(seed.from("community " .. salt), id * 4099 + day) % most
end

local function members(id, day)
  return 5 + count(id, 0, "members", 900) + count(id, day, "growth", 7)
end

-- In the order of an answer. `number` makes a parameter filterable.
local parameters = {
  { name = "gplus:community_name", kind = "stringValue", value = function(id)
    return ("%s %d"):format(NAMES[id % #NAMES + 1], id)
  end },
  { name = "gplus:creation_time_usec", kind = "intValue", number = true, value = function(id)
    return ("%d%06d"):format(1300000000 + (id % 100000) * 7919, id % 1000000)
  end },
  { name = "gplus:num_total_members", kind = "intValue", number = true, value = function(id, day)
    return tostring(members(id, day))
  end },
  { name = "gplus:num_30day_active_members", kind = "intValue", number = true,
    value = function(id, day) return tostring(math.floor(members(id, day) * 0.45)) end },
  { name = "gplus:num_7day_active_members", kind = "intValue", number = true,
    value = function(id, day) return tostring(math.floor(members(id, day) * 0.3)) end },
  { name = "gplus:num_30day_new_members", kind = "intValue", number = true,
    value = function(id, day) return tostring(count(id, day, "new", 40)) end },
  { name = "gplus:num_7day_new_members", kind = "intValue", number = true,
    value = function(id, day) return tostring(count(id, day, "new7", 9)) end },
  { name = "gplus:num_30day_plusones", kind = "intValue", number = true,
    value = function(id, day) return tostring(count(id, day, "plus", 2000)) end },
  -- Beyond what a double holds exactly, as int64 may be.
  { name = "gplus:num_lifetime_impressions", kind = "intValue", number = true, wide = true,
    value = function(id) return ("90071992547%05d"):format(40993 + id % 50000) end },
  { name = "gplus:is_public", kind = "boolValue", value = function(id)
    return id % 3 == 0 and "false" or "true"
  end },
  { name = "gplus:last_activity_time", kind = "datetimeValue", value = function(id, day)
    return clock.format_instant(day * 86400 - id % 86400):gsub("Z$", ".000Z")
  end },
  { name = "gplus:top_topics", kind = "msgValue", value = function(id)
    return ('[{"topic":"t%d","posts":%d},{"topic":"t%d","posts":"%d"}]'):format(id % 11, id % 5,
      id % 13, id % 7)
  end },
  { name = "gplus:moderation_note", kind = "none", value = function() return "" end },
}

local function entity_text(id, customer)
  if id % 2 == 0 then
    return ('{"type":"OBJECT","customerId":"%s","objectType":"GPLUS_COMMUNITY","objectId":"%d"}')
      :format(customer, id)
  end
  return ('{"type":"OBJECT","customerId":"%s","entityId":"%d"}'):format(customer, id)
end

M.apps = { "gplus" }
M.parameters = parameters
M.retention_days = 30

---The ids of a day, as a first one and a count.
function M.range(scope)
  return M.FIRST_ID, scope.settings.entities
end

---The id that a key in the path names, or nil.
function M.find(key, scope)
  local id = key:find("^%d+$") and tonumber(key)
  return id and id >= M.FIRST_ID and id < M.FIRST_ID + scope.settings.entities and id or nil
end

function M.report(id, day, wanted, style, customer)
  return values.report(M, id, day, wanted, style, entity_text(id, customer))
end

return values.index(M)
