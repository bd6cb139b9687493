-- Ctrl-C: every kind of wait of a plain script ends at once, in both engines and in
-- whichever coroutine it is. All scripts run side by side, each in a process of its own.

local clients = require "spec.support.clients"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

local PATIENCE = 3 -- seconds; 0.1 by construction, but the machine may be busy

-- What is waited for; api is a client, slow a path that takes 20 s.
local WAITS = {
  { "a request", "api:get(slow)" },
  { "a request with retries", 'api:get("/_http/status/503", { timeout = 30 })' },
  { "a download", 'api:download(base .. slow, arg[0] .. ".file")' },
  { "a walk", 'for page in api:pages(slow, { items = "x", next = { link = "n" } }) do end' },
  { "a poll", [[api:poll({ path = "/_http/echo", ids = { "a" }, query_key = "id", id = "method",
      status = "path", states = { never = "done" }, first = 5, timeout = 60 }, function() end)]] },
  { "garner.wait", "garner.wait(function() end)" },
  { "garner.all", "garner.all { function() return api:get(slow) end, "
    .. "function() return api:get(slow) end }" },
  { "a wait in garner.all", "garner.all { function() return garner.wait(function() end) end }" },
  { "a coroutine of the script's own", "coroutine.wrap(function() return api:get(slow) end)()" },
  { "a coroutine inside of one", "coroutine.wrap(function() coroutine.wrap(function() "
    .. "return garner.wait(function() end) end)() end)()" },
  { "a token function", [[garner.client { base_url = base, token = function()
      return garner.wait(function() end) end }:get "/"]] },
  { "a transport function", [[garner.client { base_url = base, transport = function()
      return garner.wait(function() end) end }:get "/"]] },
  { "a rate limit", [[local slow = garner.client { base_url = base, rate = 0.01 }
      slow:get "/_http/echo"
      slow:get "/_http/echo"]] },
  { "a pull's jobs", [[garner.shoplazza { shop = "sim", token = "sim-token", base_url = base }
      :events { event = "add_to_cart", from = "-3d", to = "yesterday",
        wait = { first = 30, cap = 30 } }:collect()]] },
  { "a pull that waits for what is not ready", [[garner.google_reports { token = "sim-token",
      base_url = base }:entity_usage { date = "today", on_not_ready = "wait" }:collect()]] },
}

local SCRIPT = [[
  local core = require "garner.core"
  local garner = require "garner"
  garner.engine { thread = %s }
  garner.main(function()
    local base, slow = %q, "/_http/delay/20000"
    local api = garner.client { base_url = base, retry = { backoff = 20 } }
    os.execute("(sleep 0.3; kill -INT " .. core.pid() .. ") >/dev/null 2>&1 &")
    io.write("at ", core.time(), "\n")
    io.stdout:flush()
    %s
  end)
]]

local function write(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

describe("Ctrl-C", function()
  local results = {}

  setup(function()
    local command, scripts = {}, {}
    for _, threaded in ipairs { "false", "true" } do
      for _, wait in ipairs(WAITS) do
        local name = wait[1] .. (threaded == "true" and ", threaded" or ", inline")
        local path = write(SCRIPT:format(threaded, sim.url, wait[2]))
        scripts[name] = path
        command[#command + 1] = ("(timeout 60 %s %s >%s.out 2>&1; "
          .. "echo \"code $? end $(date +%%s.%%N)\" >>%s.out) &")
          :format(clients.interpreter(), path, path, path)
      end
    end
    os.execute(table.concat(command, "\n") .. "\nwait")
    for name, path in pairs(scripts) do
      local file = assert(io.open(path .. ".out"))
      results[name] = file:read "*a"
      file:close()
      os.remove(path)
      for _, more in ipairs { ".out", ".file", ".file.part" } do
        os.remove(path .. more)
      end
    end
  end)

  for _, kind in ipairs { "inline", "threaded" } do
    for _, wait in ipairs(WAITS) do
      local name = wait[1] .. ", " .. kind
      it("ends " .. name, function()
        local text = results[name]
        local code, ended = text:match "code (%d+) end ([%d.]+)"
        local started = text:match "at ([%d.]+)"
        assert.equal("130", code, text)
        assert.truthy(text:find("interrupted", 1, true), text)
        assert.is_true(tonumber(ended) - tonumber(started) - 0.3 < PATIENCE, text)
      end)
    end
  end
end)
