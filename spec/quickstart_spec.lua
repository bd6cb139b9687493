-- examples/quickstart.lua as a newcomer sees it: all five calls from the
-- simulator, and never the simulator once a real token is set.

local simulator = require "spec.support.simulator"

local LUA = os.getenv "GARNER_LUA" or "lua5.4"

-- Starts the script with these variables and no others of the vendors'. Gives
-- a function that waits for all it printed, with its exit status at the end.
local function start(variables, folder)
  local names = { "BLENDVISION_TOKEN", "BLENDVISION_ORG_ID", "BLENDVISION_LIVE_ID",
    "BLENDVISION_EVENT_ID", "GOOGLE_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS",
    "SHOPLAZZA_TOKEN", "SHOPLAZZA_SHOP", "GARNER_SIM_URL", "LC_ALL" }
  local command = { "env" }
  for _, name in ipairs(names) do
    command[#command + 1] = "-u " .. name
  end
  for name, value in pairs(variables) do
    command[#command + 1] = ("%s='%s'"):format(name, value)
  end
  command[#command + 1] = ("%s examples/quickstart.lua '%s' 2>&1; echo status $?"):format(LUA,
    folder)
  local pipe, text = assert(io.popen(table.concat(command, " "))), nil
  return function()
    if not text then
      text = pipe:read "*a"
      pipe:close()
    end
    return text
  end
end

local function temporary_folder()
  local pipe = assert(io.popen "mktemp -d")
  local folder = pipe:read "*l"
  pipe:close()
  return folder
end

describe("the quick start", function()
  local sim, folder, other_folder, wide, plain

  setup(function()
    sim = simulator.get()
    folder, other_folder = temporary_folder(), temporary_folder()
    -- Side by side, since most of what they do is wait for reports.
    wide = start({ GARNER_SIM_URL = sim.url, LC_ALL = "C.UTF-8" }, folder)
    plain = start({ GARNER_SIM_URL = sim.url, LC_ALL = "C" }, other_folder)
  end)

  teardown(function()
    wide() -- not read yet where a filter took only some of the tests
    plain()
    os.execute("rm -rf '" .. folder .. "' '" .. other_folder .. "'")
  end)

  it("pulls all five calls from the simulator and says what it took", function()
    local text = wide()
    assert.truthy(text:find "status 0\n$", text)
    for _, name in ipairs { "Get Live Metrics", "Create Event Report",
      "Batch Get Event Reports", "Entity Usage Report", "Create Data Query Task" } do
      assert.truthy(text:find(name, 1, true), name)
    end
    assert.truthy(text:find("█", 1, true), "no chart")
    local requests, rows, bytes = text:match "(%d+) requests, %d+ retries, (%d+) rows, (%d+) bytes"
    assert.truthy(requests, text)
    assert.truthy(tonumber(requests) >= 8 and tonumber(rows) > 100 and tonumber(bytes) > 1000, text)
    assert.truthy(text:find("BLENDVISION_TOKEN", 1, true))

    local files = 0
    for path, size in text:gmatch "written: (%S+) %((%d+) bytes%)" do
      local file = assert(io.open(path, "rb"))
      assert.equal(tonumber(size), #file:read "*a")
      file:close()
      files = files + 1
    end
    assert.equal(3, files)
  end)

  it("draws its chart in plain characters where the terminal may not know others", function()
    local text = plain()
    assert.truthy(text:find "status 0\n$", text)
    assert.truthy(text:find("concurrent users", 1, true))
    assert.falsy(text:find "[\128-\255]")
  end)

  it("with a real token asks the real service alone", function()
    -- No real service is asked from here: the way out is a proxy that is not there.
    local text = start({ GARNER_SIM_URL = sim.url, SHOPLAZZA_TOKEN = "secret-of-a-shop",
      SHOPLAZZA_SHOP = "demo", https_proxy = "http://127.0.0.1:9", LC_ALL = "C" }, folder)()
    assert.truthy(text:find("real services", 1, true), text)
    assert.truthy(text:find("Shoplazza: Create Data Query Task", 1, true), text)
    assert.falsy(text:find(sim.url, 1, true))
    assert.falsy(text:find("BlendVision: ", 1, true))
    assert.falsy(text:find("secret-of-a-shop", 1, true))
    assert.truthy(text:find "status [1-9]%d*\n$", text)
  end)

  it("without the simulator and without a token says how to start it", function()
    local text = start({}, folder)()
    assert.truthy(text:find("examples/quickstart", 1, true))
    assert.truthy(text:find "status 2\n$", text)
  end)
end)
