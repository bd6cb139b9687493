local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local TOKEN = { from = "nextPageToken", query = "pageToken" }

describe("client:pages", function()
  local scope, api

  before_each(function()
    scope = sim:scope()
    api = clients.client({ retry = false }, scope)
  end)
  after_each(clients.close_all)

  local function walk(query, more)
    local opts = { items = "things", next = TOKEN, query = query }
    for name, value in pairs(more or {}) do
      opts[name] = value
    end
    return (api:pages("/_http/pages", opts))
  end

  local function ids(items)
    local out = {}
    for i, item in ipairs(items) do
      out[i] = item.id
    end
    return table.concat(out, ",")
  end

  it("walks in a for, in order", function()
    local seen, numbers = {}, {}
    for page in api:pages("/_http/pages", { items = "things", next = TOKEN,
      query = { n = 3, size = 2 } }) do
      seen[#seen + 1] = ids(page.items)
      numbers[#numbers + 1] = page.number
      assert.equal(200, page.status)
      assert.equal(page.number, page:json().page)
    end
    assert.same({ "1,2", "3,4", "5,6" }, seen)
    assert.same({ 1, 2, 3 }, numbers)
    assert.equal(3, scope:count())
  end)

  it("sends nothing before the first page is asked for", function()
    local w = walk { n = 3 }
    assert.equal(0, scope:count())
    assert.equal(1, assert(w:next()).number)
    w:close()
    assert.is_nil(w:next())
    w:close()
  end)

  it("walks with next, each and collect", function()
    local w = walk { n = 2, size = 1 }
    assert.equal(1, w:next().items[1].id)
    assert.equal(2, w:next().items[1].id)
    local page, err = w:next()
    assert.is_nil(page)
    assert.is_nil(err)
    assert.equal(2, w.number)
    local count = 0
    assert.equal(3, walk({ n = 3 }):each(function() count = count + 1 end))
    assert.equal(3, count)
    assert.equal("1,2,3,4,5,6", ids(assert(walk({ n = 3, size = 2 }):collect())))
  end)

  it("stops each at false, and at an error of the function, which reaches the caller", function()
    assert.equal(2, walk({ n = 5 }):each(function(page) return page.number < 2 end))
    local w = walk { n = 5 }
    local ok, err = pcall(w.each, w, function() error({ mine = true }) end)
    assert.is_false(ok)
    assert.is_true(err.mine)
    assert.is_nil(w:next())
    assert(api:get("/_http/echo"))
  end)

  it("follows links, absolute and relative", function()
    for _, kind in ipairs { 1, "relative" } do
      local items = assert(walk({ n = 3, size = 2, link = kind }, { next = { link = "next" } })
        :collect())
      assert.equal("1,2,3,4,5,6", ids(items))
    end
  end)

  it("counts pages itself", function()
    local items = assert(walk({ n = 3, size = 2, numbers = 1 },
      { next = { page = "page", size = 2 } }):collect())
    assert.equal("1,2,3,4,5,6", ids(items))
    assert.equal(4, scope:count()) -- the fourth, empty, is how the end shows
  end)

  it("warns where no page has the list, which may be misspelt", function()
    local seen = {}
    local loud = clients.client({ log = function(_, event, fields)
      seen[#seen + 1] = event .. " " .. tostring(fields.items)
    end }, scope)
    local function all(items, n)
      assert(loud:pages("/_http/pages", { items = items, next = TOKEN, query = { n = n } })
        :collect())
    end
    all("thigns", 1)
    all("things", 2)
    assert.same({}, seen)
    all("thigns", 2)
    assert.same({ "pages.no_items thigns" }, seen)
  end)

  it("gives items as {} where there are none", function()
    local page = assert(walk({ n = 1 }, { items = "nothing" }):next())
    assert.same({}, page.items)
    page = assert((api:pages("/_http/pages", { next = TOKEN, query = { n = 1 } })):next())
    assert.same({}, page.items)
  end)

  it("gives the pages before an error, then the error, with where to go on", function()
    local w = walk { n = 4, size = 2, fail_at = 3 }
    assert.equal("1,2", ids(w:next().items))
    assert.equal("3,4", ids(w:next().items))
    local page, err = w:next()
    assert.is_nil(page)
    assert.equal("server", err.kind)
    assert.equal("page 3 failed", err.message)
    assert.same({ number = 2, token = "page-3" }, err.resume)
    assert.is_nil(w:next())
    local rest = walk({ n = 4, size = 2 }, { resume = err.resume })
    page = assert(rest:next())
    assert.equal(3, page.number)
    assert.equal("5,6", ids(page.items))
    assert.equal("7,8", ids(rest:next().items))
    assert.is_nil(rest:next())
  end)

  it("goes on from a link or a page number too", function()
    for _, kind in ipairs { { { link = 1 }, { link = "next" } },
      { { link = "relative" }, { link = "next" } },
      { { numbers = 1 }, { page = "page", size = 2 } } } do
      local query = { n = 4, size = 2, fail_at = 3 }
      for name, value in pairs(kind[1]) do
        query[name] = value
      end
      local _, err, partial = walk(query, { next = kind[2] }):collect()
      assert.equal("server", err.kind)
      assert.equal("1,2,3,4", ids(partial))
      query.fail_at = nil
      if err.resume.link then
        err.resume.link = err.resume.link:gsub("&?fail_at=3", "")
      end
      local rest = walk(query, { next = kind[2], resume = err.resume })
      assert.equal("5,6,7,8", ids(assert(rest:collect())))
      assert.is_true(rest.number >= 4)
    end
    local w = walk({}, { next = { link = "next" }, resume = { number = 1, link = "ftp://h/x" } })
    local _, err = w:next()
    assert.equal("protocol", err.kind)
  end)

  it("goes on from a link that was relative to its own page", function()
    for path, answer in pairs { ["/_http/list$"] = "deep/two", ["/deep/two$"] = "three" } do
      scope:fault { path = path, status = 200, body = { things = {}, next = answer } }
    end
    local rule = { next = { link = "next" } }
    scope:fault { path = "/deep/three$", status = 500, times = 1 }
    local _, err = api:pages("/_http/list", rule):collect()
    assert.equal("server", err.kind)
    scope:fault { path = "/deep/three$", status = 200, body = { things = {} } }
    local rest = api:pages("/_http/list", { next = rule.next, resume = err.resume })
    assert.truthy(rest:next())
    assert.equal(2, scope:count "/_http/deep/three")
    rule.file = "x"
    assert.has_error(function() api:pages("/_http/list", rule) end)
  end)

  it("gives what came before an error to collect and each", function()
    local items, err, partial = walk({ n = 4, size = 2, fail_at = 3 }):collect()
    assert.is_nil(items)
    assert.equal("server", err.kind)
    assert.equal("1,2,3,4", ids(partial))
    local n, each_err, given = walk({ n = 4, fail_at = 2 }):each(function() end)
    assert.is_nil(n)
    assert.equal("server", each_err.kind)
    assert.equal(1, given)
  end)

  it("raises the error in a for: a loop that just ended would be silent truncation", function()
    local count = 0
    local ok, err = pcall(function()
      for _ in walk { n = 4, fail_at = 3 } do count = count + 1 end
    end)
    assert.is_false(ok)
    assert.equal("server", err.kind)
    assert.equal(2, count)
  end)

  it("ends an endless walk", function()
    local _, err = walk({ n = 3, cycle = 1 }):collect()
    assert.equal("protocol", err.kind)
    _, err = walk({ n = 100000, size = 1 }, { max_pages = 5 }):collect()
    assert.equal("truncated", err.kind)
    local items, too_many, partial = walk({ n = 100, size = 2 }):collect { max_rows = 3 }
    assert.is_nil(items)
    assert.equal("truncated", too_many.kind)
    assert.equal(3, #partial)
    -- The third page's first item is one too many, or the second page's second: lost, if a walk
    -- went on behind that page.
    assert.is_nil(too_many.resume)
    _, too_many, partial = walk({ n = 6, size = 2 }):collect { max_rows = 4 }
    assert.equal(4, #partial)
    local rest = walk({ n = 6, size = 2 }, { resume = too_many.resume }):collect()
    assert.equal(8, #assert(rest))
  end)

  it("never shows a credential to a next link elsewhere", function()
    local own = sim:scope()
    local secret = clients.client { token = own.token, headers = { ["x-bv-org-id"] = "sim-org" } }
    local w = secret:pages("/_http/pages", { items = "things", next = { link = "next" },
      query = { n = 3, size = 2, link = "files" } })
    assert(w:next())
    w:next()
    w:close()
    assert.equal("Bearer " .. own.token, own:requests()[1].headers.authorization)
    assert.same({}, own:leaks())
  end)

  it("goes on with a new token where the old one was refused", function()
    local own, calls = sim:scope(), 0
    local renewing = clients.client({ retry = false, token = function()
      calls = calls + 1
      return "walk-token-" .. calls
    end }, own)
    own:fault { path = "/_http/pages", query = "pageToken=page%-3", status = 401, times = 1 }
    local items = assert(renewing:pages("/_http/pages", { items = "things", next = TOKEN,
      query = { n = 4, size = 2 } }):collect())
    assert.equal("1,2,3,4,5,6,7,8", ids(items))
    assert.equal(2, calls)
    local last
    for _, request in ipairs(own:requests()) do
      last = request.headers.authorization
    end
    assert.equal("Bearer walk-token-2", last)
    assert.equal(5, own:count())
  end)

  it("asks for no page ahead where it must not", function()
    for _, ahead in ipairs { false, 0 } do
      local before = scope:count()
      local w = walk({ n = 3 }, { ahead = ahead })
      assert(w:next())
      require("garner.driver").current().sleep(0.1)
      assert.equal(before + 1, scope:count())
      assert.equal(2, w:next().number)
      assert.equal(3, w:next().number)
      assert.is_nil(w:next())
    end
  end)

  it("closes when a loop is left early", function()
    local last
    for page in api:pages("/_http/pages", { items = "things", next = TOKEN, query = { n = 9 } }) do
      last = page.number
      if last == 2 then break end
    end
    assert.equal(2, last)
    if not compat.closes_for then
      collectgarbage()
      collectgarbage()
    end
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("raises for wrong rules at the caller's line", function()
    local line
    for _, call in ipairs {
      function() line = here(); api:pages("/x") end,
      function() line = here(); api:pages("/x", { next = {} }) end,
      function() line = here(); api:pages("/x", { next = { from = "a" } }) end,
      function() line = here(); api:pages("/x", { next = { link = "a", from = "b" } }) end,
      function() line = here(); api:pages("/x", { next = { page = "p", size = 2 } }) end,
      function() line = here(); api:pages("/x", { next = { page = "p", size = 0 } }) end,
      function() line = here(); api:pages("/x", { next = TOKEN, max_pages = 0 }) end,
      function() line = here(); api:pages("/x", { next = TOKEN, ahead = -1 }) end,
      function() line = here(); api:pages("/x", { next = TOKEN, ahead = "2" }) end,
      function() line = here(); api:pages("/x", { next = TOKEN, item = "a" }) end,
      function() line = here(); api:pages("/{a}", { next = TOKEN, params = { a = ".." } }) end,
      function() line = here(); api:pages({}, { next = TOKEN }) end,
      function() line = here(); walk({ n = 1 }):each() end,
      function() line = here(); walk({ n = 1 }):collect { rows = 1 } end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
    end
  end)

  it("shows itself without a secret", function()
    local w = walk { n = 1, token = "s3cr3t-value" }
    assert.falsy(tostring(w):find("s3cr3t", 1, true))
    assert.truthy(tostring(w):find("/_http/pages", 1, true))
    w:close()
    assert.truthy(tostring(w):find("ended", 1, true))
  end)

  it("walks side by side", function()
    local fns = {}
    for i = 1, 5 do
      fns[i] = function() return walk({ n = 3, size = 2 }):collect() end
    end
    for _, result in ipairs(garner.all(fns)) do
      assert.is_true(result.ok)
      assert.equal("1,2,3,4,5,6", ids(result[1]))
    end
  end)

  it("says to use each where this Lua cannot wait in a for", function()
    local results = garner.all {
      function()
        local n = 0
        for _ in walk { n = 3 } do n = n + 1 end
        return n
      end,
      function() return walk({ n = 3 }):each(function() api:get("/_http/echo") end) end,
    }
    assert.equal(3, results[2][1])
    if compat.yields_in_for then
      assert.equal(3, results[1][1])
    else
      assert.is_false(results[1].ok)
      assert.truthy(results[1].err:find("use each", 1, true))
    end
  end)

  local function abandon(in_a_task)
    garner.use { wait = coroutine.yield, sleep = coroutine.yield, now = core.now,
      yieldable = function() return compat.running() ~= nil end }
    local gone = setmetatable({}, { __mode = "v" })
    do
      local client = garner.client { base_url = scope.url }
      local function things()
        return client:pages("/_http/delay/5000", { items = "things", next = TOKEN }):collect()
      end
      gone.co = coroutine.create(in_a_task and function()
        return garner.all { things, things }
      end or things)
      assert(coroutine.resume(gone.co))
      assert.equal("suspended", coroutine.status(gone.co))
    end
    for _ = 1, 5 do collectgarbage() end
    garner.use "block"
    assert.is_nil(gone.co)
    api:close()
    assert.equal(0, core.running())
  end

  it("is collected with a coroutine that was abandoned while it waited", function()
    abandon(false)
  end)

  it("is collected with the tasks of such a coroutine", function()
    abandon(true)
  end)
end)
