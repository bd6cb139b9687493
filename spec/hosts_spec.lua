-- One script over the three vendors, in every host: all Luas alone, on event loops, in nginx and in
-- a C program. What it prints is the same to the byte. It starts the other Luas itself, so once
-- is enough: by hand on Lua 5.4, in spec/run on LuaJIT, when all are built.

local clients = require "spec.support.clients"
local embed = require "spec.support.embed"
local lfs = require "lfs"
local nginx = require "spec.support.nginx"
local simulator = require "spec.support.simulator"

local mine = os.getenv "GARNER_SPEC_RUN" and "luajit" or "lua5.4"
if clients.interpreter() ~= mine or os.getenv "GARNER_ENGINE" then
  return
end

local LUAS = {
  { "lua5.1", "build/lua5.1" }, { "lua5.2", "build/lua5.2" }, { "lua5.3", "build/lua5.3" },
  { "lua5.4", "build/lua5.4" }, { "luajit", "build/luajit" },
}
local LOOPS = { "luv", "cqueues", "copas" }
local AT_ONCE = 4

local root = lfs.currentdir()
local folder, sim, day

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

local function succeeds(command)
  return run(command .. " >/dev/null 2>&1 && echo yes") == "yes"
end

-- The script for a host, with the one line that names it.
local function script(loop)
  local text, count = read("spec/hosts/script.lua"):gsub("%-%- HOST\n",
    loop and ('garner.use "%s"\n'):format(loop) or "%0")
  assert(count == 1)
  return text
end

-- Why a Lua cannot run it.
local function lacks(lua, tree, loop)
  local module = tree .. "/garner/core.so"
  if not succeeds("command -v " .. lua) then
    return lua .. " is not installed"
  elseif not lfs.attributes(module) then
    return tree .. " is not built"
  elseif run(("find src -newer %s -name '*.[ch]'"):format(module)) ~= "" then
    return tree .. " is older than the sources"
  elseif loop and not succeeds(lua .. " -e 'require \"" .. loop .. "\"'") then
    return loop .. " is not installed for " .. lua
  end
end

-- The variables that the script reads, for the shell.
local function variables(place, scope)
  return ("HOSTS_URL=%s HOSTS_DAY=%s HOSTS_FOLDER=%s HOSTS_TOKEN=%s"):format(sim.url, day, place,
    scope.token)
end

local function new_scope()
  local scope = sim:scope()
  scope:settings { entities = 300, polls_until_ready = 1 }
  return scope
end

-- A run in a process of its own, which leaves out, err and code: the path of its shell script.
local function prepare(row, index)
  local place = folder .. "/" .. index
  assert(lfs.mkdir(place))
  write(place .. "/script.lua", script(row.loop))
  row.place = place
  local command = row.program and row.program .. " script.lua"
    or ("env LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/%s/?.so;;' %s %s script.lua")
      :format(root, root, root, row.tree, row.engine or "", row.lua)
  write(place .. "/run.sh", ("cd %s\n%s timeout 60 %s >out 2>err\necho $? >code\n")
    :format(place, variables(place, new_scope()), command))
  return place .. "/run.sh"
end

local rows = {}

local function add(row)
  rows[#rows + 1] = row
end

for _, lua in ipairs(LUAS) do
  local name, tree = lua[1], lua[2]
  for _, engine in ipairs { "inline", "threaded" } do
    add { name = name .. ", alone, " .. engine, lua = name, tree = tree,
      engine = "GARNER_ENGINE=" .. engine, missing = lacks(name, tree) }
  end
  for _, loop in ipairs(LOOPS) do
    add { name = name .. ", " .. loop, lua = name, tree = tree, loop = loop,
      missing = lacks(name, tree, loop) }
  end
end
for _, target in ipairs { "embed-host", "embed-host-module" } do
  local program, missing = embed.program(target)
  add { name = "the C program " .. target, program = program, missing = missing }
end

local function run_all()
  local paths = {}
  for index, row in ipairs(rows) do
    if not row.missing then
      paths[#paths + 1] = prepare(row, index)
    end
  end
  os.execute(("printf '%%s\\n' %s | xargs -n 1 -P %d sh"):format(table.concat(paths, " "), AT_ONCE))
  for _, row in ipairs(rows) do
    if not row.missing then
      row.out, row.err = read(row.place .. "/out"), read(row.place .. "/err")
      row.code = tonumber(read(row.place .. "/code"))
    end
  end
end

-- In nginx: `print` is the only thing that is not as elsewhere.
local SERVER = [[
location /content {
  content_by_lua_block { ngx.print((require "run")()) }
}
location /timer {
  content_by_lua_block {
    local text
    ngx.timer.at(0, function() text = require("run")() end)
    repeat ngx.sleep(0.01) until text
    ngx.print(text)
  }
}
]]

local RUN = [[
return function()
  local out = {}
  local function print(...)
    local parts = {}
    for i = 1, select("#", ...) do
      parts[i] = tostring((select(i, ...)))
    end
    out[#out + 1] = table.concat(parts, "\t") .. "\n"
  end
  local file = assert(io.open(os.getenv "HOSTS_FOLDER" .. "/script.lua"))
  local chunk = assert(loadstring(file:read "*a", "@script.lua"))
  file:close()
  setfenv(chunk, setmetatable({ print = print }, { __index = _G }))()
  return table.concat(out)
end
]]

describe("one script", function()
  local expected

  setup(function()
    sim = simulator.get()
    folder = run "mktemp -d"
    day = os.date("!%Y-%m-%d", os.time() - 3 * 86400)
    run_all()
    for _, row in ipairs(rows) do
      if row.name == "lua5.4, alone, inline" then
        expected = row.out
      end
    end
  end)

  teardown(function()
    os.execute("rm -rf '" .. folder .. "'")
  end)

  it("prints what it should, in Lua 5.4", function()
    for _, part in ipairs { "metrics\t", "window\t", "report\t2\twatch_time\tsucceeded",
      "entities\t", "events\t", "result\t1\tfalse\tnot_found 404", "result\t5\ttrue\tfine",
      "misuse\tfalse\tscript.lua:", "waited\t3\n" } do
      assert.truthy(expected:find(part, 1, true), expected)
    end
  end)

  for _, row in ipairs(rows) do
    if row.missing then
      pending("prints the same in " .. row.name .. ": " .. row.missing)
    else
      it("prints the same in " .. row.name, function()
        assert.equal(expected, row.out, row.err)
        assert.equal(3, row.code)
        assert.truthy(row.err:find("error: made up (hole)", 1, true), row.err)
      end)
    end
  end

  nginx.describe(describe, pending)("in nginx", function()
    local server

    setup(function()
      write(folder .. "/script.lua", script())
      server = nginx.start { server = SERVER, files = { ["lua/run.lua"] = RUN },
        main = "env " .. variables(folder, new_scope()):gsub(" ", ";\nenv ") .. ";" }
    end)

    teardown(function()
      server:stop()
    end)

    for _, phase in ipairs { "content", "timer" } do
      it("prints the same in its " .. phase .. " phase", function()
        local response = simulator.fetch(server.url .. "/" .. phase)
        assert.equal(200, response.status, server:error_log())
        assert.equal(expected, response.body)
        assert.truthy(server:error_log():find("error: made up (hole)", 1, true))
        assert.is_true(server:alive())
      end)
    end
  end)
end)
