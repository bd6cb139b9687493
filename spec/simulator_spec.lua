-- The simulator itself, seen through the curl program: its life, its control and its plain
-- HTTP behaviours. The vendors are simulator_vendors_spec.lua. Uses no part of garner.
local cjson = require "cjson"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

local YESTERDAY = os.date("!%Y-%m-%d", os.time() - 86400)

local function merged(a, b)
  local out = {}
  for key, value in pairs(a) do out[key] = value end
  for key, value in pairs(b or {}) do out[key] = value end
  return out
end

local function decoded(response)
  return cjson.decode(response.body)
end

describe("simulator: start and stop", function()
  local function wait_gone(path)
    for _ = 1, 100 do
      local file = io.open(path)
      if not file then return true end
      file:close()
      os.execute("sleep 0.05")
    end
    return false
  end

  it("stops on a signal and takes its folder along", function()
    local own = simulator.start()
    assert.equal(200, simulator.fetch(own.url .. "/_sim/info").status)
    own:stop()
    assert.equal(7, simulator.fetch(own.url .. "/_sim/info").exit)
    assert.is_nil(io.open(own.ca_file))
  end)

  it("stops when its parent ends", function()
    local pipe = io.popen "sh -c 'spec/simulator/start --parent $$; sleep 0.3'"
    local text = pipe:read "*a"
    pipe:close()
    local url, file = text:match "GARNER_SIM_URL=(%S+)", text:match "CA_FILE='([^']+)'"
    assert.truthy(url)
    assert.is_true(wait_gone(file))
    assert.equal(7, simulator.fetch(url .. "/_sim/info").exit)
  end)

  it("stops at once for a parent that is already gone", function()
    local pipe = io.popen "spec/simulator/start --parent $(sh -c 'echo $$')"
    local text = pipe:read "*a"
    pipe:close()
    assert.is_true(wait_gone(text:match "CA_FILE='([^']+)'"))
  end)

  it("refuses a parent that is no number", function()
    local pipe = io.popen "spec/simulator/start --parent x 2>&1"
    local text = pipe:read "*a"
    pipe:close()
    assert.truthy(text:find("not a process id", 1, true))
  end)

  it("keeps its folder to its user", function()
    local own = simulator.start()
    local pipe = io.popen("ls -ld '" .. own.ca_file:match "^(.*)/" .. "'")
    local line = pipe:read "*a"
    pipe:close()
    own:stop()
    assert.truthy(line:find "^drwx%-%-%-%-%-%-")
  end)

  it("serves TLS that its CA vouches for, with HTTP/2", function()
    local response = simulator.fetch(sim.tls_url .. "/_http/echo", { ca_file = sim.ca_file })
    assert.equal(200, response.status)
    assert.equal("2", response.version)
    local by_address = sim.tls_url:gsub("localhost", "127.0.0.1")
    response = simulator.fetch(by_address .. "/_http/echo", { ca_file = sim.ca_file })
    assert.equal(200, response.status)
    assert.equal(60, simulator.fetch(sim.tls_url .. "/_http/echo").exit)
  end)

  it("runs as an example that says what to set and stops on a signal", function()
    local name = os.tmpname()
    os.execute("out=" .. name .. [[; examples/simulator >$out 2>&1 & pid=$!; n=0
      until grep -q 'Ctrl-C stops it' $out || [ $n -gt 200 ]; do sleep 0.05; n=$((n + 1)); done
      kill $pid; wait $pid]])
    local file = assert(io.open(name))
    local text = file:read "*a"
    file:close()
    os.remove(name)
    assert.truthy(text:find "export GARNER_SIM_URL=http://127.0.0.1:%d+")
    assert.truthy(text:find("export BLENDVISION_TOKEN=sim-token", 1, true))
    assert.truthy(text:find("The simulator has stopped.", 1, true))
    assert.is_true(wait_gone(text:match "CA_FILE='([^']+)'"))
  end)
end)

describe("simulator: control", function()
  local scope, headers

  before_each(function()
    scope = sim:scope()
    headers = { Authorization = "Bearer " .. scope.token }
  end)

  after_each(function() scope:reset() end)

  local function get(path, options)
    return simulator.fetch(sim.url .. path, merged({ headers = headers }, options))
  end

  it("records what was asked, in order, and forgets on reset", function()
    get("/_http/echo?a=%2F&a=2")
    get("/_http/echo", { method = "PUT", body = "line\r\n\"quoted\"\\ \226\130\172" })
    local list = scope:requests()
    assert.equal(2, #list)
    assert.equal("GET", list[1].method)
    assert.equal("/_http/echo", list[1].path)
    assert.equal("a=%2F&a=2", list[1].query)
    assert.equal("Bearer " .. scope.token, list[1].headers.authorization)
    assert.equal("line\r\n\"quoted\"\\ \226\130\172", list[2].body)
    assert.equal(200, list[2].status)
    assert.equal(1, scope:count "%?a=")
    assert.equal(0, #sim:scope():requests())
    scope:reset()
    assert.equal(0, #scope:requests())
  end)

  it("answers with a fault after skip, as often as asked", function()
    scope:fault { path = "^/_http/echo$", method = "GET", skip = 1, times = 2, status = 429,
      headers = { ["Retry-After"] = "7" }, body = { error = "slow down" } }
    local seen = {}
    for i = 1, 4 do
      local response = get "/_http/echo"
      seen[i] = response.status
      if i == 2 then
        assert.equal("7", response.headers["retry-after"])
        assert.equal('{"error":"slow down"}', response.body)
      end
    end
    assert.same({ 200, 429, 429, 200 }, seen)
    assert.equal(200, simulator.fetch(sim.url .. "/_http/echo").status)
  end)

  it("drops a request before, or after, doing what it asks", function()
    local path = "/openapi/2022-01/data/query?beginTime=" .. YESTERDAY .. "T00:00:00&endTime=" ..
      YESTERDAY .. "T01:00:00"
    headers = { ["access-token"] = scope.token }
    scope:fault { path = "/data/query", drop = true }
    scope:fault { path = "/data/query", drop = "after" }
    assert.equal(56, get(path).exit)
    assert.equal('{"count":0}', get("/openapi/2022-01/data/count").body)
    assert.equal(56, get(path).exit)
    assert.equal('{"count":1}', get("/openapi/2022-01/data/count").body)
  end)

  it("delays, cuts and adds headers to real answers", function()
    scope:fault { path = "echo", delay_ms = 300, headers = { ["X-Extra"] = "1" } }
    local response = get "/_http/echo"
    assert.equal("1", response.headers["x-extra"])
    assert.equal("GET", decoded(response).method)
    scope:fault { path = "echo", truncate = 10 }
    response = get "/_http/echo"
    assert.equal(18, response.exit)
    assert.equal(10, #response.body)
  end)

  it("takes any request into a scope by a path prefix", function()
    assert.equal(200, simulator.fetch(scope.url .. "/_http/echo").status)
    assert.equal("/_http/echo", scope:requests()[1].path)
  end)

  it("refuses settings and faults that it does not know", function()
    assert.has_error(function() scope:settings { no_such = 1 } end)
    assert.has_error(function() scope:fault { statsu = 500 } end)
    assert.has_error(function() scope:fault { path = "[" } end)
    assert.equal(400, simulator.fetch(sim.url .. "/_sim/fault", { body = "{" }).status)
    assert.equal(404, simulator.fetch(sim.url .. "/_sim/nothing").status)
  end)

  it("flags every credential that reaches the file host", function()
    local url = sim.files_url .. "/_http/echo?scope=" .. scope.name
    simulator.fetch(url)
    assert.equal(0, #scope:leaks())
    simulator.fetch(url, { headers = { Cookie = "a=b" } })
    simulator.fetch(url, { headers = { ["Access-Token"] = "x", ["X-BV-Org-Id"] = "y" } })
    simulator.fetch(url, { headers = headers })
    local found = {}
    for _, leak in ipairs(scope:leaks()) do found[leak.header] = true end
    assert.same({ cookie = true, ["access-token"] = true, ["x-bv-org-id"] = true,
      authorization = true }, found)
  end)
end)

describe("simulator: HTTP behaviours", function()
  local function get(path, options)
    return simulator.fetch(sim.url .. "/_http/" .. path, options)
  end

  local function get2(path)
    return simulator.fetch(sim.tls_url .. "/_http/" .. path, { ca_file = sim.ca_file })
  end

  it("echoes a request", function()
    local echo = decoded(get("echo?x=%20y&x=&z", { method = "POST", body = "b" }))
    assert.equal("POST", echo.method)
    assert.equal("/_http/echo?x=%20y&x=&z", echo.uri)
    assert.same({ { "x", " y" }, { "x", "" }, { "z", "" } }, echo.args)
    assert.equal("b", echo.body)
    assert.equal("HTTP/1.1", echo.protocol)
  end)

  it("gives any status, with a body or none", function()
    assert.equal(503, get("status/503").status)
    assert.equal("3", get("status/429?retry_after=3").headers["retry-after"])
    assert.equal("", get("status/204").body)
    assert.equal("plain", get("status/400?body=plain").body)
    assert.equal("", get("empty").body)
    assert.truthy(get("html?status=502").body:find "^<!DOCTYPE html>")
  end)

  it("redirects, once or in a row", function()
    local response = get "redirect?status=307&to=%2F_http%2Fecho"
    assert.equal(307, response.status)
    assert.equal("/_http/echo", response.headers.location)
    response = get("redirect?times=3", { args = "-L" })
    assert.equal(200, response.status)
  end)

  it("sends as many bytes as asked", function()
    assert.equal(100000, #get("bytes/100000").body)
    assert.equal(100000, #get("bytes/100000?chunked=1").body)
    assert.equal(0, #get("bytes/0").body)
    local size = 0
    for name, value in pairs(get("headers/5000").headers) do
      if name:find "^x%-fill" then size = size + #name + #value + 4 end
    end
    assert.equal(5000, size)
  end)

  it("packs answers, well and badly", function()
    local args = { args = "--compressed" }
    local response = get("gzip", args)
    assert.equal("gzip", response.headers["content-encoding"])
    assert.is_true(decoded(response).gzip)
    assert.is_true(decoded(get("gzip?stored=1", args)).gzip)
    assert.is_nil(get("gzip").headers["content-encoding"])
    assert.is_true(decoded(get("br", args)).brotli)
    assert.equal(1000000, #get("gzip?size=1000000", args).body)
    assert.equal(61, get("gzip?bad=1", args).exit)
  end)

  it("breaks off in the ways servers do", function()
    assert.equal(18, get("truncated").exit)
    assert.equal(18, get("chunked-cut").exit)
    assert.equal(56, get("reset").exit)
    local response = get "reset?after=10"
    assert.equal(56, response.exit)
    assert.equal("xxxxxxxxxx", response.body)
    assert.equal(52, get("close").exit)
    assert.equal(1, get("junk").exit)
    assert.equal(0, get("until-close?cut=1").exit)
    assert.equal(92, get2("truncated").exit)
    assert.equal(92, get2("reset").exit)
  end)

  it("drips and stalls", function()
    assert.equal("abcd", get("slow?bytes=4&ms=10").body)
    assert.equal(28, get("stall", { timeout = 0.3 }).exit)
  end)

  it("walks pages by token and by link", function()
    local ids, token = {}, nil
    repeat
      local page = decoded(get("pages?n=3&size=2" .. (token and "&pageToken=" .. token or "")))
      for _, thing in ipairs(page.things) do ids[#ids + 1] = thing.id end
      token = page.nextPageToken
    until not token
    assert.same({ 1, 2, 3, 4, 5, 6 }, ids)
    local page = decoded(get "pages?n=2&link=1")
    assert.equal(sim.url .. "/_http/pages?n=2&size=3&link=1&page=2", page.next)
    assert.is_nil(decoded(simulator.fetch(page.next)).next)
    assert.equal("/_http/pages?n=2&size=3&link=relative&page=2",
      decoded(get "pages?n=2&link=relative").next)
    assert.truthy(decoded(get "pages?link=files").next:find(sim.files_url, 1, true))
    assert.equal(500, get("pages?fail_at=1").status)
    assert.equal("page-2", decoded(get "pages?n=3&cycle=1&pageToken=page-3").nextPageToken)
  end)
end)
