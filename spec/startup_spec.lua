-- What a script pays before its first request: parts that it may never need are not loaded.
local clients = require "spec.support.clients"

-- The modules of garner that a script has loaded, " name name ".
local function loaded(script)
  local code, output = clients.run(script .. [[
    local names = {}
    for name in pairs(package.loaded) do
      if name:find "^garner%." then names[#names + 1] = name:sub(8) end
    end
    table.sort(names)
    print(" " .. table.concat(names, " ") .. " ")]])
  assert.equal(0, code, output)
  return output
end

describe("start-up", function()
  it("of a client loads no vendor, driver, codec or recording, and nothing that sends", function()
    local names = loaded [[
      local api = require("garner").client { base_url = "https://api.example.com", token = "t" }]]
    assert.truthy(names:find(" client ", 1, true))
    for name in ("blendvision google_reports shoplazza json csv zone time pull cache recording "
      .. "replay redact curl_command failure base64 pages poll download job driver engine "
      .. "error_object headers limiter request response send stats task_call "
      .. "traffic"):gmatch "%S+" do
      assert.falsy(names:find(" " .. name .. " ", 1, true), name)
    end
    assert.falsy(names:find(" driver%."))
  end)

  it("of the engine loads what tells why requests fail: it may be for want of files", function()
    local code, output = clients.run [[
      local garner = require "garner"
      local api = garner.client { base_url = "http://127.0.0.1:1", attempts = 1, log = "error" }
      local n = 0
      garner.wait(function() n = n + 1 return n > 1 or nil end, { first = 0.001 })
      package.path, package.cpath = "", ""
      local res, err = api:get "/"
      assert(not res and err.kind == "transport" and err.code == "connect", tostring(err))]]
    assert.equal(0, code, output)
  end)

  local HOLD_ALL = [[

    local held = {}
    for i = 1, 100 do held[i] = io.open "/dev/null" end
    local function let_go()
      for _, file in ipairs(held) do file:close() end
    end
    ]]

  it("of the first request, with no descriptor left, says so, and is done the next time", function()
    local code, output = clients.run([[
      local garner = require "garner"
      local api = garner.client { base_url = "http://127.0.0.1:1", attempts = 1 }
      ]] .. HOLD_ALL .. [[
      local names = {}
      for _, fn in ipairs {
        function() api:get "/" end, function() api:post("/", { json = {} }) end,
        function() api:pages("/", { items = "a", next = { link = "b" } }) end,
        function() return garner.all end, function() garner.use "luv" end } do
        local ok, why = pcall(fn)
        assert(not ok)
        local name = why:match "^garner: garner%.(%S+) cannot be loaded: no descriptor left$"
        names[#names + 1] = name or why
      end
      let_go()
      local res, err = api:get "/"
      assert(not res and err.code == "connect", tostring(err))
      print(table.concat(names, " "))]], "ulimit -n 40;")
    assert.equal(0, code, output)
    assert.equal("response request pages tasks driver\n", output)
  end)

  it("of an engine that cannot be started is an error that is returned, in a task too", function()
    local code, output = clients.run([[
      local garner = require "garner"
      local api = garner.client { base_url = "http://127.0.0.1:1", attempts = 1, log = false }
      local fns = { function() return api:get "/" end }
      garner.all(fns)
      garner.close()]] .. HOLD_ALL .. [[
      local _, err = api:get "/"
      local entry = garner.all(fns)[1]
      let_go()
      print(err.code, entry.raised, entry.err.code, garner.all(fns)[1].err.code)]],
      "ulimit -n 40; GARNER_ENGINE=threaded")
    assert.equal(0, code, output)
    assert.equal("thread\tnil\tthread\tconnect\n", output)
  end)

  it("of a module that broke is tried again the next time", function()
    local code, output = clients.run [[
      local api = require("garner").client { base_url = "http://127.0.0.1:1", attempts = 1 }
      package.preload["garner.traffic"] = function()
        package.preload["garner.traffic"] = nil
        error("not enough memory", 0)
      end
      local ok, why = pcall(api.get, api, "/")
      assert(not ok and why:find "not enough memory", why)
      local res, err = api:get "/"
      assert(not res and err.code == "connect", tostring(err))]]
    assert.equal(0, code, output)
  end)

  it("of the module loads nothing but the core", function()
    assert.equal(" core \n", loaded [[require "garner"]])
  end)

  it("leaves parts that load when they are asked for", function()
    assert.equal(0, (clients.run [[
      local compat = require "garner.compat"
      local decimal = compat.lazy "garner.decimal"
      assert(not package.loaded["garner.decimal"] and next(decimal) == nil)
      local compare = decimal.compare
      assert(package.loaded["garner.decimal"])
      assert(compare == require("garner.decimal").compare)
      assert(next(decimal) and decimal.no_such_thing == nil)]]))
  end)
end)
