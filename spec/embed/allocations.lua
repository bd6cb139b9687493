-- Owns: the phases that allocations.c runs while memory fails: each gives true or nil and an
-- error, checks all that it got, and can be run again. The first loads garner, the last closes
-- everything and looks whether it is gone. GARNER_SIM_URL is the simulator.

local url = os.getenv "GARNER_SIM_URL"
local threaded = os.getenv "GARNER_ENGINE" == "threaded"
local folder = os.getenv "GARNER_FOLDER" or "/tmp"
local files = 0
local garner, core

-- What 5.1 leaves of a module that could not be loaded keeps it from being loaded again.
local function forget_failures()
  for name, value in pairs(package.loaded) do
    if type(value) == "userdata" or type(value) == "number" then
      package.loaded[name] = nil
    end
  end
end

local function equal(wanted, got, what)
  if wanted ~= got then
    error(("%s: %s expected, got %s"):format(what, tostring(wanted), tostring(got)), 2)
  end
end

local function api(opts)
  opts = opts or {}
  opts.base_url, opts.auth = url, garner.auth.bearer "sim-token"
  opts.log = function() end
  return garner.client(opts)
end

local phases = {}

local function phase(name, fn)
  phases[#phases + 1] = { name, function()
    forget_failures()
    return fn()
  end }
end

phase("load", function()
  preload() -- luacheck: ignore 113
  core = require "garner.core"
  garner = require "garner"
  return garner.versions().garner == core.VERSION
end)

phase("client", function()
  local one = api { headers = { ["X-One"] = "1" } }
  local two = garner.shoplazza { shop = "sim", token = "secret-token", base_url = url }
  equal(nil, tostring(two):find("secret", 1, true), "a token in its text")
  one:close()
  two:close()
  return true
end)

phase("json", function()
  local text = '{"a":[],"b":[1,2.5,"x\\u00e9\\n",null,true],"c":{"d":{"e":[[[{}]]]}},"f":"'
    .. ("y"):rep(300) .. '"}'
  local value, why = garner.json.decode(text)
  if not value then return nil, why end
  equal("x\195\169\n", value.b[3], "a string")
  local again
  again, why = garner.json.encode(value)
  if not again then return nil, why end
  equal('{"a":[],"b":[1,2.5,"x\195\169\\n",null,true],"c":{"d":{"e":[[[{}]]]}},"f":"'
    .. ("y"):rep(300) .. '"}', again, "encoded")
  local list = {}
  for i = 1, 300 do list[i] = i end
  text, why = garner.json.encode(list)
  if not text then return nil, why end
  value, why = garner.json.decode(text)
  if not value then return nil, why end
  equal(300, #value, "elements")
  return true
end)

phase("large json", function()
  -- Long enough for the collector to wait meanwhile: it must run again whatever fails.
  local row = '{"name":"n","value":"v\\n","list":[1,2.5,[]],"name":"twice"}'
  local text = "[" .. (row .. ","):rep(120) .. row .. "]"
  local ok, value, why = pcall(garner.json.decode, text)
  local known, running = pcall(collectgarbage, "isrunning")
  equal(true, not known or running, "the collector is running")
  if not ok then error(value, 0) end
  if not value then return nil, why end
  equal("twice", value[121].name, "the last of equal keys")
  equal(2.5, value[1].list[2], "a number")
  return true
end)

phase("request", function()
  local client = api()
  local res, err = client:post("/_http/echo", { json = { name = "n" }, query = { a = { 1, 2 } },
    headers = { ["X-Two"] = "2" }, safe = true })
  if not res then return nil, err end
  local body
  body, err = res:json()
  if not body then return nil, err end
  equal('{"name":"n"}', body.body, "the body that was sent")
  equal("2", body.headers["x-two"], "the header that was sent")
  equal("application/json", res.headers["content-type"]:match "^[^;]*", "a header")
  local none
  none, err = client:get "/_http/status/404"
  if none or err.kind ~= "not_found" then
    return nil, err
  end
  client:close()
  return true
end)

phase("pages", function()
  local seen = 0
  for page in api():pages("/_http/pages", { query = { n = 3, size = 4 }, items = "things",
    next = { from = "nextPageToken", query = "pageToken" } }) do
    seen = seen + #page.items
  end
  equal(12, seen, "things")
  return true
end)

phase("rows", function()
  local client, n = api(), 0
  local stream = client:rows("/_http/pages", { query = { n = 1, size = 1500 }, items = "things" })
  local row, err = stream:next()
  while row ~= nil do
    n = n + 1
    row, err = stream:next()
  end
  if err then
    equal(err, select(2, stream:next()), "the error again")
    stream:close()
    return nil, err
  end
  equal(1500, n, "rows")
  client:close()
  return true
end)

phase("the same path again", function()
  local client = api()
  for i = 1, 4 do
    local res, err = client:get "/_http/status/200"
    if not res then return nil, err end
    equal(200, res.status, "status")
    equal("string", type(res.headers["content-type"]), "a header")
    equal(i == 4, i == 4 and client:close() == nil, "closed")
  end
  return true
end)

phase("all", function()
  local client = api()
  local function get(n)
    return function()
      local res, err = client:get("/_http/status/" .. n)
      return res and res.status, err
    end
  end
  local results = garner.all { get(200), get(201), get(404), function()
    return garner.wait(function() return 7 end)
  end }
  for i, wanted in ipairs { 200, 201, false, 7 } do
    local result = results[i]
    if wanted then
      if result.err then return nil, result.err end
      equal(wanted, result[1], "result " .. i)
    elseif result.err.kind ~= "not_found" then
      return nil, result.err
    end
  end
  client:close()
  return true
end)

phase("pull", function()
  local make = garner.api { name = "weather", base_url = url, auth = function(key)
    return garner.auth.header("x-api-key", key)
  end, verbs = { readings = { get = "/weather/v1/stations/{station}/readings",
    arguments = { station = "id" }, window = { from = "start", to = "end", max = "2h",
    edges = "[)" }, items = "data.readings", pages = { next = { from = "cursor",
    query = "cursor" } }, rows = { time = "at", key = { "at", "metric" } } } } }
  local client = make { token = "sim-token", log = function() end }
  local pull = client:readings { station = "kew", from = "2026-11-01T00:00:00Z",
    to = "2026-11-01T06:00:00Z" }
  local rows, err = pull:collect()
  if not rows then return nil, err end
  phases.rows = phases.rows or #rows
  equal(phases.rows, #rows, "rows")
  equal(true, #rows >= 12, "some rows")
  equal(3, #pull:coverage(), "windows")
  client:close()
  return true
end)

phase("job", function()
  local bv = garner.blendvision { base_url = url, token = "sim-token", org_id = "sim-org",
    log = function() end }
  local job, err = bv:create_report { event_id = "event-1", type = "live",
    dimensions = { "watch_time" } }
  if not job then return nil, err end
  local reports
  reports, err = job:wait { timeout = 20, first = 0.001, factor = 1, cap = 0.001 }
  if not reports then return nil, err end
  local n = 0
  local rows
  rows, err = reports[1]:rows()
  if not rows then return nil, err end
  for _ in rows do n = n + 1 end
  equal(true, n > 0, "rows of the report")
  bv:close()
  return true
end)

phase("file", function()
  -- What was cancelled may hold its name's lock until it is collected.
  files = files + 1
  local path = ("%s/%d"):format(folder, files)
  local client = api()
  local got, err = client:download(url .. "/_http/bytes/70000", path, { sha256 = true })
  if not got then return nil, err end
  equal(70000, got.size, "size")
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  local sum
  sum, err = core.sha256(text)
  if not sum then return nil, err end
  equal(got.sha256, sum, "sha256")
  client:close()
  return true
end)

phase("close", function()
  -- Those whose phase failed are garbage; with the last client the engine ends.
  for _ = 1, 10 do collectgarbage() end
  api():close()
  equal(0, core.running(), "engines without a client")
  local client = api()
  local res, err = client:get "/_http/status/200"
  if not res then return nil, err end
  client:close()
  garner.close()
  collectgarbage()
  collectgarbage()
  equal(0, core.running(), "running engines")
  return true
end)

if threaded then
  phases[1][2] = (function(load)
    return function()
      local ok, why = load()
      garner.engine { thread = true }
      return ok, why
    end
  end)(phases[1][2])
end

return phases
