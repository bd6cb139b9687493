-- Owns: the checks of garner inside a C program: the example, with its loop, and a program
-- whose allocator fails. Must not: leave a program behind.

local embed = require "spec.support.embed"
local simulator = require "spec.support.simulator"

local sim = simulator.get()
local timeout = "timeout 60 "

local function script(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- Runs scripts, given as text, in one program; `before` and `options` are the shell's.
local function host(target, options, ...)
  local program, why = embed.program(target)
  if not program then
    pending(why)
  end
  local paths = {}
  for i, text in ipairs { ... } do
    paths[i] = script(text)
  end
  local status, out, err = embed.run(timeout .. program .. " " .. options .. " "
    .. table.concat(paths, " "))
  for _, path in ipairs(paths) do
    os.remove(path)
  end
  return status, out, err
end

local HEAD = ('local garner = require "garner"\nlocal url = %q\n'):format(sim.url)

-- The same in any host: what waits in it, waits side by side.
local SCRIPT = HEAD .. [[
local bv = garner.blendvision { base_url = url, token = "sim-token", org_id = "sim-org" }
local google = garner.google_reports { base_url = url, token = "sim-token" }
local results = garner.all {
  function()
    return bv:live_metrics { live_id = "live-1", from = "-10h", to = "now" }:collect()
  end,
  function()
    local n = 0
    garner.check(google:entity_usage { date = "-3d" }:each(function()
      n = n + 1
    end))
    return n
  end,
  function()
    return garner.wait(function() return nil, "final" end)
  end,
}
print(#garner.check(results[1][1], results[1].err) > 100, results[2][1], results[3].err)
local api = garner.client { base_url = url, auth = garner.auth.bearer "sim-token" }
print(garner.check(api:get "/_http/status/200").status, select(2, api:get "/nowhere").kind)
]]

-- How many allocations of each phase fail, in each way; 0: all of them, for hours.
local points = os.getenv "GARNER_ALLOCATIONS" or "2"

describe("an allocator that fails", function()
  for _, engine in ipairs { "inline", "threaded" } do
    it("gives an error of memory and a state that goes on or closes, " .. engine, function()
      local program, why = embed.program "allocations"
      if not program then
        pending(why)
      end
      local folder = os.tmpname()
      os.remove(folder)
      local line = "mkdir %s && GARNER_FOLDER=%s GARNER_ENGINE=%s GARNER_SIM_URL=%s %s %s %s 2>&1"
      local status, out = embed.run(line:format(folder, folder, engine, sim.url, program,
        "spec/embed/allocations.lua", points))
      os.execute("rm -rf " .. folder)
      local tries, ended, bad = out:match "(%d+) tries, (%d+) ended with an error, (%d+) not ok\n$"
      assert.same({ 0, "0" }, { status, bad }, out)
      assert.is_true(tonumber(tries) > 40 and tonumber(ended) > 40, out)
    end)
  end
end)

describe("the C host", function()
  for _, target in ipairs { "embed-host", "embed-host-module" } do
    it(target .. " runs a script as a plain Lua does", function()
      local status, out, err = host(target, "", SCRIPT)
      assert.same({ 0, "true\t2600\tfinal\n200\tnot_found\n", "" }, { status, out, err })
    end)
  end

  it("goes on with its own work while several scripts wait", function()
    local slow = HEAD .. [[
local api = garner.client { base_url = url }
print(garner.check(api:get "/_http/delay/400").status)
]]
    local status, out, err = host("embed-host", "--verbose", slow, slow, slow)
    assert.same({ 0, "200\n200\n200\n" }, { status, out })
    local beats, left = err:match "^embed%-host: (%d+) beats, .* has (%d+) bytes now\n$"
    assert.is_true(tonumber(beats) >= 8, err)
    assert.equal("0", left)
  end)

  it("tells the error of a script and ends with 1", function()
    local status, out, err = host("embed-host", "", HEAD .. [[
local api = garner.client { base_url = url }
garner.check(api:get "/nowhere")
]], "coroutine.yield() error 'on purpose'")
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find "on purpose" or err:find "not_found")
  end)

  for _, way in ipairs { "garner.main(function() return 3 end)", "os.exit(3)",
    "os.exit(3, true)" } do
    it("ends by " .. way .. " while another script waits", function()
      local status, _, err = host("embed-host", "", HEAD .. [[
garner.client { base_url = url }:get "/_http/delay/3000"
]], HEAD .. way)
      assert.same({ 3, "" }, { status, err })
    end)
  end

  it("ends on a signal with transfers in flight, and gives all memory back", function()
    local status, _, err = host("embed-host", "--verbose", HEAD .. [[
local api = garner.client { base_url = url }
garner.all {
  function() return api:get "/_http/delay/20000" end,
  function() return api:download(url .. "/_http/delay/20000", os.tmpname()) end,
  function()
    garner.wait(function() return true end)
    os.execute "kill -TERM $PPID"
    return api:get "/_http/delay/20000"
  end,
}]])
    assert.equal(143, status)
    assert.truthy(err:find "has 0 bytes now\n$", err)
  end)

  it("keeps to a memory limit: an error, and nothing lost of it", function()
    local seen = {}
    for _, limit in ipairs { "30K", "150K", "400K", "700K", "1000K", "1500K", "64M" } do
      local status, out, err = host("embed-host", "--verbose --memory-limit " .. limit, SCRIPT)
      seen[status] = true
      if status == 0 then
        assert.equal("true\t2600\tfinal\n200\tnot_found\n", out)
      else
        assert.equal(1, status, limit .. ": " .. err)
        assert.truthy(err:find "memory", err)
      end
      assert.truthy(err:find "has 0 bytes now\n$" or err:find "no memory for a Lua state", err)
    end
    assert.same({ [0] = true, [1] = true }, seen)
  end)
end)
