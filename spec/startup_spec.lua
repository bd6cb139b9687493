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
