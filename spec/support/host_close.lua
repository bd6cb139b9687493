-- What a Lua state holds when it is closed (spec/support/host.c): engines, mailboxes, clients,
-- results and coroutines with everything on its way, some of it closed or collected before, in
-- an order that the round decides.
local round, _, url, folder = ...
local core = require "garner.core"
local garner = require "garner"
local loops = require "spec.support.loop"

math.randomseed(round)
garner.engine { thread = round % 2 == 0 }
local loop = loops.new()
garner.use(loop.driver)

local things = { garner.client { base_url = url }, loop }
local function put(thing)
  things[#things + 1] = thing
  return thing
end

for nth = 1, 2 do
  local engine = put(assert(core.engine_new { thread = nth == 1 }))
  for _ = 1, 2 do
    local mailbox = put(engine:mailbox_new())
    local client = put(core.client_new { base_url = url, proxy = false })
    for _, path in ipairs { "delay/5000", "echo", "pages?n=3", "delay/3" } do
      assert(engine:submit(mailbox, client, { url = url .. "/_http/" .. path }))
    end
    if nth == 1 then
      assert(mailbox:descriptor())
      assert(mailbox:doorbell())
    end
    engine:wait(engine:sequence(), math.random() * 0.02)
    local _, _, result = mailbox:take()
    if result then put(result) end
  end
end

local api = things[1]
local bv = put(garner.blendvision { base_url = url, token = "sim-token", org_id = "sim-org" })
local path = folder .. "/close-" .. round
for _, what in ipairs {
  function() return api:get "/_http/delay/5000" end,
  function() return api:download(url .. "/_http/slow?bytes=50&ms=100", path) end,
  function()
    return put(api:pages("/_http/delay/5000", { next = { link = "next" } })):each(function() end)
  end,
  function()
    return put(bv:live_metrics { live_id = "live-1", from = "-20h", to = "-1h" }):collect()
  end,
  function()
    return put(assert(bv:create_report { event_id = "event-1", type = "vod",
      dimensions = { "watch_time" } })):wait()
  end,
  function() return garner.wait(function() end) end,
  function() return garner.all { function() return api:get "/_http/delay/5000" end } end,
} do
  put(loop.spawn(what))
end
for _ = 1, math.random(0, 6) do loop.step(0.005) end

_G.kept = {}
while #things > 0 do
  local thing = table.remove(things, math.random(#things))
  local action = math.random(4)
  if action == 1 and type(thing) ~= "table" or type(thing) == "table" and thing.close then
    pcall(thing.close, thing)
  elseif action == 2 then
    thing = nil -- luacheck: ignore 311
    collectgarbage()
  elseif action == 3 then
    _G.kept[#_G.kept + 1] = thing
  end
end
loop, api, bv = nil, nil, nil -- luacheck: ignore 311
