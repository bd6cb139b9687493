-- The configuration in the README's section on nginx, run as it stands: only the port, where garner
-- lies, the upstream and the folder of a file are replaced.
local host = require "spec.support.nginx"
local simulator = require "spec.support.simulator"

local function example()
  local file = assert(io.open "README.md")
  local text = file:read "*a"
  file:close()
  return (assert(text:match "\n## nginx and OpenResty\n.-```nginx\n(.-)```\n"))
end

host.describe(describe, pending)("The README's nginx.conf", function()
  local nginx, scope

  setup(function()
    scope = simulator.get():scope()
    local conf = example()
    local function take(pattern, replacement)
      local count
      conf, count = conf:gsub(pattern, replacement)
      assert.equal(1, count, pattern)
    end
    take("127%.0%.0%.1:8080", "127.0.0.1:@PORT@")
    take("blendvision%(%)", ('blendvision { base_url = "%s" }'):format(scope.sim.url))
    take('"/var/lib/app/', '"@DIR@/')
    take("ngx%.timer%.every%(86400, nightly%)", "ngx.timer.at(0, nightly)")
    local main, events, http = conf:match "^(.-)\nevents (%b{})\n\nhttp (%b{})"
    assert(http, conf)
    assert.equal("{}", events)
    nginx = host.start { main = main, http = http:sub(2, -2):gsub("%%", "%%%%"),
      env = ("BLENDVISION_TOKEN='%s' BLENDVISION_ORG_ID=sim-org"):format(scope.token) }
  end)

  teardown(function()
    assert.same({}, nginx:stop "QUIT")
  end)

  it("serves from the API", function()
    local answer = nginx:get "/viewers?live=live-1"
    assert.equal(200, answer.status)
    assert.truthy(answer.body:find "^%d+ points\n$", answer.body)
  end)

  it("says what is wrong", function()
    scope:fault { path = "/metrics$", times = 0, status = 403, body = { code = 7, message = "no" } }
    local answer = nginx:get "/viewers?live=live-1"
    scope:reset()
    assert.equal(502, answer.status)
    assert.truthy(answer.body:find("forbidden", 1, true), answer.body)
  end)

  it("has a timer that saves a file", function()
    assert.truthy(host.wait_for(function()
      return nginx:error_log():find "%[notice%].-viewers.csv: %d+"
    end), nginx:error_log())
    local file = assert(io.open(nginx.dir .. "/viewers.csv"))
    file:close()
    assert.same({}, nginx:problems { "conflicting server name" }) -- the harness has one, too
  end)
end)
