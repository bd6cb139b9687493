-- Every Lua example of the README, run as it stands against the simulator: only base
-- URLs, the values of credentials and the folder that files go to are replaced.

local compat = require "garner.compat"
local garner = require "garner"
local loops = require "spec.support.loops"
local simulator = require "spec.support.simulator"

local VENDORS = { "blendvision", "google_reports", "shoplazza" }

local function examples()
  local list, heading, block = {}, nil, nil
  for line in io.lines "README.md" do
    heading = line:match "^## (.+)$" or heading
    if line == "```lua" then
      block = {}
    elseif line == "```" and block then
      list[#list + 1] = { name = heading .. ", example " .. #list + 1,
        code = table.concat(block, "\n") }
      block = nil
    elseif block then
      block[#block + 1] = line
    end
  end
  return list
end

-- What answers the example of an API that nobody here knows.
local function serve_things(scope)
  scope:fault { path = "^/things/export$", times = 0, status = 200,
    body = { data = { items = { { id = 1 }, { id = 2 } } } } }
  scope:fault { path = "^/things/", times = 0, status = 200, body = { name = "n" } }
  scope:fault { path = "^/things$", query = "pageToken=t2", times = 0, status = 200,
    body = { things = { 3 } } }
  scope:fault { path = "^/things$", times = 0, status = 200,
    body = { things = { 1, 2 }, nextPageToken = "t2" } }
end

-- `require "garner"` as the example sees it.
local function redirected(sim, scope)
  local proxy = setmetatable({}, { __index = garner })
  for _, name in ipairs(VENDORS) do
    proxy[name] = function(opts)
      opts.base_url = sim.url
      if opts.service_account then
        opts.base_url, opts.service_account = scope.url, sim.key_file
        opts.token_url = scope.url .. "/token"
      elseif opts.refresh_token then
        opts.base_url, opts.client_id = scope.url, "sim-client"
        opts.client_secret, opts.refresh_token = "sim-secret", "sim-refresh"
      else
        opts.token = scope.token
      end
      opts.org_id = name == "blendvision" and "sim-org" or nil
      opts.shop = name == "shoplazza" and "sim" or nil
      return garner[name](opts)
    end
  end
  proxy.client = function(opts)
    opts.base_url, opts.auth = scope.url, garner.auth.bearer(scope.token)
    return garner.client(opts)
  end
  proxy.api = function(description)
    local make = garner.api(description)
    return function(opts)
      opts.base_url, opts.token = sim.url, scope.token
      return make(opts)
    end
  end
  proxy.main = function(fn)
    local failure
    garner.main(function()
      local ok, why = compat.guard(fn)
      failure = not ok and (why or "failed") or nil
    end, { exit = function() end })
    if failure then error(failure, 0) end
  end
  return proxy
end

local function in_folder(code, folder)
  for _, verb in ipairs { "download", "save" } do
    code = code:gsub(":" .. verb .. ' "([%w_]+%.csv)"', ":" .. verb .. ' "' .. folder .. '/%1"')
  end
  code = code:gsub("/var/lib/app/", folder .. "/"):gsub("/dev/shm/", folder .. "/")
  return (code:gsub('os%.date "', 'os.date "' .. folder .. "/"))
end

local function compile(code, env)
  local setfenv, loadstring = rawget(_G, "setfenv"), rawget(_G, "loadstring")
  if not setfenv then
    return load(code, "=README.md", "t", env)
  end
  local chunk, why = loadstring(code, "=README.md")
  return chunk and setfenv(chunk, env), why
end

describe("the README", function()
  local sim, folder

  setup(function()
    sim = simulator.get()
    local pipe = assert(io.popen "mktemp -d")
    folder = pipe:read "*l"
    pipe:close()
  end)

  teardown(function()
    os.execute("rm -rf '" .. folder .. "'")
    require("garner").close()
  end)

  local list = examples()

  it("has an example for each vendor, one for any API and one for cron", function()
    local all = ""
    for _, example in ipairs(list) do all = all .. example.code end
    for _, name in ipairs(VENDORS) do
      assert.is_truthy(all:find("garner." .. name, 1, true), name)
    end
    assert.is_truthy(all:find("garner.client", 1, true))
    assert.is_truthy(all:find("garner.main", 1, true))
  end)

  for _, example in ipairs(list) do
    local loop = example.code:match 'garner%.use "(%w+)"'
    local lacks = loop and loops.missing(loop)
    local test = lacks and pending or it
    test("runs: " .. example.name .. (lacks and ": " .. lacks or ""), function()
      local scope = sim:scope()
      serve_things(scope)
      scope:settings { polls_until_ready = 1 }
      local proxy = redirected(sim, scope)
      local printed = 0
      local env = setmetatable({
        require = function(name)
          return name == "garner" and proxy or require(name)
        end,
        os = setmetatable({ getenv = function(name)
          return os.getenv(name) or "value-of-" .. name
        end }, { __index = os }),
        print = function(...)
          for i = 1, select("#", ...) do tostring((select(i, ...))) end
          printed = printed + 1
        end,
      }, { __index = _G })
      local chunk = assert(compile(in_folder(example.code, folder), env))
      if loop then garner.close() end -- it is chosen before the first request
      local ok, why = pcall(chunk)
      if loop then loops.finish(loop) end
      assert(ok, why)
      assert.is_true(scope:count "." > 0 or example.code:find("transport", 1, true) ~= nil)
      assert.is_true(printed > 0 or example.code:find("download", 1, true) ~= nil
        or example.code:find("save", 1, true) ~= nil)
      assert.are.same({}, scope:leaks())
    end)
  end
end)
