-- Rows of files: JSON Lines, JSON lists, CSV, gzip of each, told by the first bytes; whatever the
-- chunks, however damaged, in constant memory.
local garner = require "garner"
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"

-- A function that gives `size` bytes of the text at a time, as sources may.
local function pieces(text, size)
  local at = 1
  return function()
    if at > #text then return nil end
    at = at + size
    return text:sub(at - size, at - 1)
  end
end

local function xor(a, b) -- of 32 bits, on every Lua
  local out, bit = 0, 1
  for _ = 1, 32 do
    if a % 2 ~= b % 2 then out = out + bit end
    a, b, bit = math.floor(a / 2), math.floor(b / 2), bit * 2
  end
  return out
end

local crc_table = {}
for i = 0, 255 do
  local v = i
  for _ = 1, 8 do
    v = v % 2 == 1 and xor(math.floor(v / 2), 0xEDB88320) or math.floor(v / 2)
  end
  crc_table[i] = v
end

-- gzip of stored blocks: no compressor is needed for it.
local function gzip(text)
  local crc = 0xFFFFFFFF
  for i = 1, #text do
    crc = xor(math.floor(crc / 256), crc_table[xor(crc % 256, text:byte(i))])
  end
  crc = 0xFFFFFFFF - crc
  local function little(n, bytes)
    local out = {}
    for i = 1, bytes do
      out[i], n = string.char(n % 256), math.floor(n / 256)
    end
    return table.concat(out)
  end
  assert(#text < 65536)
  return "\31\139\8" .. ("\0"):rep(6) .. "\3" .. "\1" .. little(#text, 2)
    .. little(65535 - #text, 2) .. text .. little(crc, 4) .. little(#text, 4)
end

local function all(source)
  local rows = garner.rows(source)
  local list = {}
  while true do
    local row, err = rows:step()
    if not row then return list, err, rows end
    list[#list + 1] = row
  end
end

local CSV = "event,note\r\nview,\"a, \"\"b\"\"\nc\"\r\ncart,ü\r\n"
local LINES = '{"event":"view","note":"a, \\"b\\"\\nc"}\n\n{"event":"cart","note":"\\u00fc"}'
local LIST = '\n[ {"event":"view","note":"a, \\"b\\"\\nc"} ,\r\n'
  .. '{"event":"cart","note":"\195\188"}]\n'
local WANT = { { event = "view", note = "a, \"b\"\nc" }, { event = "cart", note = "ü" } }

describe("garner.rows", function()
  it("reads CSV, JSON Lines and a JSON list, packed or not, in chunks of any size", function()
    for format, text in pairs { csv = CSV, jsonl = LINES, json = LIST } do
      for _, whole in ipairs { text, "\239\187\191" .. text, gzip(text),
        gzip("\239\187\191" .. text), gzip("") .. gzip(text:sub(1, 9)) .. gzip(text:sub(10)) } do
        for _, size in ipairs { 1, 2, 3, 7, 1000 } do
          local list, err, rows = all { read = pieces(whole, size) }
          assert.is_nil(err)
          assert.equal(format, rows.format)
          assert.same(WANT, list)
          assert.same(format == "csv" and { "event", "note" } or nil, rows.columns)
        end
      end
    end
  end)

  it("takes a path, an open file and text, and closes what it should", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(gzip(CSV))
    file:close()
    assert.same(WANT, (all(path)))
    assert.same(WANT, (all { path = path }))
    assert.same(WANT, (all { text = CSV }))
    file = assert(io.open(path, "rb"))
    assert.same(WANT, (all { file = file }))
    assert.equal("file", io.type(file))
    file:seek("set", 0)
    assert.same(WANT, (all { file = file, close = true }))
    assert.equal("closed file", io.type(file))
    file = assert(io.open(path, "rb"))
    local rows = garner.rows { file = file, close = true }
    assert.equal("view", rows().event)
    rows:close()
    rows:close()
    assert.is_nil(rows())
    assert.equal("closed file", io.type(file))
    os.remove(path)
    local list, err = all(path)
    assert.same({}, list)
    assert.equal("ENOENT", err.code)
  end)

  it("is an iterator that raises, with lines", function()
    local seen = {}
    for row, line in garner.rows { text = LINES } do seen[#seen + 1] = row.event .. line end
    assert.same({ "view1", "cart3" }, seen)
    local ok, err = pcall(function()
      for _ in garner.rows { text = '{"a":1}\n{"a":' } do seen[1] = true end
    end)
    assert.is_false(ok)
    assert.equal("json", err.code)
    assert.equal(2, err.line)
  end)

  it("does not take for rows what is none, nor a part for the whole", function()
    for text, code in pairs {
      ["<html>no</html>"] = "html", ["[1]"] = "json", ["[[]]"] = "json", ["[null]"] = "json",
      ["[{}"] = "json", ["[{},"] = "json", ["[{},]"] = "json", ["[{}]x"] = "json",
      ["[{} {}]"] = "json", ["[{}}"] = "json", ["[{]"] = "json", ['[{"a":"]'] = "json",
      ["["] = "json", ['{"a":1}\n[1]'] = "json", ['{"a":1}\nnull'] = "json",
      ['{"a":1} {"b":2}'] = "json", ["{\n}"] = "json", ["a,b\n1"] = "csv", ["a\n\"x"] = "csv",
      ["\255\254a"] = "csv", [gzip(CSV):sub(1, -2)] = "incomplete",
      [gzip(CSV):sub(1, 40)] = "incomplete",
      [gzip(CSV) .. "x"] = "encoding", [gzip(CSV):gsub("....$", "abcd") .. ""] = "encoding",
    } do
      for _, size in ipairs { 1, 5, 1000 } do
        local _, err = all { read = pieces(text, size) }
        assert(err, text)
        assert.equal(code, err.code, text)
      end
    end
  end)

  it("reads what has no rows", function()
    for _, text in ipairs { "", "\239\187\191", "\n\n", "[]", " [ ] ", "a,b\n", gzip "",
      gzip "[]" } do
      local list, err = all { read = pieces(text, 1) }
      assert.is_nil(err)
      assert.same({}, list)
    end
  end)

  it("passes on what a source says", function()
    for _, begin in ipairs { "", "a\n", '{"a":1}\n', '[{"a":1},' } do
      local given
      local _, err = all { read = function()
        if given then return nil, "no more" end
        given = true
        return begin ~= "" and begin or nil, begin == "" and "no more" or nil
      end }
      assert.equal("file", err and err.kind, begin)
    end
  end)

  it("can be told the format", function()
    assert.same({ { ["[a"] = "x" } }, (all { text = "[a\nx\n", format = "csv" }))
    assert.same({ { "a", "b" } }, (all { text = "a;b", csv = { delimiter = ";", header = false } }))
    for _, bad in ipairs { { text = "", format = "xml" }, {}, { text = "", path = "x" },
      { read = 1 }, { text = "", rows = 1 } } do
      local message = clients.raised(function() garner.rows(bad) end)
      assert.truthy(tostring(message):find "garner.rows", message)
    end
  end)

  it("holds one row, not the file", function()
    local row = '{"n":' .. ("1"):rep(1000) .. "}"
    for begin, rest in pairs { [""] = row .. "\n", ["["] = row .. ",",
      ["n\n"] = row:sub(6, -2) .. "\n" } do
      local left, head = 6000, true
      collectgarbage()
      local before, most = collectgarbage "count", 0
      local rows = garner.rows { read = function()
        left = left - 1
        if head then
          head = false
          return begin .. rest
        end
        if left == 0 then return begin == "[" and row .. "]" or nil end
        return left > 0 and rest or nil
      end }
      local count = 0
      for _ in rows do
        count = count + 1
        if count % 2000 == 0 then
          collectgarbage()
          most = math.max(most, collectgarbage "count" - before)
        end
      end
      assert.is_true(count >= 5999)
      assert.is_true(most < 1000, most .. " KB of 6 MB")
    end
  end)
end)

describe("garner.jsonl", function()
  it("gives any value, and the line of what is none", function()
    local values = assert(garner.jsonl.collect { text = '1\n"a"\r\n\n[true]\n' })
    assert.equal(1, values[1])
    assert.equal("a", values[2])
    assert.same({ true }, values[3])
    local none, err, partial = garner.jsonl.collect { text = "1\n2\n\nx\n3" }
    assert.is_nil(none)
    assert.equal(4, err.line)
    assert.truthy(err.message:find("line 4", 1, true))
    assert.same({ 1, 2 }, partial)
    local lines = {}
    assert.equal(2, garner.jsonl.each({ text = "5\n\n6" }, function(_, line)
      lines[#lines + 1] = line
    end))
    assert.same({ 1, 3 }, lines)
  end)

  it("has a limit for a line", function()
    assert.equal(1, #assert(garner.jsonl.collect({ text = "[123]\n" }, { max_line = 5 })))
    local none, err = garner.jsonl.collect({ text = "1\n[1234]\n" }, { max_line = 5 })
    assert.is_nil(none)
    assert.equal("too_large", err.kind)
    assert.equal(2, err.line)
    assert.has_error(function() garner.jsonl.rows({ text = "" }, { limit = 5 }) end)
    assert.has_error(function() garner.jsonl.rows(5) end)
    assert.has_error(function() garner.jsonl.each({ text = "1" }) end)
  end)
end)

describe("a report's rows", function()
  it("are read from a file that nobody sees", function()
    local server = faults.start()
    local api = clients.client { base_url = server.url, retry = false }
    server:script("/f", { body = CSV })
    local report = require("garner.report").new { id = "r", state = "done", status = "done",
      uri = server.url .. "/f", client = api }
    local seen = {}
    for row in report:rows() do seen[#seen + 1] = row end
    assert.same(WANT, seen)
    server:script("/f", { status = 404 })
    local rows, err = report:rows()
    assert.is_nil(rows)
    assert.equal("not_found", err.kind)
    report.state = "running"
    rows, err = report:rows()
    assert.is_nil(rows)
    assert.equal("not_ready", err.kind)
    clients.close_all()
    server:stop()
  end)
end)
