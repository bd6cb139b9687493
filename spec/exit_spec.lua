-- Owns: the check that a process may end at any moment while a threaded engine has TLS
-- transfers on the wire: right exit code, no signal, no hang. Without the module's exit hook
-- 4 of 5 such exits crash in OpenSSL's own.
-- Must not: leave a child behind. GARNER_EXITS sets how many children run (300).

local simulator = require "spec.support.simulator"

local count = tonumber(os.getenv "GARNER_EXITS") or 300
local lua = os.getenv "GARNER_LUA" or (arg and arg[-1]) or "lua"

-- Globals, so that no collector takes the objects before the exit does. The wait is
-- another one in every child: within the handshake, after it, between two responses.
local CHILD = [[
local core = require "garner.core"
local mode, nth, url, ca_file = arg[1], tonumber(arg[2]), arg[3], arg[4]
engine = assert(core.engine_new { thread = true })
mailbox = engine:mailbox_new()
client = core.client_new { base_url = url, ca_file = ca_file, proxy = false,
  http_version = nth % 2 == 0 and "1.1" or "2" }
for i = 1, 4 do
  local path = i % 2 == 0 and "/_http/delay/3000" or "/_http/delay/" .. nth % 7
  assert(engine:submit(mailbox, client, { url = url .. path }))
end
local deadline = core.now() + nth % 30 / 1000
while core.now() < deadline do
  engine:wait(engine:sequence(), 0.002)
  while mailbox:take() do end
end
if mode == "exit" then
  os.exit(0)
elseif mode == "exit_close" then
  os.exit(0, true)
elseif mode == "code" then
  os.exit(7)
elseif mode == "error" then
  error("on purpose")
elseif mode == "closed" then
  engine:close()
end
]]

local CODES = { exit = "0", exit_close = "0", code = "7", ["end"] = "0", error = "1", closed = "0" }

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("ending with TLS transfers in flight", function()
  local sim, script, complaints

  setup(function()
    sim = simulator.get()
    script, complaints = os.tmpname(), os.tmpname()
    local file = assert(io.open(script, "wb"))
    file:write(CHILD)
    file:close()
  end)

  teardown(function()
    os.remove(script)
    os.remove(complaints)
  end)

  for mode, code in pairs(CODES) do
    it("by " .. mode, function()
      local children = math.max(1, math.ceil(count / 6))
      -- The shell turns a signal into 128 and more, timeout a hang into 124.
      local pipe = assert(io.popen(("for i in $(seq %d); do timeout 10 %s %s %s $i %s %s 2>%s; "
        .. "echo $?; done"):format(children, quote(lua), quote(script), mode, quote(sim.tls_url),
        quote(sim.ca_file), quote(complaints))))
      local codes, seen = pipe:read "*a", 0
      pipe:close()
      for got in codes:gmatch "%d+" do
        seen = seen + 1
        if got ~= code then
          error(("child %d ended with %s: %s"):format(seen, got, read(complaints)))
        end
      end
      assert.equal(children, seen)
    end)
  end
end)
