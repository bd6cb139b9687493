-- Whole programs on an event loop, each in a process of its own: what garner.main makes of them,
-- Ctrl-C, errors in coroutines, and how they end. All of one loop run side by side.

local clients = require "spec.support.clients"
local loops = require "spec.support.loops"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

local PATIENCE = 3 -- seconds; 0.1 by construction, but the machine may be busy

-- name -> the program, after `BEGIN`.
local PROGRAMS = {
  ok = [[garner.main(function() garner.check(api:get "/_http/echo") io.write "all well\n" end)]],
  usage = [[garner.main(function() garner.client {} end)]],
  broken = [[garner.main(function() api:get "/_http/echo"; local t; return t.x end)]],
  later = [[garner.main(function()
    return api:get("/_http/status/503", { attempts = 1 }) end)]],
  raised = [[garner.main(function() garner.check(api:get "/_http/status/403?body=no") end)]],
  outside = [[api:get "/_http/echo"]],
  exit = [[SPAWN(function() api:get "/_http/delay/20000" end)
    SPAWN(function() api:get "/_http/delay/50"; os.exit(7) end)
    RUN()]],
  left = [[SPAWN(function() api:get "/_http/delay/20000" end)
    SPAWN(function() api:get "/_http/delay/20" end) ONCE() ]],
}

-- What Ctrl-C is to end within garner.main.
local WAITS = {
  request = 'api:get "/_http/delay/20000"',
  all = 'garner.all { function() return api:get "/_http/delay/20000" end }',
  wait = "garner.wait(function() end)",
  walk = 'api:pages("/_http/delay/20000", { next = { link = "n" } }):next()',
}
for name, wait in pairs(WAITS) do
  PROGRAMS["interrupted " .. name] = [[garner.main(function()
    os.execute("(sleep 0.3; kill -INT " .. core.pid() .. ") >/dev/null 2>&1 &")
    io.write("at ", core.time(), "\n")
    io.stdout:flush()
    ]] .. wait .. " end)"
end

-- SPAWN starts a coroutine as programs on that loop do, RUN and ONCE run the loop.
local BEGIN = {
  luv = [[
    local uv = require "luv"
    local function SPAWN(fn) coroutine.wrap(fn)() end
    local function RUN() uv.run() end
    local function ONCE() uv.run "nowait" end]],
  cqueues = [[
    local cq = require("cqueues").new()
    local function SPAWN(fn) cq:wrap(fn) end
    local function RUN() assert(cq:loop()) end
    local function ONCE() cq:step(0) end]],
  copas = [[
    local copas = require "copas"
    local SPAWN, RUN = copas.addthread, copas.loop
    local function ONCE() copas.step(0) end]],
}

local function program(loop, text)
  return ('local garner, core = require "garner", require "garner.core"\n%s\ngarner.use %q\n'
    .. 'local api = garner.client { base_url = %q }\n%s\nio.write "the end\\n"\n')
    :format(BEGIN[loop], loop, sim.url, text)
end

local function write(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

for _, loop in ipairs(loops.names) do
  describe("a program on " .. loop, function()
    local missing = loops.missing(loop)
    if missing then
      return pending(missing)
    end

    local results = {}

    setup(function()
      local command, paths = {}, {}
      for name, text in pairs(PROGRAMS) do
        local path = write(program(loop, text))
        paths[name] = path
        command[#command + 1] = ("(timeout 30 %s %s >%s.out 2>&1; "
          .. "echo \"code $? end $(date +%%s.%%N)\" >>%s.out) &")
          :format(clients.interpreter(), path, path, path)
      end
      os.execute(table.concat(command, "\n") .. "\nwait")
      for name, path in pairs(paths) do
        local file = assert(io.open(path .. ".out"))
        local text = file:read "*a"
        file:close()
        results[name] = { text = text, code = tonumber(text:match "code (%d+) end [%d.]+\n$") }
        os.remove(path)
        os.remove(path .. ".out")
      end
    end)

    local function ended(name, code, ...)
      local result = results[name]
      assert.equal(code, result.code, result.text)
      for _, part in ipairs { ... } do
        assert.truthy(result.text:find(part, 1, true), result.text)
      end
      return result.text
    end

    it("ends with the exit codes of garner.main", function()
      assert.falsy(ended("ok", 0, "all well\n"):find("the end", 1, true))
      ended("usage", 2, "base_url is missing")
      ended("later", 75, "error: ")
      ended("raised", 1, "error: ", "(forbidden")
    end)

    it("shows where it is broken", function()
      ended("broken", 1, "stack traceback", os.tmpname():match "^(.-/)[^/]*$")
    end)

    it("raises where nothing can wait", function()
      ended("outside", 1, "garner.main(function() ... end)")
    end)

    it("may end in the middle", function()
      ended("exit", 7)
      ended("left", 0, "the end")
    end)

    for name in pairs(WAITS) do
      it("ends with 130 on Ctrl-C, waiting in " .. name, function()
        local text = ended("interrupted " .. name, 130, "interrupted\n")
        local took = text:match "end ([%d.]+)" - text:match "at ([%d.]+)" - 0.3
        assert.is_true(took < PATIENCE, text)
      end)
    end
  end)
end

describe("a coroutine that breaks in luv's loop", function()
  local missing = loops.missing "luv"
  if missing then
    return pending(missing)
  end

  it("is told with its traceback, and the others go on", function()
    local _, output = clients.run(program("luv", [[
      local function breaks() error "this one breaks" end
      SPAWN(function() api:get "/_http/echo"; breaks() end)
      RUN()]]))
    assert.truthy(output:find("this one breaks", 1, true), output)
    assert.truthy(output:find("in %S+ 'breaks'") or output:find("in upvalue 'breaks'", 1, true)
      or output:find("breaks", 1, true), output)
  end)

  it("lets uv.loop_close succeed after garner.close", function()
    local code, output = clients.run(program("luv", [[
      SPAWN(function() api:get "/_http/echo" end)
      RUN()
      garner.close()
      uv.run()
      assert(uv.loop_close())]]))
    assert.equal(0, code, output)
    assert.truthy(output:find("the end", 1, true), output)
  end)
end)
