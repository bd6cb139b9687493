-- Owns: page walks of every kind: where the next page is named and how it is asked for, circles,
-- repeated pages, limits, going on after an error and in another process.
-- Must not: repeat what pages_spec.lua checks of iterating.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local garner = require "garner"

local here, raised = clients.here, clients.raised
local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

-- A list of `total` items, `size` a page, in one of the faults server's scripts.
local LIST = [[
  local c, request = ...
  local total, size, cap = %d, %d, %d
  local function arg(name) return tonumber((request.target:match("[?&]" .. name .. "=(%%d+)"))) end
  local limit = math.min(arg "limit" or size, cap)
  local from = arg "offset" or ((arg "page" or 1) - 1) * limit
  local out = {}
  for i = from + 1, math.min(from + limit, total) do out[#out + 1] = ('{"id":%%d}'):format(i) end
  local body = ('{"things":[%%s],"has_more":%%s}'):format(table.concat(out, ","),
    tostring(from + limit < total))
  c:send(("HTTP/1.1 200 OK\r\nContent-Length: %%d\r\n\r\n%%s"):format(#body, body))
  return "next"
]]

local function ids(items)
  local out = {}
  for i, item in ipairs(items) do
    out[i] = item.id
  end
  return table.concat(out, ",")
end

describe("a walk", function()
  local s, api

  before_each(function()
    s = faults.start()
    api = clients.client { base_url = s.url, retry = { backoff = 0.01 }, token = "s3cr3t-token" }
  end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function walk(path, next_rule, more)
    local opts = { items = "things", next = next_rule }
    for name, value in pairs(more or {}) do
      opts[name] = value
    end
    return (api:pages(path, opts))
  end

  local function list(total, size, cap)
    s:script("/list", { { run = LIST:format(total, size, cap or 1000) } })
  end

  local function page(text, more)
    local answer = { body = ('{"things":[{"id":%s}]%s}'):format(text, more or "") }
    return answer
  end

  describe("by token", function()
    it("puts it into a JSON body, as the text or number it was", function()
      s:script("/search", page("1", [[,"meta":{"next":"a\"b\\\u0007\u00e9"}]]),
        page("2", ',"meta":{"next":37}'), page("3"))
      local json = { q = "x", paging = { size = 2 } }
      local w = walk("/search", { from = "meta.next", body = "paging.after" },
        { json = json, safe = true })
      assert.equal("1,2,3", ids(assert(w:collect())))
      local seen = s:seen "/search"
      local bodies = {}
      for i, request in ipairs(seen) do
        assert.equal("POST", request.method)
        assert.equal("application/json", request.headers["content-type"])
        bodies[i] = garner.json.decode(request.body)
      end
      assert.same({ q = "x", paging = { size = 2 } }, bodies[1])
      assert.same({ q = "x", paging = { size = 2, after = 'a"b\\\7é' } }, bodies[2])
      assert.same({ q = "x", paging = { size = 2, after = 37 } }, bodies[3])
      assert.is_nil(json.paging.after)
    end)

    it("makes a body for it where there is none", function()
      s:script("/search", page("1", ',"next":"n"'), page("2"))
      assert(walk("/search", { from = "next", body = "cursor" }, { safe = true }):collect())
      assert.equal("{}", s:seen("/search")[1].body)
      assert.equal('{"cursor":"n"}', s:seen("/search")[2].body)
    end)

    it("takes it from a header and puts it into one", function()
      local second = page("2")
      second.headers = { ["X-Next-Page"] = "" }
      local first = page("1")
      first.headers = { ["X-Next-Page"] = "p 2" }
      s:script("/h", first, second)
      local w = walk("/h", { from_header = "x-next-page", header = "X-Page" },
        { headers = { ["X-Other"] = "o" } })
      assert.equal("1,2", ids(assert(w:collect())))
      assert.is_nil(s:seen("/h")[1].headers["x-page"])
      assert.equal("p 2", s:seen("/h")[2].headers["x-page"])
      assert.equal("o", s:seen("/h")[2].headers["x-other"])
    end)

    it("stops where a flag says so, and fails where the flag says more than it does", function()
      s:script("/flag", page("1", ',"next":"a","has_more":true'),
        page("2", ',"next":"b","has_more":false'))
      local rule = { from = "next", query = "t", more = "has_more" }
      assert.equal("1,2", ids(assert(walk("/flag", rule):collect())))
      s:script("/flag", page("1", ',"has_more":true'))
      local items, err, partial = walk("/flag", rule):collect()
      assert.is_nil(items)
      assert.equal("protocol", err.kind)
      assert.equal("1", ids(partial))
      assert.truthy(err.message:find("page 1 says that there are more", 1, true))
    end)
  end)

  describe("by Link header", function()
    it("follows the relation wherever it stands", function()
      local answers = {
        { "<" .. s.url .. '/l?p=9>; rel="last", <' .. s.url .. '/l?p=2>; rel="next"' },
        { '</l?p=1>; rel="prev", <?p=3>; title="a, <x>; rel=next"; rel="first next"' },
        { '</l?p=2>; rel="prev"' },
      }
      for i, answer in ipairs(answers) do
        local one = page(i)
        one.headers = { Link = answer[1] }
        answers[i] = one
      end
      s:script("/l", answers[1], answers[2], answers[3])
      assert.equal("1,2,3", ids(assert(walk("/l", { link_header = true }):collect())))
      assert.equal("p=3", s:seen("/l")[3].query)
      s:script("/l", answers[1], answers[3])
      assert.equal("1,3", ids(assert(walk("/l", { link_header = "last" }):collect())))
    end)

    it("shows no credential to another origin", function()
      local away = s:origin()
      local first = page("1")
      first.headers = { Link = "<" .. away .. '/away>; rel="next"' }
      s:script("/l", first)
      s:script("/away", page("2"))
      walk("/l", { link_header = true }):collect()
      assert.equal("Bearer s3cr3t-token", s:seen("/l")[1].headers.authorization)
      for _, request in ipairs(s:seen "/away") do
        assert.is_nil(request.headers.authorization)
      end
    end)
  end)

  describe("by number or offset", function()
    it("counts items, and ends with a short page where pages are full", function()
      list(5, 2)
      assert.equal("1,2,3,4,5", ids(assert(walk("/list", { offset = "offset", size = 2 })
        :collect())))
      assert.equal(3, s:count "/list")
      assert.equal("offset=0", s:seen("/list")[1].query)
      assert.equal("offset=4", s:seen("/list")[3].query)
      list(5, 2)
      assert.equal("1,2,3,4,5", ids(assert(walk("/list", { page = "page", size = 2 }):collect())))
      assert.equal(6, s:count "/list")
    end)

    it("loses nothing where the server gives fewer than it was asked for", function()
      for _, rule in ipairs { { page = "page", size = 100 }, { offset = "offset", size = 100 },
        { offset = "offset" } } do
        list(7, 100, 3)
        local items = assert(walk("/list", rule, { query = { limit = 100 } }):collect())
        assert.equal("1,2,3,4,5,6,7", ids(items))
      end
    end)

    it("asks no further where a flag says that this was the last", function()
      list(4, 2)
      assert.equal("1,2,3,4", ids(assert(walk("/list", { page = "page", more = "has_more" })
        :collect())))
      assert.equal(2, s:count "/list")
      list(4, 2)
      local w = walk("/list", { offset = "offset", size = 2, more = "has_more" })
      assert.is_true(w:next().more)
      assert.is_false(w:next().more)
      assert.is_nil(w:next())
      assert.equal(4, s:count "/list")
    end)

    it("sends the number in the body or a header too", function()
      s:script("/n", page("1"), { body = '{"things":[]}' })
      assert(walk("/n", { page = "p.n", to = "body", first = 0 }, { safe = true }):collect())
      assert.equal('{"p":{"n":0}}', s:seen("/n")[1].body)
      assert.equal('{"p":{"n":1}}', s:seen("/n")[2].body)
      s:script("/n", page("1"), { body = '{"things":[]}' })
      assert(walk("/n", { offset = "X-From", to = "header" }):collect())
      assert.equal("1", s:seen("/n")[4].headers["x-from"])
    end)

    it("fails where the server gives the same page again", function()
      s:script("/same", page("1"))
      local items, err, partial = walk("/same", { page = "page", size = 1 }):collect()
      assert.is_nil(items)
      assert.equal("protocol", err.kind)
      assert.equal("page_repeated", err.code)
      assert.equal("1", ids(partial))
      assert.truthy(err.message:find("page 2 has the very items of page 1", 1, true), err.message)
      assert.equal(2, s:count "/same")
      assert.equal("1", ids(assert(walk("/same", { page = "page", size = 1, repeats = "end" })
        :collect())))
      s:script("/same", page("1"), page("1"), { body = '{"things":[]}' })
      assert.equal("1,1", ids(assert(walk("/same", { page = "page", repeats = "allow" })
        :collect())))
    end)
  end)

  describe("in a circle", function()
    local function circle(...)
      local answers = {}
      for i, token in ipairs { ... } do
        answers[i] = page(i, (',"next":"%s"'):format(token))
      end
      s:script("/c", unpack(answers))
      local w = walk("/c", { from = "next", query = "t" })
      local _, err, partial = w:collect()
      assert.equal("protocol", err.kind)
      assert.equal("page_token", err.code)
      return err, #partial, w
    end

    it("is stopped, with the page numbers", function()
      local err, count, w = circle("A", "A")
      assert.equal(2, count)
      assert.truthy(err.message:find("page 2 leads to page 2, ", 1, true), err.message)
      local sent = s:count "/c"
      local again, same = w:next()
      assert.is_nil(again)
      assert.equal(err, same) -- not silence, and no further request
      assert.equal(sent, s:count "/c")
      err, count = circle("A", "B", "A")
      assert.equal(3, count)
      assert.truthy(err.message:find("page 3 leads to page 2, ", 1, true), err.message)
    end)

    it("of 50 is stopped too", function()
      local tokens = {}
      for i = 1, 50 do
        tokens[i] = "t" .. i
      end
      tokens[51] = "t1"
      local err, count = circle(unpack(tokens))
      assert.equal(51, count)
      assert.truthy(err.message:find("page 51 leads to page 2, ", 1, true), err.message)
    end)
  end)

  describe("that fails in the middle", function()
    local KINDS = {
      token = { { from = "next", query = "t" }, ',"next":"%s"' },
      header = { { from_header = "X-Next", header = "X-Page" } },
      body = { { from = "next", body = "t" }, ',"next":%d', { safe = true } },
      link = { { link = "next" }, ',"next":"/m?p=%d"' },
      ["link header"] = { { link_header = true } },
      page = { { page = "p" } },
      offset = { { offset = "o", size = 1 } },
    }

    local function script(kind, ...)
      local answers = {}
      for i = 1, 4 do
        local nth = kind[2] and i < 4 and kind[2]:format(i + 1) or ""
        answers[i] = page(i, nth)
        answers[i].headers = i < 4 and { ["X-Next"] = "h" .. i + 1,
          Link = ("</m?p=%d>; rel=next"):format(i + 1) } or nil
      end
      table.insert(answers, 3, ...)
      answers[6] = { body = '{"things":[]}' }
      s:script("/m", unpack(answers))
    end

    for name, kind in pairs(KINDS) do
      it("is tried again at the same page, by " .. name, function()
        script(kind, { status = 400, body = '{"message":"not now"}' })
        local w = walk("/m", kind[1], kind[3])
        local _, err, partial = w:collect()
        assert.equal("invalid", err.kind)
        assert.equal("1,2", ids(partial))
        assert.equal(2, err.resume.number)
        assert.equal("3,4", ids(assert(w:collect())))
        assert.is_nil(w:next())
        local seen = s:seen "/m"
        assert.equal(seen[3].target, seen[4].target)
        assert.equal(seen[3].body, seen[4].body)
        assert.equal(seen[3].headers["x-page"], seen[4].headers["x-page"])
        -- The same with another walk, or another process.
        script(kind, { status = 400 })
        w = walk("/m", kind[1], kind[3])
        assert(w:next())
        assert(w:next())
        local text = assert(w:checkpoint())
        _, err = w:next()
        assert.same({ w:checkpoint() }, { text })
        assert.falsy(text:find("s3cr3t", 1, true))
        local rest = assert(api:resume(text))
        assert.equal(2, rest.number)
        local third = assert(rest:next())
        assert.equal(3, third.number)
        assert.equal("3", ids(third.items))
        rest:close()
        assert.is_not_nil(err.resume)
      end)
    end

    it("changes nothing where a page fails once: it is sent again", function()
      script(KINDS.token, { status = 503 })
      assert.equal("1,2,3,4", ids(assert(walk("/m", KINDS.token[1]):collect())))
      script(KINDS.token, { cut = 5, body = '{"things":[]}', after = "reset" })
      assert.equal("1,2,3,4", ids(assert(walk("/m", KINDS.token[1]):collect())))
    end)

    it("does not go on behind a page that is no JSON", function()
      script(KINDS.token, { body = "<html>log in</html>", type = "text/html" })
      local w = walk("/m", KINDS.token[1])
      local _, err, partial = w:collect()
      assert.equal("protocol", err.kind)
      assert.equal("1,2", ids(partial))
      assert.equal("3,4", ids(assert(w:collect())))
    end)
  end)

  describe("with a limit", function()
    it("ends as truncated, again and again, and goes on with a higher one", function()
      list(9, 2)
      local w = walk("/list", { page = "page", size = 2 }, { max_pages = 2 })
      local _, err, partial = w:collect()
      assert.equal("truncated", err.kind)
      assert.equal("max_pages", err.code)
      assert.equal("1,2,3,4", ids(partial))
      assert.same({ number = 2, page = 3 }, err.resume)
      local sent = s:count "/list"
      local _, again = w:next()
      assert.equal("truncated", again.kind)
      assert.equal(sent, s:count "/list")
      _, again = walk("/list", { page = "page", size = 2 }, { max_pages = 2,
        resume = err.resume }):next()
      assert.equal("truncated", again.kind)
      assert.equal(sent, s:count "/list")
      local rest = walk("/list", { page = "page", size = 2 }, { max_pages = 9,
        resume = err.resume })
      assert.equal("5,6,7,8,9", ids(assert(rest:collect())))
      _, err = walk("/list", { page = "page", size = 2 }, { max_bytes = 50 }):collect()
      assert.equal("max_bytes", err.code)
    end)
  end)

  describe("checkpoint", function()
    it("lets another process go on", function()
      list(6, 2)
      local w = walk("/list", { page = "page", size = 2 }, { query = { a = "b" },
        headers = { ["X-A"] = "b" } })
      assert.equal("1,2", ids(w:next().items))
      local text = assert(w:checkpoint())
      assert.falsy(text:find("\n", 1, true))
      assert.equal(api:origin(), garner.json.decode(text).origin)
      local code, output = clients.run(([[
        local api = require "garner".client { base_url = %q, token = "s3cr3t-token" }
        local ids = {}
        for page in require "garner".check(api:resume(%q)) do
          for _, item in ipairs(page.items) do ids[#ids + 1] = item.id end
        end
        io.write(table.concat(ids, ","))
      ]]):format(s.url, text))
      assert.equal("0 3,4,5,6", code .. " " .. output)
      local last = s:seen("/list")[s:count "/list"]
      assert.equal("a=b&page=4", last.query)
      assert.equal("b", last.headers["x-a"])
    end)

    it("knows the beginning and the end", function()
      list(2, 2)
      local w = walk("/list", { offset = "offset", size = 2, more = "has_more" })
      local rest = assert(api:resume(assert(w:checkpoint())))
      assert.equal("1,2", ids(assert(rest:collect())))
      assert.is_nil(assert(api:resume(assert(rest:checkpoint()))):next())
      assert(w:next()) -- the last one, though nobody has asked for one more
      local sent = s:count "/list"
      assert.is_nil(assert(api:resume(assert(w:checkpoint()))):next())
      assert.equal(sent, s:count "/list")
    end)

    it("holds no secret: it is refused", function()
      local function refused(w, what)
        local text, err = w:checkpoint()
        assert.is_nil(text)
        assert.equal("secret", err.code)
        assert.truthy(err.message:find(what, 1, true), err.message)
        assert.falsy(tostring(err):find("s3cr3t", 1, true))
      end
      for _, query in ipairs { "access_token=s3cr3t-other", "key=s3cr3t-other",
        "X-Amz-Signature=s3cr3t-other" } do
        s:script("/signed", page("1", (',"next":"/signed?p=2&%s"'):format(query)), page("2"))
        local w = walk("/signed", { link = "next" })
        assert(w:next())
        refused(w, "link")
        assert.equal("2", ids(w:next().items)) -- this process can go on
      end
      refused(walk("/x", { link = "next" }, { query = { api_key = "s3cr3t-other" } }), "query")
      refused(walk("/x", { link = "next" }, { headers = { ["X-Api-Key"] = "s3cr3t" } }), "header")
      refused(walk("/x", { link = "next" }, { query = { q = "s3cr3t-token" } }), "")
      s:script("/echo", page("1", ',"next":"/echo?q=s3cr3t-token"'))
      local w = walk("/echo", { link = "next" })
      assert(w:next())
      refused(w, "")
    end)

    it("is for its own origin, and checked", function()
      local text = assert(walk("/x", { link = "next" }):checkpoint())
      local other = clients.client { base_url = s:origin() }
      assert.truthy(raised(function() other:resume(text) end):find("origin", 1, true))
      for _, wrong in ipairs { "", "{}", "[]", "nonsense", '{"garner":99,"kind":"pages"}' } do
        local w, err = api:resume(wrong)
        assert.is_nil(w)
        assert.equal("invalid", err.kind)
      end
    end)
  end)

  it("raises for wrong rules at the caller's line", function()
    local line
    for _, call in ipairs {
      function() line = here(); walk("/x", { from = "a", query = "b", body = "c" }) end,
      function() line = here(); walk("/x", { from = "a", from_header = "b", query = "c" }) end,
      function() line = here(); walk("/x", { link = "a", query = "b" }) end,
      function() line = here(); walk("/x", { link_header = false }) end,
      function() line = here(); walk("/x", { link_header = "a b" }) end,
      function() line = here(); walk("/x", { page = "a", query = "b" }) end,
      function() line = here(); walk("/x", { from = "a", query = "b", size = 2 }) end,
      function() line = here(); walk("/x", { from = "a", query = "b", to = "body" }) end,
      function() line = here(); api:pages("/x", { next = { offset = "a", more = "b" } }) end,
      function() line = here(); walk("/x", { from = "a", header = "a b" }) end,
      function() line = here(); walk("/x", { from = "a", body = "b" }) end, -- not safe
      function() line = here(); walk("/x", { from = "a", query = "b" }, { method = "POST" }) end,
      function() line = here(); walk("/x", { from = "a", body = "b" }, { json = "text" }) end,
      function() line = here(); walk("/x", { from = "a", body = "b" }, { body = "text" }) end,
      function() line = here(); walk("/x", { from = "a", body = "b.c" }, { json = { b = 1 },
        safe = true }) end,
      function() line = here(); walk("/x", { from = "a", query = "b" }, { resume = { number = 1,
        page = 2 } }) end,
      function() line = here(); walk("/x", { from = "a", query = "b" },
        { resume = { number = 1 } }) end,
      function() line = here(); walk("/x", { page = "p", repeats = "maybe" }) end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find("spec/walk_spec.lua:", 1, true)), message .. " " .. line)
    end
  end)
end)
