-- Long runs of nginx with garner, with figures: reloads under load, many requests, a new Lua for
-- every request. Ends with an error where a request was lost or something grew.
--
--   cmake -S . -B build/luajit -DGARNER_LUA=jit && cmake --build build/luajit
--   lua5.4 spec/bench/nginx_soak.lua [reloads=50] [requests=50000] [uncached=1000]
package.path = "./?.lua;" .. package.path

local faults = require "spec.support.faults"
local host = require "spec.support.nginx"
local socket = require "socket"

local counts = { reloads = 50, requests = 50000, uncached = 1000 }
for _, word in ipairs(arg) do
  local name, value = word:match "^(%l+)=(%d+)$"
  assert(counts[name], "unknown argument " .. word)
  counts[name] = tonumber(value)
end

local reason = host.missing()
if reason then error(reason, 0) end

local failed = 0

local function expect(ok, text)
  print(("  %s %s"):format(ok and "ok  " or "FAIL", text))
  if not ok then failed = failed + 1 end
end

local upstream = faults.start()
upstream:script("/slow", { delay = 0.02, body = "{}" })

local function start(options)
  options.workers = options.workers or 1
  options.http = ([[
    lua_socket_log_errors on;
    init_by_lua_block {
      package.preload.api = function()
        return require("garner").client { base_url = "%s", retry = false }
      end
    }
  ]]):format(upstream.url) .. (options.http or "")
  options.server = [[
    location /up { return 200 "{}"; }
    location /get {
      content_by_lua_block {
        local res, err = require("api"):get "/slow"
        ngx.print(res and res.status or tostring(err))
      }
    }
    location /quick {
      content_by_lua_block {
        local quick = package.loaded.quick
        if not quick then
          quick = require("garner").client { base_url = "http://127.0.0.1:@PORT@" }
          package.loaded.quick = quick
        end
        local res, err = quick:get "/up"
        ngx.print(res and res.status or tostring(err))
      }
    }
  ]]
  return host.start(options)
end

-- `count` requests, `width` at a time; `each(i)` is called before the i-th.
local function load_of(nginx, path, count, width, each)
  local held, outcomes = {}, {}
  for i = 1, count + width do
    if i > width then
      local answer = held[i % width]:finish()
      local outcome = answer.status == 200 and answer.body or tostring(answer.status or answer.why)
      outcomes[outcome] = (outcomes[outcome] or 0) + 1
    end
    if each and i <= count then each(i) end
    if i <= count then held[i % width] = nginx:send(path) end
  end
  return outcomes
end

local function show(outcomes)
  local list = {}
  for outcome, count in pairs(outcomes) do list[#list + 1] = count .. " x " .. outcome end
  table.sort(list)
  return table.concat(list, ", ")
end

local function usage_text(usage)
  return ("%d threads, %d descriptors, %d KiB"):format(usage.threads, usage.descriptors, usage.rss)
end

local function reloads()
  local every, width = 40, 16
  print(("%d reloads of 2 workers, %d requests in flight to a 20 ms upstream"):format(
    counts.reloads, width))
  local nginx = start { workers = 2 }
  local old, seen, started = {}, {}, socket.gettime()
  local total = (counts.reloads + 1) * every
  local outcomes = load_of(nginx, "/get", total, width, function(i)
    if i % every == 0 and i // every <= counts.reloads then
      for _, pid in ipairs(nginx:reload()) do
        if not seen[pid] then old[#old + 1] = pid end
        seen[pid] = true
      end
    end
  end)
  print(("  %.1f s: %s"):format(socket.gettime() - started, show(outcomes)))
  expect(outcomes["200"] == total, "every request was answered")
  expect(host.gone(old), #old .. " old workers have ended")
  for _, pid in ipairs(nginx:workers()) do
    local usage = host.usage(pid)
    expect(usage.threads <= 3, "worker: " .. usage_text(usage))
  end
  print("  master: " .. usage_text(host.usage(nginx.pid)))
  expect(#nginx:leftovers() <= 2 * #nginx:workers(), #nginx:leftovers() .. " files of engines")
  local problems = nginx:problems()
  expect(#problems == 0, #problems .. " problems in the error log " .. (problems[1] or ""))
  expect(#nginx:stop "QUIT" == 0, "no file stays behind")
end

local function many()
  print(("%d requests, 32 in flight"):format(counts.requests))
  local nginx = start {}
  load_of(nginx, "/quick", 3000, 32)
  local pid, samples, outcomes = nginx:workers()[1], { host.usage(nginx:workers()[1]) }, {}
  local started = socket.gettime()
  for i = 1, 10 do
    for outcome, count in pairs(load_of(nginx, "/quick", counts.requests // 10, 32)) do
      outcomes[outcome] = (outcomes[outcome] or 0) + count
    end
    samples[i + 1] = host.usage(pid)
  end
  local seconds = socket.gettime() - started
  print(("  %.1f s, %.0f a second: %s"):format(seconds, counts.requests / seconds, show(outcomes)))
  for i, usage in ipairs(samples) do
    print(("  after %6d: %s"):format((i - 1) * counts.requests // 10, usage_text(usage)))
  end
  local first, last = samples[2], samples[#samples]
  expect(outcomes["200"] == counts.requests, "every request was answered")
  expect(last.descriptors <= first.descriptors + 4, "descriptors are flat")
  expect(last.threads == first.threads, "threads are flat")
  expect(last.rss <= first.rss + 1024, "memory is flat")
  expect(#nginx:stop "QUIT" == 0, "no file stays behind")
end

local function uncached()
  print(("%d requests with the code cache off, 4 in flight"):format(counts.uncached))
  local nginx = start { http = "lua_code_cache off;" }
  load_of(nginx, "/get", 100, 4)
  local pid = nginx:workers()[1]
  local before, started = host.usage(pid), socket.gettime()
  local outcomes = load_of(nginx, "/get", counts.uncached, 4)
  local seconds = socket.gettime() - started
  local after = host.usage(pid)
  print(("  %.1f s, %.1f ms each: %s"):format(seconds, 1000 * seconds / counts.uncached,
    show(outcomes)))
  print("  before " .. usage_text(before) .. "; after " .. usage_text(after))
  expect(outcomes["200"] == counts.uncached, "every request was answered")
  expect(after.threads == 1, "threads have ended")
  expect(after.descriptors <= before.descriptors + 2, "descriptors are flat")
  expect(after.rss <= before.rss + 4096, "memory is flat")
  expect(#nginx:leftovers() == 0, "no file stays behind")
  nginx:stop()
end

reloads()
many()
uncached()
upstream:stop()
print(failed == 0 and "all flat, nothing lost" or failed .. " FAILED")
os.exit(failed == 0)
