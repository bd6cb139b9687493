-- Processes and threads: what a fork, an exec, an exit, a signal, the end of a Lua state or of a
-- coroutine does to what is on its way, with either engine. Every case is a process of its own.
-- Must not: repeat what exit_spec (exits amid TLS) and spec/core/test_fork.c (locks) show.

local clients = require "spec.support.clients"
local process = require "spec.support.process"
local simulator = require "spec.support.simulator"

local sim = simulator.get()
local sanitized = os.getenv "GARNER_SANITIZED" ~= nil

local KINDS = { "inline", "threaded" }

-- What all scripts begin with.
local HEAD = [[
local url, tls_url, ca_file, slow, token = %q, %q, %q, %q, %q
local folder, module, kind = %q, %q, %q
local process = package.loadlib(module, "luaopen_process")()
local core = require "garner.core"
local garner = require "garner"
local loops = require "spec.support.loop"
garner.engine { thread = kind == "threaded" }

-- All that can be on its way; each gives nil, err if it is cancelled.
local function all_work(api, bv, job)
  local function pages()
    return api:pages("/_http/pages", { items = "things", query = { n = 3, size = 2 },
      next = { from = "nextPageToken", query = "pageToken" } })
  end
  return {
    request = function() return api:get "/_http/echo" end,
    walk = function() return pages():collect() end,
    each = function() return pages():each(function() end) end,
    download = function() return api:download(slow .. "/_http/bytes/400000", folder) end,
    pull = function()
      return bv:live_metrics { live_id = "live-1", from = "-20h", to = "-1h" }:collect()
    end,
    job = function() return job:wait { first = 0.3 } end,
    all = function()
      local got = garner.all { function() return api:get "/_http/echo" end }
      return got[1].ok or nil, got[1].err
    end,
  }
end

local function new_clients()
  local api = garner.client { base_url = slow }
  local bv = garner.blendvision { base_url = url, token = token, org_id = "sim-org" }
  return api, bv, assert(bv:create_report { event_id = "event-1", type = "vod",
    dimensions = { "watch_time" } })
end

local function tell(who, name, task)
  local value, err = task.results and task.results[2], task.results and task.results[3]
  print(who, name, not task.done and "waits" or not task.ok and "raised " .. tostring(value)
    or value and "good" or err.kind)
end
]]

local queued, results = {}, nil

-- All that was queued, side by side, once the first test asks.
local function run_queued()
  if not results then
    local list = {}
    for name, script in pairs(queued) do
      local scope = sim:scope()
      scope:fault { path = ".", delay_ms = script.delay, times = 0 }
      scope:settings { polls_until_ready = 1 }
      local head = HEAD:format(sim.url, sim.tls_url, sim.ca_file, scope.url, scope.token,
        process.folder() .. "/" .. scope.name, process.module(), script.kind)
      list[name] = { prefix = script.prefix, text = head .. script.text }
    end
    results = process.run_all(list)
  end
  return results
end

-- A script for a process of its own; every answer of `slow` takes so many milliseconds.
local function queue(name, delay, kind, text, prefix)
  queued[name] = { delay = delay, kind = kind, text = text, prefix = prefix }
end

--- What became of one: its exit code is checked.
---@return function expect fails if it did not print that line
---@return string output
local function outcome(name, code)
  local result, lines = run_queued()[name], {}
  assert.equal(code or 0, result.code, result.output)
  for line in result.output:gmatch "[^\n]+" do
    lines[line:gsub("\t", " ")] = true
  end
  return function(line)
    assert.is_true(lines[line], line .. " is not in:\n" .. result.output)
  end, result.output
end

teardown(process.clean)

local FORK = [[
  local api, bv, job = new_clients()
  local loop, tasks, amid = loops.new(), {}, {}
  garner.use(loop.driver)
  for name, fn in pairs(all_work(api, bv, job)) do tasks[name] = loop.spawn(fn) end
  for _ = 1, 6 do loop.step(0.01) end
  for name, task in pairs(tasks) do
    if not task.done then
      amid[name] = task
      print("amid", name)
    end
  end
  io.stdout:flush()
  local pid = process.fork()
  local who = pid == 0 and "child" or "parent"
  loop.run(50)
  for name, task in pairs(amid) do tell(who, name, task) end
  local again = loop.spawn(function() return api:get "/_http/echo" end)
  local rows = loop.spawn(function()
    return bv:live_metrics { live_id = "live-1", from = "-2h", to = "-1h" }:collect()
  end)
  loop.run(50)
  tell(who, "again", again)
  tell(who, "rows", rows)
  print(who, "engines", ("%%d"):format(core.running()))
  io.stdout:flush()
  if pid == 0 then %s end
  print("code", ("%%d"):format(process.wait(pid)))
  print("size", #assert(io.open(folder)):read "*a")
]]
local ENDINGS = { leaves = "process.leave(0)", exits = "os.exit(0, true)" }

for _, kind in ipairs(KINDS) do
  for ending, code in pairs(ENDINGS) do
    -- What the parent had at work is left alone by the child, which a leak check would tell.
    queue("fork " .. ending .. kind, 400, kind, FORK:format(code),
      sanitized and "ASAN_OPTIONS=detect_leaks=0")
  end
end

describe("A fork amid all kinds of work", function()
  for _, kind in ipairs(KINDS) do
    for ending in pairs(ENDINGS) do
      it(("cancels it in a child that %s, and there alone, %s"):format(ending, kind), function()
        local expect, output = outcome("fork " .. ending .. kind)
        local amid = 0
        for name in output:gmatch "amid%s+(%l+)" do
          expect("child " .. name .. " cancelled")
          expect("parent " .. name .. " good")
          amid = amid + 1
        end
        assert.is_true(amid > 0, output)
        for _, line in ipairs { "child again good", "child rows good", "child engines 1",
          "parent again good", "parent rows good", "parent engines 1", "code 0", "size 400000" } do
          expect(line)
        end
      end)
    end
  end
end)

-- Of children that fork from between handshakes one in 200 met a lock of OpenSSL's that nobody
-- would ever give back.
local HANDSHAKES = [[
  local engine = core.engine_new { thread = true }
  local mailbox = engine:mailbox_new()
  local options = { base_url = tls_url, ca_file = ca_file, proxy = false, http_version = "1.1" }
  local client = core.client_new(options)
  local fresh = { method = "POST", url = tls_url .. "/_http/echo", body = "{}", creates = true }
  local function feed() assert(engine:submit(mailbox, client, fresh)) end
  for _ = 1, 4 do feed() end
  local done, pids = 0, {}
  for i = 1, 40 do
    local until_then = core.now() + i % 7 / 1000
    repeat
      engine:wait(engine:sequence(), 0.001)
      local id, event = mailbox:take()
      if event == "done" then done = done + 1 feed() end
    until core.now() >= until_then and not id
    local pid = process.fork()
    if pid == 0 then
      process.alarm(40)
      local own = core.engine_new { thread = i % 2 == 0 }
      local box = own:mailbox_new()
      own:submit(box, i % 3 == 0 and client or core.client_new(options),
        { url = tls_url .. "/_http/echo" })
      repeat
        local _, event, result = box:take()
        if not event then own:wait(own:sequence(), 1) end
        if event then process.leave(result:status() == 200 and 0 or 1) end
      until false
    end
    pids[i] = pid
    if i > 4 then assert(process.wait(pids[i - 4]) == 0) end
  end
  for i = 37, 40 do assert(process.wait(pids[i]) == 0) end
  assert(done > 0)
  engine:close()
]]

if not sanitized then
  queue("handshakes", 0, "threaded", HANDSHAKES)
end

describe("A fork", function()
  it("while a thread is amid TLS handshakes leaves the child free to begin its own", function()
    if sanitized then
      return pending "the sanitizer's own allocator may be left locked, by a resolver's thread"
    end
    outcome "handshakes"
  end)
end)

local EXECUTES = [[
  local function list(what)
    io.write(what, ":\n")
    io.stdout:flush()
    os.execute "for fd in /proc/self/fd/*; do echo \"fd ${fd##*/} $(readlink $fd)\"; done"
  end
  list "before"
  local api, bv, job = new_clients()
  local kept = garner.client { base_url = tls_url, ca_file = ca_file }
  assert(kept:get "/_http/echo")
  local loop = loops.new()
  garner.use(loop.driver)
  for _, fn in pairs(all_work(api, bv, job)) do loop.spawn(fn) end
  loop.spawn(function() return kept:get "/_http/delay/400" end)
  if kind == "threaded" then
    local mailbox = require "garner.engine".current():mailbox_new()
    assert(mailbox:descriptor())
    assert(mailbox:doorbell())
  end
  local deadline = core.now() + 10
  repeat
    loop.step(0.01)
    local part = io.open(folder .. ".part")
    if part then part:close() end
  until part or core.now() > deadline
  os.execute("echo mine $(ls /proc/" .. core.pid() .. "/fd | wc -l)")
  list "amid"
  print "pairs:"
  io.stdout:flush()
  -- Connected and without a name: libcurl's own wake-up and resolver pairs, which carry no
  -- data.
  os.execute "awk '$6 == \"03\" && NF == 7 { print \"pair\", $7 }' /proc/net/unix"
]]
for _, kind in ipairs(KINDS) do
  queue("executes " .. kind, 400, kind, EXECUTES)
end

describe("What a program that is executed has open", function()
  for _, kind in ipairs(KINDS) do
    it("is nothing of ours, " .. kind, function()
      local _, output = outcome("executes " .. kind)
      assert.is_true(tonumber(output:match "mine%s+(%d+)") > 12, output)
      local before, amid = output:match "before:\n(.-)mine %d+\namid:\n(.*)pairs:"
      -- What the shell itself had open a moment ago has no target any more.
      for line, number in amid:gmatch "(fd (%d+) [^\n]+)" do
        local socket = line:match "socket:%[(%d+)%]$"
        assert.truthy(tonumber(number) <= 2 or before:find(line .. "\n", 1, true)
          or socket and output:find("pair " .. socket .. "\n", 1, true), line .. " in\n" .. output)
      end
    end)
  end
end)

local DIES = [[
  local api, bv, job = new_clients()
  local loop, tasks = loops.new(), {}
  garner.use(loop.driver)
  for name, fn in pairs(all_work(api, bv, job)) do tasks[name] = loop.spawn(fn) end
  for _ = 1, 3 do loop.step(0.01) end
  local engine = require "garner.engine".current()
  print("in flight", garner.stats().in_flight > 0)
  %s
  local deadline = core.now() + 20
  repeat
    collectgarbage()
    engine:wait(engine:sequence(), 0.01)
  until garner.stats().in_flight == 0 or core.now() > deadline
  print("left", ("%%d"):format(garner.stats().in_flight), core.now() < deadline)
  tell("then", "again", (function()
    local task = loop.spawn(function() return api:get "/_http/echo" end)
    loop.run()
    return task
  end)())
  print("part", io.open(folder .. ".part") ~= nil)
]]
local DEATHS = {
  ["is collected"] = "loop.waiting, tasks = {}, nil",
  ["is closed"] = [[
    for _, task in pairs(loop.waiting) do assert(coroutine.close(task.co)) end
    loop.waiting, tasks = {}, nil]],
  ["gets an error from its scheduler"] = [[
    local amid = {}
    for name, task in pairs(tasks) do
      if not task.done then amid[name] = task end
    end
    loop.resume_all "the scheduler is tired"
    for name, task in pairs(amid) do
      local err = tostring(task.results[2]) .. tostring(task.results[3])
      assert(task.done and err:find("the scheduler is tired", 1, true), name .. err)
    end
    tasks, amid = nil, nil]],
}
if not coroutine.close then -- luacheck: ignore 143
  DEATHS["is closed"] = nil
end

for way, code in pairs(DEATHS) do
  for _, kind in ipairs(KINDS) do
    queue(way .. kind, 300, kind, DIES:format(code))
  end
end

describe("A coroutine that dies while it waits", function()
  for way in pairs(DEATHS) do
    for _, kind in ipairs(KINDS) do
      it(("cancels what it waits for: %s, %s"):format(way, kind), function()
        local expect = outcome(way .. kind)
        for _, line in ipairs { "in flight true", "left 0 true", "then again good",
          "part false" } do
          expect(line)
        end
      end)
    end
  end
end)

local BUSY = [[
  local api, bv, job = new_clients()
  local loop = loops.new()
  garner.use(loop.driver)
  for _, fn in pairs(all_work(api, bv, job)) do loop.spawn(fn) end
  local safe = garner.client { base_url = tls_url, ca_file = ca_file }
  for _ = 1, 3 do loop.spawn(function() return safe:get "/_http/delay/5000" end) end
  for _ = 1, %d do loop.step(0.01) end
  print "busy"
  io.stdout:flush()
  %s
]]
local ENDS = {
  { "os.exit(3)", 3 }, { "os.exit(4, true)", 4 }, { "error 'on purpose'", 1 },
  { "process.kill(core.pid(), 15) process.alarm(20) while true do loop.step(0.01) end", 143 },
  { "coroutine.wrap(function() os.exit(5, true) end)()", 5 },
  { "loop.spawn(function() garner.main(function() return 6 end) end) loop.step()", 6 },
}
for _, way in ipairs(ENDS) do
  for i, kind in ipairs(KINDS) do
    for _, steps in ipairs { 0, 6 } do
      queue(way[1] .. kind .. steps, 100, kind, BUSY:format(steps + i, way[1]))
    end
  end
end

queue("doorbell", 0, "threaded", [[
  assert(garner.client { base_url = slow }:get "/_http/echo")
  print("at", (assert(require "garner.engine".current():mailbox_new():doorbell())))
  os.exit(0)
]])

describe("The end of a process", function()
  for _, way in ipairs(ENDS) do
    for _, kind in ipairs(KINDS) do
      it(("amid transfers has its code: %s, %s"):format(way[1], kind), function()
        for _, steps in ipairs { 0, 6 } do
          outcome(way[1] .. kind .. steps, way[2]) "busy"
        end
      end)
    end
  end

  it("takes the folder of the doorbell with it", function()
    local _, output = outcome "doorbell"
    assert.is_nil(io.open((output:match "at%s+(%S+)")))
  end)
end)

describe("Where no thread can be had", function()
  it("a threaded engine is an error, an inline one works", function()
    local shim = process.folder() .. "/no_threads.so"
    assert(os.execute("LD_PRELOAD= gcc -shared -fPIC -o " .. shim .. " spec/faults/no_threads.c"))
    local exit, output = clients.run(([[
      local garner = require "garner"
      garner.engine { thread = true }
      local api = garner.client { base_url = %q }
      for _ = 1, 2 do
        local res, err = api:get "/_http/echo"
        print(res, err.kind, err.code, err.retryable)
      end
      assert(require "garner.core".running() == 0)
      garner.engine { thread = false }
      print(assert(api:get "/_http/echo").status)
      print(assert(api:download(%q .. "/_http/bytes/1000", %q)).size)
    ]]):format(sim.url, sim.url, process.folder() .. "/bytes"),
      ('GARNER_ENGINE= LD_PRELOAD="$LD_PRELOAD %s" timeout 60'):format(shim))
    assert.equal(0, exit, output)
    local _, count = output:gsub("nil\ttransport\tthread\t", "")
    assert.equal(2, count, output)
    assert.truthy(output:find "200\n1000", output)
  end)
end)

describe("A Lua state", function()
  local function flat(rounds, warm, output)
    local first, last = rounds[warm], rounds[#rounds]
    assert.equal(first.descriptors, last.descriptors, output)
    assert.equal(first.threads, last.threads, output)
    -- Sanitizers keep what was freed; LuaJIT's states come from the system, 64 KB at a time.
    if not sanitized then
      assert.is_true(last.kb - first.kb < 1024, output)
    end
    assert.truthy(output:find("core.so is mapped", 1, true), output)
  end

  it("is one of several in threads, closed in any order", function()
    local rounds, output = process.run_host("host_states", 6, 4, sim.url, process.folder())
    assert.equal(rounds[1].descriptors, rounds[4].descriptors, output)
  end)

  it("is closed in any order of collection", function()
    local rounds, output = process.run_host("host_close", 1, 12, sim.url, process.folder())
    assert.equal(rounds[1].descriptors, rounds[12].descriptors, output)
    assert.equal(rounds[1].threads, rounds[12].threads, output)
  end)

  it("loads garner, closes, and the next one again, 100 times without growing", function()
    local rounds, output = process.run_host("host_again", 1, 100, sim.url)
    flat(rounds, 20, output)
  end)
end)
