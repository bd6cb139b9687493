-- CSV as servers write it: quotes, line ends, chunk borders, damage, limits.

local csv = require "garner.csv"
local errors = require "garner.errors"

local function lists(text, options)
  options = options or {}
  options.header = options.header or false
  return csv.collect({ text = text }, options)
end

-- A source that gives `text` in pieces of `size` bytes.
local function pieces(text, size)
  local at = 1
  return function()
    if at > #text then return nil end
    local piece = text:sub(at, at + size - 1)
    at = at + size
    return piece
  end
end

local function write_file(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- Runs `fn` and returns how many files io.open gave and how many are still open.
local function watch_files(fn)
  local open, files = io.open, {}
  io.open = function(...) -- luacheck: ignore 122
    local file, message, number = open(...)
    if file then files[#files + 1] = file end
    return file, message, number
  end
  local ok, message = pcall(fn)
  io.open = open -- luacheck: ignore 122
  local left = 0
  for _, file in ipairs(files) do
    if io.type(file) == "file" then left = left + 1 end
  end
  assert(ok, message)
  return #files, left
end

describe("csv", function()
  it("reads rows as tables keyed by column", function()
    local rows, lines = {}, {}
    for row, line in csv.rows { text = "event,city\nview,Taipei\r\nbuy,\"New \"\"York\"\"\"\n" } do
      rows[#rows + 1], lines[#lines + 1] = row, line
    end
    assert.same({ { event = "view", city = "Taipei" }, { event = "buy", city = 'New "York"' } },
      rows)
    assert.same({ 2, 3 }, lines)
  end)

  it("reads rows as lists, and with names of one's own", function()
    assert.same({ { "a", "b" }, { "1", "" } }, lists "a,b\n1,\n")
    assert.same({ { x = "1", y = "2" } }, csv.collect({ text = "1,2" }, { header = { "x", "y" } }))
    assert.same({ { "a", "b,c" } }, lists("a\tb,c", { delimiter = "\t" }))
    assert.same({ { "a", "b" } }, lists("a^b", { delimiter = "^" }))
    assert.same({ { "a", "b" } }, lists("a]b", { delimiter = "]" }))
    assert.same({ { "a", "b" } }, lists("axb", { delimiter = "x" }))
  end)

  it("knows every way a file ends", function()
    local want = { { "a", "b" } }
    for _, text in ipairs { "a,b", "a,b\n", "a,b\r\n", "a,b\r", "a,b\n\n", "a,b\r\n\r\n", "\na,b",
      '"a","b"', '"a","b"\r\n', "\239\187\191a,b", '\239\187\191"a",b\n' } do
      assert.same(want, lists(text), text)
    end
    assert.same({}, lists "")
    assert.same({}, lists "\n")
    assert.same({}, lists "\239\187\191")
    assert.same({}, csv.collect { text = "a,b\n" })
    assert.same({ { "a", "" } }, lists "a,")
    assert.same({ { "", "" } }, lists ",")
    assert.same({ { "" } }, lists '""')
    assert.same({ { "a\rb", "c" } }, lists "a\rb,c")
    assert.same({ { "a\0b", "\0" } }, lists "a\0b,\0")
  end)

  it("reads the same whatever the chunks", function()
    local text = '\239\187\191id,"na\r\nme","q""q"\r\n1,"two\n""lines""\n","",\r\n'
      .. '"","a,b",\r\n\r\n"x""","\r\n",z'
    local want = { { "id", "na\r\nme", 'q"q', nil }, { "1", 'two\n"lines"\n', "", "" },
      { "", "a,b", "" }, { 'x"', "\r\n", "z" } }
    local line_numbers
    for size = 1, #text do
      local rows, lines = {}, {}
      for row, line in csv.rows(pieces(text, size), { header = false, ragged = true }) do
        rows[#rows + 1], lines[#lines + 1] = row, line
      end
      assert.same(want, rows, "chunks of " .. size)
      line_numbers = line_numbers or lines
      assert.same(line_numbers, lines)
    end
    assert.same({ 1, 3, 6, 8 }, line_numbers)
    local empty = { "a,", "", "", "b\n", "" }
    local at = 0
    assert.same({ { "a", "b" } }, csv.collect(function() at = at + 1 return empty[at] end,
      { header = false }))
  end)

  it("reads back what it was written from", function()
    local seed = 4711
    local function random(n) seed = seed * 16807 % 2147483647 return seed % n end
    local alphabet = { "a", '"', ",", "\n", "\r", "\r\n", "é", " ", "", "longer text" }
    for _ = 1, 300 do
      local width, records, text = 1 + random(4), {}, {}
      local line_end = random(2) == 0 and "\n" or "\r\n"
      for r = 1, 1 + random(6) do
        local record, quoted = {}, {}
        for c = 1, width do
          local field = ""
          for _ = 1, random(6) do field = field .. alphabet[1 + random(#alphabet)] end
          record[c] = field
          local bare = not field:find('[",\r\n]') and (width > 1 or field ~= "")
          quoted[c] = bare and random(2) == 0 and field or '"' .. field:gsub('"', '""') .. '"'
        end
        records[r], text[r] = record, table.concat(quoted, ",")
      end
      local whole = table.concat(text, line_end) .. (random(2) == 0 and line_end or "")
      assert.same(records, csv.collect(pieces(whole, 1 + random(40)), { header = false }), whole)
    end
  end)

  it("gives every column a name of its own", function()
    local rows = csv.rows { text = "a,a,,a_2,a,b,\n1,2,3,4,5,6,7" }
    assert.same({ a = "1", a_3 = "2", column_3 = "3", a_2 = "4", a_4 = "5", b = "6",
      column_7 = "7" }, rows())
    assert.same({ "a", "a_3", "column_3", "a_2", "a_4", "b", "column_7" }, rows.columns)
    assert.equal(2, rows.line)
    assert.is_nil((rows()))
    local names = {}
    for i = 1, 20000 do names[i] = "x" end
    local started = os.clock()
    assert.same({}, csv.collect { text = table.concat(names, ",") })
    assert.is_true(os.clock() - started < 2)
  end)

  it("refuses rows of another width, unless they may be ragged", function()
    local rows, err, partial = csv.collect { text = "a,b\n1,2\n\n\"3\n\",4,5\n6,7" }
    assert.is_nil(rows)
    assert.is_true(errors.is(err, "protocol"))
    assert.equal("csv", err.code)
    assert.equal(4, err.line)
    assert.truthy(tostring(err):find("line 4: 3 fields where the header has 2", 1, true))
    assert.same({ { a = "1", b = "2" } }, partial)
    assert.same({ { a = "1" }, { a = "1", b = "2", [3] = "3" } },
      csv.collect({ text = "a,b\n1\n1,2,3" }, { ragged = true }))
    rows, err = lists "a,b\nc"
    assert.is_nil(rows)
    assert.truthy(err.message:find("the first row has 2", 1, true))
  end)

  it("refuses malformed text with its line", function()
    local bad = { { 'a,b\n1,"2', 2, "never ends" }, { 'a,b\n1,"2"3\n', 2, "closing quote" },
      { 'a,b\n1,"2" \n', 2, "closing quote" }, { 'a,b\n\n1,2"2\n', 3, "not quoted" },
      { 'a,b\n"1\n2","3"""4', 2, "closing quote" }, { 'a,b\n1,"2"\r3', 2, "closing quote" },
      { '"', 1, "never ends" }, { "\255\254a\0", 1, "UTF-16" } }
    for _, case in ipairs(bad) do
      for _, size in ipairs { 1, 2, 3, 1000 } do
        local n, err = csv.each(pieces(case[1], size), function() end)
        assert.is_nil(n, case[1])
        assert.equal("protocol", err.kind)
        assert.equal(case[2], err.line, case[1])
        assert.truthy(err.message:find(case[3], 1, true), err.message)
      end
    end
    assert.same({ { 'a"b"', "c" } }, lists('a"b",c', { lazy_quotes = true }))
  end)

  it("refuses lone carriage returns as line ends, of which it would make one header", function()
    local rows, err = csv.collect { text = "a,b\r1,2\r3,4\r" }
    assert.is_nil(rows)
    assert.equal("csv", err.code)
    assert.truthy(err.message:find("lone carriage returns", 1, true), err.message)
    assert.same({}, csv.collect { text = "a,b\r\n" })
    assert.same({ { ["a\rb"] = "1" } }, csv.collect { text = '"a\rb"\n1\n' })
  end)

  it("raises where a loop would otherwise just end", function()
    local seen = 0
    local ok, err = pcall(function()
      for _ in csv.rows { text = "a,b\n1,2\n3\n" } do seen = seen + 1 end
    end)
    assert.is_false(ok)
    assert.is_true(errors.is(err, "protocol"))
    assert.equal(1, seen)
  end)

  it("has limits for fields and rows, and needs no more memory than a row", function()
    local function endless(piece)
      return function() return piece end
    end
    local n, err = csv.each(endless(("x"):rep(65536)), function() end)
    assert.is_nil(n)
    assert.equal("too_large", err.kind)
    assert.truthy(err.message:find("max_field", 1, true))
    n, err = csv.each(endless '"x', function() end, { max_field = 100 })
    assert.is_nil(n)
    assert.equal("protocol", err.kind)
    for _, piece in ipairs { '""', "\r", '"""', "x,", ",", '"\n",' } do
      n, err = csv.each(endless(piece), function() end,
        { max_field = 10000, max_row = 20000, lazy_quotes = true })
      assert.is_nil(n)
      assert.truthy(err, piece)
    end
    for _, tail in ipairs { "", "\n", "\r\n" } do
      assert.same({ { "12345" } }, lists("12345" .. tail, { max_field = 5 }))
      n, err = lists("123456" .. tail, { max_field = 5 })
      assert.is_nil(n)
      assert.equal("too_large", err.kind)
      assert.equal(3, #lists(",," .. tail, { max_row = 50 })[1])
      n, err = lists(",,," .. tail, { max_row = 50 })
      assert.is_nil(n)
      assert.equal("too_large", err.kind)
    end
    collectgarbage()
    local before, rows, highest = collectgarbage "count", 0, 0
    local chunk = ("some,text,here\n"):rep(4000)
    local count = assert(csv.each((function()
      local left = 20
      return function()
        left = left - 1
        return left >= 0 and chunk or nil
      end
    end)(), function()
      rows = rows + 1
      if rows % 20000 == 0 then
        collectgarbage()
        highest = math.max(highest, collectgarbage "count" - before)
      end
    end, { header = false }))
    assert.equal(80000, count)
    assert.is_true(highest < 1024, highest .. " KiB")
  end)

  it("passes the errors of its source on", function()
    local pending = { "a,b\n1,2\n3" }
    local function broken() return table.remove(pending), "the wire is cut" end
    local seen = 0
    local n, err = csv.each(broken, function() seen = seen + 1 end)
    assert.is_nil(n)
    assert.equal(1, seen)
    assert.is_true(errors.is(err, "file"))
    assert.truthy(err.message:find("the wire is cut", 1, true))
    local own = errors.new { kind = "transport", message = "reset" }
    n, err = csv.each(function() return nil, own end, function() end)
    assert.is_nil(n)
    assert.equal(own, err)
  end)

  it("closes the files that it opened", function()
    local path = write_file "a,b\n1,2\n3,4\n"
    local opened, left = watch_files(function()
      assert.equal(2, csv.each({ file = path }, function() end))
      assert.equal(2, #csv.collect { file = path })
      local rows = csv.rows { file = path }
      assert.equal("1", rows().a)
      rows:close()
      rows:close()
      assert.is_nil((rows()))
      csv.rows { file = path }:close()
    end)
    assert.equal(3, opened)
    assert.equal(0, left)
    os.remove(path)
  end)

  it("closes them on an error, but leaves the caller's own open", function()
    local path = write_file "a,b\n1,2\n3\n"
    local opened, left = watch_files(function()
      assert.is_nil((csv.collect { file = path }))
      assert.is_false(pcall(function()
        for _ in csv.rows { file = path } do end -- luacheck: ignore 542
      end))
    end)
    assert.equal(2, opened)
    assert.equal(0, left)
    local file = assert(io.open(path, "rb"))
    assert.is_nil((csv.collect { file = file }))
    assert.equal("file", io.type(file))
    file:close()
    os.remove(path)
  end)

  it("says what is wrong with a file", function()
    local rows, err = csv.collect { file = "/nonexistent/report.csv" }
    assert.is_nil(rows)
    assert.is_true(errors.is(err, "file"))
    assert.equal("ENOENT", err.code)
    assert.truthy(err.message:find("/nonexistent/report.csv", 1, true))
    local it = csv.rows { file = "/nonexistent/report.csv" }
    local ok, raised = pcall(it)
    assert.is_false(ok)
    assert.is_true(errors.is(raised, "file"))
    rows, err = csv.collect { file = "/" }
    assert.is_nil(rows)
    assert.equal("file", err.kind)
  end)

  it("raises for wrong arguments at the caller's line", function()
    local bad = { { "a,b" }, { {} }, { { text = 5 } }, { { text = "a", file = "b" } },
      { { text = "" }, { delimiter = ",," } }, { { text = "" }, { delimiter = '"' } },
      { { text = "" }, { delimiter = "\n" } }, { { text = "" }, { header = "a" } },
      { { text = "" }, { max_field = 0 } }, { { text = "" }, { max_row = 0 / 0 } },
      { { text = "" }, { heder = true } }, { { text = "" }, 5 } }
    for i, case in ipairs(bad) do
      local ok, message = pcall(function()
        local rows = csv.rows(case[1], case[2])
        return rows
      end)
      assert.is_false(ok, "number " .. i)
      assert.truthy(tostring(message):find("csv_spec.lua:%d+: csv: "), tostring(message))
    end
    assert.is_false(pcall(csv.each, { text = "" }))
    assert.is_false(pcall(csv.collect, function() return 5 end))
  end)
end)
