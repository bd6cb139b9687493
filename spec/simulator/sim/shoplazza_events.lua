-- The events of the simulated shop, one CSV row each, made from the event's name and the
-- second alone: any windows that cover a second agree on it. Two equal rows in one second
-- happen, as in real logs. Knows nothing of tasks or HTTP.
local clock = require "sim.clock"
local seed = require "sim.seed"

local M = {}

-- One event about every so many seconds.
local every = {
  add_payment_info = 240, add_to_cart = 60, begin_checkout = 150, pageview = 15, place_order = 300,
  product_search = 90, product_view = 25, purchase_product = 320, refund_order = 1800,
  impressions = 3,
}

local ALL = { "add_payment_info", "add_to_cart", "begin_checkout", "pageview", "place_order",
  "product_search", "product_view", "purchase_product", "refund_order" }

local CITIES = {
  { "Shenzhen", "Guangdong", "China" }, { "Zürich", "Zürich", "Switzerland" },
  { "São Paulo", "SP", "Brazil" }, { "Washington, D.C.", "DC", "United States" },
  { "東京", "東京都", "Japan" }, { "Berlin", "Berlin", "Germany" },
}

local TITLES = { "Mug", "Mug, large", 'The "best" mug', "Tasse für zwei", "杯子",
  "Two lines\nof title" }

local SYSTEMS = { "iOS", "Android", "Windows", "Mac OS X" }

M.COLUMNS = { "event", "session_id", "store_id", "_os", "_ip", "city", "province", "country",
  "page_title", "event_time" }

local function quote(value)
  if value:find('[",\r\n]') then return '"' .. value:gsub('"', '""') .. '"' end
  return value
end

local function row(event, second, h)
  local place = CITIES[h % #CITIES + 1]
  return ("%s,%08x,512,%s,203.0.113.%d,%s,%s,%s,%s,%s"):format(event, h, SYSTEMS[h % 4 + 1],
    h % 254 + 1, quote(place[1]), quote(place[2]), place[3], quote(TITLES[h % #TITLES + 1]),
    clock.format_naive(second))
end

---Whether an event type exists.
function M.is_event(name)
  return every[name] ~= nil
end

---The CSV of all events in (begin, finish], oldest second first.
---@param event string|nil nil: all types but impressions
---@param begin number naive time as if UTC
---@param finish number
---@param options table { bom =, newline = }
function M.make(event, begin, finish, options)
  local newline = options.newline or "\n"
  local names = event and { event } or ALL
  local seeds, rates = {}, {}
  for i, name in ipairs(names) do
    seeds[i], rates[i] = seed.from("shop sim " .. name), every[name]
  end
  local out = { (options.bom and "\239\187\191" or "") .. table.concat(M.COLUMNS, ",") }
  for second = begin + 1, math.min(finish, clock.now()) do
    for i = 1, #names do
      local h = seed.number(seeds[i], second)
      if h % rates[i] == 0 then
        local id = math.floor(h / rates[i])
        out[#out + 1] = row(names[i], second, id)
        if id % 10 == 0 then out[#out + 1] = out[#out] end
        if id % 10 == 1 then out[#out + 1] = row(names[i], second, id + 1) end
      end
    end
  end
  out[#out + 1] = ""
  return table.concat(out, newline)
end

return M
