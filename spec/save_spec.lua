-- What a pull leaves behind: saved files, series, kept raw files; and that two
-- runs of one script do not do it twice. Over made-up sources; no server.
local driver = require "garner.driver"
local errors = require "garner.errors"
local pull = require "garner.pull"
local tasks = require "garner.tasks"

-- A pull of four windows; `to = 100` makes it one.
local function new(fields)
  local source = {
    client = { log = function() end }, name = "made-up rows", from = 0, to = 400, edges = "[)",
    from_text = "0", to_text = "400", zone_name = "UTC", now = 2000000000, windows = {},
    fetch = function(each) return { rows = { { n = each.index } } } end,
  }
  for name, value in pairs(fields) do source[name] = value end
  for index = 1, source.to / 100 do
    source.windows[index] = { index = index, from = (index - 1) * 100, to = index * 100,
      send_from = (index - 1) * 100, send_to = index * 100,
      from_text = tostring((index - 1) * 100), to_text = tostring(index * 100) }
  end
  return assert(pull.new(source))
end

local function failing(kind, which)
  return function(each)
    if not which[each.index] then return { rows = { { n = each.index } } } end
    return nil, errors.new { kind = kind, message = "broke" }
  end
end

describe("saving", function()
  local folder = os.tmpname()
  os.remove(folder)
  local made_folder = false

  local function path(name)
    if not made_folder then
      os.execute("mkdir " .. folder)
      made_folder = true
    end
    return folder .. "/" .. name
  end

  teardown(function() os.execute("rm -rf " .. folder) end)

  local function read(name)
    local file = io.open(path(name), "rb")
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    return text
  end

  local function one(rows, fields)
    fields = fields or {}
    fields.to, fields.fetch = 100, function() return { rows = rows } end
    return new(fields)
  end

  it("writes RFC 4180 and refuses to replace a file", function()
    local rows = { { a = "plain", b = 'a "quoted", text' }, { a = "two\r\nlines", b = "" },
      { a = 12, b = true }, { b = { x = 1 } } }
    assert.equal(4, one(rows):save(path "a.csv"))
    assert.equal('a,b\r\nplain,"a ""quoted"", text"\r\n"two\r\nlines",""\r\n12,true\r\n'
      .. ',"{""x"":1}"\r\n', read "a.csv")
    local n, err = one(rows):save(path "a.csv")
    assert.is_nil(n)
    assert.equal("file", err.kind)
    assert.equal("EEXIST", err.code)
    assert.equal(1, one({ { a = 1 } }):save(path "a.csv", { force = true }))
    assert.equal("a\r\n1\r\n", read "a.csv")
    assert.is_nil(read "a.csv.part")
  end)

  it("adds columns that turn up late to every row", function()
    assert.equal(3, one({ { a = 1 }, { a = 2, names = "x" }, { b = 3 } }):save(path "late.csv"))
    assert.equal("a,names,b\r\n1,,\r\n2,x,\r\n,,3\r\n", read "late.csv")
  end)

  it("reads back as it was", function()
    local csv = require "garner.csv"
    local rows = { { v = "a,b" }, { v = '"' }, { v = "\n" }, { v = "\r" }, { v = "" }, { v = "é" } }
    assert.equal(6, one(rows):save(path "back.csv"))
    assert.same(rows, assert(csv.collect { file = path "back.csv" }))
  end)

  it("writes declared columns even for no rows", function()
    assert.equal(0, one({}, { columns = { "time", "value" } }):save(path "empty.csv"))
    assert.equal("time,value\r\n", read "empty.csv")
  end)

  it("writes JSON Lines", function()
    assert.equal(2, one({ { a = "x" }, { a = 2, b = { 1 } } }):save(path "a.jsonl"))
    assert.equal('{"a":"x"}\n{"a":2,"b":[1]}\n', read "a.jsonl")
  end)

  it("says which file could not hold a row", function()
    local n, err = one({ { a = "caf\233" } }):save(path "latin.jsonl")
    assert.is_nil(n)
    assert.equal("file", err.kind)
    assert.truthy(err.message:find("UTF-8", 1, true), err.message)
    assert.is_nil(read "latin.jsonl.part")
    assert.equal(1, one({ { a = "caf\233" } }):save(path "latin.csv"))
    assert.equal("a\r\ncaf\233\r\n", read "latin.csv")
  end)

  it("leaves nothing where something is raised", function()
    local made = one({ { a = 1 } }, { on_progress = function() error("mine", 0) end })
    local ok, why = pcall(made.save, made, path "raised.csv")
    assert.is_false(ok)
    assert.equal("mine", why)
    assert.is_nil(read "raised.csv.part")
    made = one({ { a = 1 } })
    assert(made:collect())
    assert.has_error(function() made:save(path "again.csv") end)
    assert.is_nil(read "again.csv.part")
  end)

  it("leaves nothing where the data has a hole", function()
    local n, err = new { fetch = failing("server", { [3] = true }) }:save(path "hole.csv")
    assert.is_nil(n)
    assert.equal("hole", err.kind)
    assert.is_nil(read "hole.csv")
    assert.is_nil(read "hole.csv.part")
  end)

  it("tells a folder that is not there before anything is asked", function()
    local asked = false
    local made = new { fetch = function() asked = true return { rows = {} } end }
    local n, err = made:save(path "none/a.csv")
    assert.is_nil(n)
    assert.equal("file", err.kind)
    assert.equal("ENOENT", err.code)
    assert.is_false(asked)
  end)

  local function slow(fields)
    local asked = 0
    fields.fetch = fields.fetch or function(each)
      asked = asked + 1
      driver.current().sleep(0.02)
      return { rows = { { n = each.index } } }
    end
    return new(fields), function() return asked end
  end

  it("lets no second run save the same file meanwhile", function()
    local first = slow {}
    local second, asked = slow {}
    local results = tasks.all {
      function() return first:save(path "same.csv") end,
      function() return second:save(path "same.csv", { force = true }) end,
    }
    assert.equal(4, results[1][1])
    assert.equal("file", results[2].err.kind)
    assert.equal("locked", results[2].err.code)
    assert.truthy(results[2].err.message:find("another run", 1, true))
    assert.equal(75, require("garner.script").exit_code(results[2].err))
    assert.equal(0, asked())
    assert.equal("n\r\n1\r\n2\r\n3\r\n4\r\n", read "same.csv")
    assert.equal(1, one({ { a = 1 } }):save(path "same.csv", { force = true }))
  end)

  -- A process that holds the lock of a file of this name until it is killed.
  local function holder(name)
    local script = path "hold.lua"
    local file = assert(io.open(script, "w"))
    file:write([[
      local pull = require "garner.pull"
      local window = { index = 1, from = 0, to = 1, send_from = 0, send_to = 1, from_text = "0",
        to_text = "1" }
      assert(pull.new { client = { log = function() end }, name = "held", windows = { window },
        from = 0, to = 1, from_text = "0", to_text = "1", edges = "[)", zone_name = "UTC",
        fetch = function()
          io.write "held\n"
          io.flush()
          require("garner.driver").current().sleep(20)
        end }):save(arg[1])]])
    file:close()
    return assert(io.popen(("echo $$; exec %s %s %s"):format(
      os.getenv "GARNER_LUA" or arg and arg[-1] or "lua", script, path(name))))
  end

  it("takes over from a run that was killed", function()
    local pipe = holder "killed.csv"
    local pid = assert(tonumber((pipe:read "*l")))
    assert.equal("held", pipe:read "*l")
    local made = one { { a = 1 } }
    local n, err = made:save(path "killed.csv")
    assert.is_nil(n)
    assert.equal("locked", err.code)
    assert.truthy(read "killed.csv.part")
    os.execute("kill -9 " .. pid)
    pipe:close()
    assert.truthy(read "killed.csv.part")
    assert.equal(1, one({ { a = 1 } }):save(path "killed.csv"))
    assert.equal("a\r\n1\r\n", read "killed.csv")
    assert.is_nil(read "killed.csv.part")
  end)

  it("tells a full disk, and leaves nothing", function()
    local script = path "big.lua"
    local file = assert(io.open(script, "w"))
    file:write([[
      local pull = require "garner.pull"
      local window = { index = 1, from = 0, to = 1, send_from = 0, send_to = 1, from_text = "0",
        to_text = "1" }
      local left = 3000
      local n, err = pull.new({ client = { log = function() end }, name = "big",
        windows = { window }, from = 0, to = 1, from_text = "0", to_text = "1", edges = "[)",
        zone_name = "UTC", fetch = function()
          return { rows = function()
            left = left - 1
            return left >= 0 and { text = ("x"):rep(100) } or nil
          end }
        end }):save(arg[1])
      print(n, err.kind, err.code)]])
    file:close()
    -- A limit on the size of files stands for the disk: 20 blocks of 512 bytes, at most 1 KiB.
    local pipe = assert(io.popen(("trap '' XFSZ; ulimit -f 20; exec %s %s %s"):format(
      os.getenv "GARNER_LUA" or arg and arg[-1] or "lua", script, path "big.jsonl")))
    assert.equal("nil\tfile\tEFBIG", pipe:read "*l")
    pipe:close()
    assert.is_nil(read "big.jsonl")
    assert.is_nil(read "big.jsonl.part")
  end)

  it("makes series of points", function()
    local made = one({
      { type = "t", time = "1", value = "1.0", number = 1, unit = "fps", epoch = 1 },
      { type = "t", dimension = "", time = "1", value = "2", number = 2, epoch = 1 },
      { type = "t", time = "2", value = "3", number = 3, unit = "fps", epoch = 2 },
    }, { points = true })
    local series = assert(made:series())
    assert.equal(2, #series)
    assert.is_nil(series[1].dimension)
    assert.equal("", series[2].dimension)
    assert.same({ "1", "2" }, series[1].times)
    assert.same({ "1.0", "3" }, series[1].values)
    assert.equal("fps", series[1].unit)
  end)

  it("keeps raw files where windows are jobs", function()
    local made = new { download = function(each, into)
      if each.index == 2 then return nil, errors.new { kind = "job_failed", message = "no" } end
      return into .. "/" .. each.index
    end }
    local files, err, partial = made:download "spec"
    assert.is_nil(files)
    assert.equal("hole", err.kind)
    assert.equal(3, #partial)
    assert.equal("spec/1", partial[1].path)
    assert.equal(4, partial[3].window.index)
  end)

  it("lets no second run keep the same raw files meanwhile", function()
    local creates = 0
    local function make(fields)
      fields.download = function(each, into)
        creates = creates + 1
        driver.current().sleep(0.02)
        return into .. "/" .. each.index
      end
      return slow(fields)
    end
    local results = tasks.all {
      function() return make({}):download(path "") end,
      function() return make({}):download(path "") end,
      function() return make({ to = 100, to_text = "100" }):download(path "") end,
    }
    assert.equal(4, #results[1][1])
    assert.equal("locked", results[2].err.code)
    assert.truthy(results[2].err.message:find("made-up rows", 1, true), results[2].err.message)
    assert.equal(1, #results[3][1])
    assert.equal(5, creates)
    local pipe = assert(io.popen("ls -A " .. folder .. " | grep garner"))
    assert.equal("", pipe:read "*a")
    pipe:close()
  end)

  it("keeps no raw files in a folder that is not there, and asks for none", function()
    local asked = false
    local made = new { download = function() asked = true return "x" end }
    local files, err = made:download "spec/none"
    assert.is_nil(files)
    assert.equal("file", err.kind)
    assert.equal("ENOENT", err.code)
    assert.truthy(err.message:find("spec/none", 1, true))
    assert.is_false(asked)
  end)
end)
