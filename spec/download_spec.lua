-- Downloads from a server that cuts, changes and lies: what is gone on with, what starts
-- again, what is refused, and what the caller hears of it.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"

-- A server of one file of 200,000 bytes, whose n-th byte depends on n and on SEED. Options are
-- put before it: seed, etag, cut (of the first so many answers), cuts, ranges, more (a header),
-- pause (seconds after each piece), piece (bytes).
local SERVE = [[
local c, request = ...
local block = {}
for i = 1, 1000 do block[i] = string.char((i * i + seed) % 251) end
local text = {}
for i = 1, 200 do text[i] = table.concat(block, "", i) .. table.concat(block, "", 1, i - 1) end
text = table.concat(text)
local range = request.headers.range
local from = range and ranges and request.headers["if-range"] == etag
  and tonumber(range:match "^bytes=(%d+)%-$") or 0
local head = "HTTP/1.1 " .. (from > 0 and "206 Partial" or "200 OK") .. "\r\nContent-Length: "
  .. (#text - from) .. "\r\n" .. (etag and "ETag: " .. etag .. "\r\n" or "") .. (more or "")
if from > 0 then
  head = head .. ("Content-Range: bytes %d-%d/%d\r\n"):format(from, #text - 1, #text)
end
text = text:sub(from + 1)
if cut then text = text:sub(1, cut) end
c:send(head .. "\r\n")
for at = 1, #text, piece do
  c:send(text:sub(at, at + piece - 1))
  if pause then c:wait(pause) end
end
]]

local function show(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local function serving(options)
  local lines = { "local seed, etag, cut, ranges, more, pause, piece = "
    .. table.concat({ options.seed or 0, show(options.etag), show(options.cut),
      show(options.ranges ~= false), show(options.more), show(options.pause),
      options.piece or 8192 }, ", ") }
  return { { run = table.concat(lines) .. " " .. SERVE } }
end

describe("a download", function()
  local server, api, path, whole

  local function content()
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    return text
  end

  local function exists(name)
    local file = io.open(name, "rb")
    if file then file:close() end
    return file ~= nil
  end

  local function alone()
    assert.is_false(exists(path .. ".part"))
    assert.is_false(exists(path .. ".part.meta"))
  end

  local function get(options)
    options = options or {}
    if options.sha256 == nil then options.sha256 = true end
    return api:download(server.url .. "/f?sig=secret", path, options)
  end

  setup(function()
    server, path = faults.start(), os.tmpname()
    api = clients.client { base_url = server.url, retry = false }
    server:script("/f", serving {})
    whole = assert(get()).sha256
    os.remove(path)
    clients.close_all()
    server:stop()
  end)

  before_each(function()
    server, path = faults.start(), os.tmpname()
    os.remove(path)
    api = clients.client { base_url = server.url, retry = { backoff = 0.01 } }
  end)

  after_each(function()
    clients.close_all()
    for _, suffix in ipairs { "", ".part", ".part.meta" } do os.remove(path .. suffix) end
    server:stop()
  end)

  it("that is cut at 60 % goes on with one range request", function()
    server:script("/f", serving { etag = '"a"', cut = 120000 }, serving { etag = '"a"' })
    local file = assert(get())
    assert.equal(whole, file.sha256)
    assert.equal("200000", tostring(file.size))
    assert.equal(120000, file.resumed)
    assert.is_true(file.verified)
    assert.equal(2, #file.attempts)
    local seen = server:seen "/f"
    assert.equal(2, #seen)
    assert.equal("bytes=120000-", seen[2].headers.range)
    assert.equal('"a"', seen[2].headers["if-range"])
    alone()
  end)

  it("starts again where the file changed in between", function()
    server:script("/f", serving { etag = '"b"', cut = 120000, seed = 7 }, serving { etag = '"a"' })
    local file = assert(get())
    assert.equal(whole, file.sha256)
    assert.equal(0, file.resumed)
    assert.equal(2, server:count "/f")
  end)

  it("starts again where the server does not do ranges, or its validator is weak", function()
    server:script("/f", serving { etag = '"a"', cut = 120000, seed = 7 },
      serving { etag = '"a"', ranges = false })
    assert.equal(whole, assert(get()).sha256)
    server:script("/f", serving { etag = 'W/"a"', cut = 120000 }, serving { etag = 'W/"a"' })
    assert.equal(whole, assert(get()).sha256)
    assert.is_nil(server:seen("/f")[4].headers.range)
  end)

  it("never joins a part that is another one", function()
    server:script("/f", serving { etag = '"a"', cut = 120000 },
      { status = 206, headers = { ETag = '"a"', ["Content-Range"] = "bytes 119999-199999/200000" },
        body = { zeros = 80001 } }, serving { etag = '"a"' })
    local file = assert(get())
    assert.equal(whole, file.sha256)
    assert.equal("restart", file.attempts[2].why)
    server:script("/f", serving { etag = '"a"', cut = 120000 }, { status = 416 },
      serving { etag = '"a"' })
    assert.equal(whole, assert(get()).sha256)
  end)

  it("is taken over by the next one", function()
    server:script("/f", serving { etag = '"a"', cut = 120000 }, serving { etag = '"a"' })
    local file, err = get { attempts = 1 }
    assert.is_nil(file)
    assert.equal("incomplete", err.code)
    assert.is_true(exists(path .. ".part"))
    assert.is_nil(content())
    for line in io.lines(path .. ".part.meta") do assert.is_nil(line:find("secret", 1, true)) end
    file = assert(get { sha256 = whole:upper() })
    assert.equal(120000, file.resumed)
    assert.equal(whole, file.sha256)
    alone()
  end)

  it("is not taken over where nobody wants that", function()
    server:script("/f", serving { etag = '"a"', cut = 120000 }, serving { etag = '"a"' })
    assert.is_nil(get { attempts = 1, resume = false })
    alone()
    server:script("/f", serving { etag = '"a"', cut = 120000 }, serving { etag = '"a"' })
    assert.is_nil(get { attempts = 1 })
    assert.equal(0, assert(get { resume = false }).resumed)
  end)

  it("of a process that was killed is taken over", function()
    server:script("/f", serving { etag = '"a"', pause = 0.02 }, serving { etag = '"a"' })
    local code = clients.run(([[
      local api = require "garner".client { base_url = %q }
      api:download(%q, %q, { on_progress = function() os.execute "kill -9 $PPID" end })
      os.exit(1)]]):format(server.url, server.url .. "/f?sig=other", path))
    assert.equal(137, code)
    assert.is_nil(content())
    local file = assert(get())
    assert.is_true(file.resumed > 0)
    assert.equal(whole, file.sha256)
  end)

  it("that is killed after the file changed leaves no mark of the old one", function()
    server:script("/f", serving { etag = '"a"', cut = 120000 },
      serving { seed = 7, pause = 0.02 }, serving { etag = '"a"' })
    assert.is_nil(get { attempts = 1 })
    local code = clients.run(([[
      require "garner".client { base_url = %q }:download(%q, %q, { on_progress = function(at)
        if at.bytes > 0 and at.bytes < 120000 then os.execute "kill -9 $PPID" end
      end })]]):format(server.url, server.url .. "/f?sig=other", path))
    assert.equal(137, code)
    assert.equal(2, server:count "/f")
    assert.equal(whole, assert(get()).sha256)
  end)

  it("does not take over the part of another file", function()
    server:script("/g", serving { etag = '"a"', cut = 120000, seed = 7 })
    server:script("/f", serving { etag = '"a"' })
    assert.is_nil(api:download(server.url .. "/g", path, { attempts = 1 }))
    local file = assert(get())
    assert.equal(0, file.resumed)
    assert.equal(whole, file.sha256)
  end)

  it("of a script that was interrupted is taken over", function()
    server:script("/f", serving { etag = '"a"', pause = 0.2 }, serving { etag = '"a"' })
    local code, output = clients.run(([[
      local garner, told = require "garner", false
      garner.main(function()
        return garner.client { base_url = %q }:download(%q, %q, { on_progress = function(at)
          if told or at.bytes == 0 then return end
          told = true
          os.execute("(sleep 0.1; kill -INT " .. require "garner.core".pid()
            .. ") >/dev/null 2>&1 &")
        end })
      end)]]):format(server.url, server.url .. "/f?sig=other", path), "timeout 60")
    assert.equal(130, code, output)
    assert.is_nil(content())
    assert.is_true(exists(path .. ".part"))
    local file = assert(get())
    assert.is_true(file.resumed > 0)
    assert.equal(whole, file.sha256)
    alone()
  end)

  it("that is killed at any moment leaves no torn file", function()
    local function put_old()
      local file = assert(io.open(path, "wb"))
      file:write "old"
      file:close()
    end
    local shim = os.tmpname()
    assert(os.execute("LD_PRELOAD= gcc -shared -fPIC -o " .. shim .. " spec/faults/killer.c"))
    server:script("/f", serving { etag = '"a"', pause = 0.001, piece = 20000 })
    put_old()
    local old, kills, resumed, code = content(), 0, 0, nil
    for at = 1, 200 do
      code = clients.run(([[
        local api = require "garner".client { base_url = %q }
        assert(api:download(%q, %q, { sha256 = %q }))]]):format(server.url,
        server.url .. "/f?sig=secret", path, whole),
        ('KILL_PATH=%s KILL_AT=%d LD_PRELOAD="$LD_PRELOAD %s"'):format(path, at, shim))
      if code == 0 then break end
      kills = kills + 1
      assert.equal(137, code)
      local there = content()
      assert.is_true(there == old or #there == 200000, at .. ": " .. #there)
      local file = assert(get())
      assert.equal(whole, file.sha256)
      resumed = resumed + (file.resumed > 0 and 1 or 0)
      alone()
      put_old()
    end
    os.remove(shim)
    assert.equal(0, code)
    assert.is_true(kills > 10, kills)
    assert.is_true(resumed > 5, resumed)
  end)

  it("that another one is writing is refused", function()
    server:script("/f", serving { etag = '"a"', pause = 0.01 })
    local garner = require "garner"
    local results = garner.all { function() return get() end, function() return get() end }
    local good, bad = results[1], results[2]
    if good[1] == nil then good, bad = bad, good end
    assert.equal(whole, good[1].sha256)
    assert.equal("locked", bad[2].code)
    assert.is_true(bad[2].retryable)
  end)

  it("with a wrong checksum is no download", function()
    server:script("/f", serving {})
    local file, err = get { sha256 = ("0"):rep(64) }
    assert.is_nil(file)
    assert.equal("protocol", err.kind)
    assert.equal("checksum", err.code)
    assert.equal(2, server:count "/f") -- the same bytes twice: that was no accident
    assert.is_nil(content())
    alone()
    server:script("/f", serving { more = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n" },
      serving {})
    assert.equal(whole, assert(get()).sha256)
  end)

  it("of a length that nobody told is not verified", function()
    server:script("/f", { body = "a,b\n", length = false })
    local file = assert(get())
    assert.is_false(file.verified)
    assert.equal("a,b\n", content())
    server:script("/f", { body = "a,b\n", length = false,
      headers = { "Repr-Digest: md5=:9p9bcrx5qS3HDGPJqhQuNg==:" } })
    assert.is_true(assert(get()).verified)
    server:script("/f", { body = "a,b\n", chunked = true })
    assert.is_true(assert(get()).verified)
  end)

  it("that comes packed all the same is unpacked, and its end checked", function()
    server:script("/f", { body = "a,b\n1,2\n", gzip = true })
    assert.equal(8, assert(get()).size)
    assert.equal("a,b\n1,2\n", content())
    server:script("/f", { body = "a,b\n1,2\n", gzip = true, cut = 15, length = 15 })
    local file, err = get { attempts = 2 }
    assert.is_nil(file)
    assert.equal("incomplete", err.code)
    assert.equal(3, server:count "/f")
    server:script("/f", { body = "x", headers = { "Content-Encoding: br" } })
    file, err = get()
    assert.is_nil(file)
    assert.equal("encoding", err.code)
    alone()
  end)

  it("tells how far it is", function()
    server:script("/f", serving { pause = 0.02 })
    local told = {}
    assert(get { on_progress = function(p)
      told[#told + 1] = { p.bytes, p.bytes_total, tostring(p) }
    end })
    assert.is_true(#told >= 2)
    assert.equal(200000, told[1][2])
    assert.is_true(told[#told][1] > told[1][1])
    assert.truthy(told[1][3]:find("kB of 200.0 kB", 1, true), told[1][3])
    local ok, why = pcall(get, { on_progress = function() error("stop", 0) end })
    assert.is_false(ok)
    assert.equal("stop", why)
    assert.equal(whole, assert(get { resume = false }).sha256)
  end)

  it("refuses options that mean nothing", function()
    for _, options in ipairs { { sha256 = "abc" }, { sha256 = ("g"):rep(64) }, { resume = 1 },
      { progress = "yes" }, { overwrite = true } } do
      assert.has_error(function() get(options) end)
    end
  end)
end)
