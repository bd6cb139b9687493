-- garner.api: a table becomes a client with verbs. What a description may say,
-- what it may not, and where the caller's arguments go in the request.

local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local raised, here = clients.raised, clients.here

-- A description that is right, with some fields replaced ("nil" removes one).
local function described(changes, verb_changes)
  local api = { name = "things", base_url = "https://api.example.com/v1", auth = false,
    verbs = { things = { get = "/things", items = "things" } } }
  for name, value in pairs(verb_changes or {}) do
    api.verbs.things[name] = value ~= "nil" and value or nil
  end
  for name, value in pairs(changes or {}) do api[name] = value ~= "nil" and value or nil end
  return api
end

describe("a description", function()
  local function refused(changes, verb_changes, ...)
    local api = described(changes, verb_changes)
    local message = raised(function() garner.api(api) end)
    for _, part in ipairs { ... } do
      assert.truthy(message:find(part, 1, true), message .. "\n  lacks: " .. part)
    end
  end

  it("is checked when it is given, at the caller's line", function()
    local line = here(1)
    local message = raised(function() return (garner.api { name = "x", verbz = {} }) end)
    assert.equal(line, message:sub(1, #line))
    assert.truthy(message:find('garner.api "x": unknown field "verbz"; known fields: auth, ', 1,
      true), message)
    refused({ base_url = "nil" }, nil, 'garner.api "things": the field base_url is missing')
    refused({ name = "nil" }, nil, "garner.api: the field name is missing")
    refused({ verbs = { ["1st"] = {} } }, nil, "a verb's name must be a Lua name", '"1st"')
    refused({ verbs = { things = 1 } }, nil, "verbs.things: must be a table or a function")
    refused({ headers = { ["x-tenant"] = { option = "tenant" } } }, nil,
      "headers.x-tenant: the field env is missing")
    refused({ options = { size = "sized" } }, nil, "options.size must be a function", "integer")
  end)

  it("names the verb and the field that is wrong", function()
    refused(nil, { getter = "/x" }, 'verbs.things: unknown field "getter"', "arguments, body")
    refused(nil, { get = "nil" }, "verbs.things: give one of get, post, or method and path")
    refused(nil, { post = "/x" }, "give one of get, post")
    refused(nil, { window = { kind = "week" } }, "window: kind must be one of", '"week"')
    refused(nil, { window = { from = "start" } }, "window: the field to is missing")
    refused(nil, { window = { kind = "date" } }, "give date (one day a request), or from and to")
    refused(nil, { window = { from = "a", to = "b", zone = "Moon/Base" } },
      "window: zone is no zone: ", "Moon/Base")
    refused(nil, { window = { from = "a", to = "b", edges = "[]" } }, "rows.time is missing")
    refused(nil, { window = { from = "a", to = "b", place = "body" } },
      "window: place: a GET request has no body")
    refused(nil, { window = { from = "a", to = "b", date = "c" } }, "date is for kind")
    refused(nil, { window = { kind = "date", from = "a", to = "b", edges = "(]" } },
      "edges of dates are")
    refused(nil, { body = { a = 1 } }, "body: a GET request has none")
    refused(nil, { arguments = { kind = { "text", body = "kind" } } }, "it cannot go to the body")
    refused({ verbs = { pages = { get = "/x" } } }, nil,
      "verbs.pages: a client has that name for something else")
    refused(nil, { lag = "1d" }, "lag needs a window")
    refused(nil, { get = "/things/{id}" }, "the path has {id}, which is no argument")
    refused(nil, { arguments = { from = "text" } }, "every verb has an option of this name")
    refused(nil, { arguments = { kind = "txt" } }, "arguments.kind: 1 must be a function",
      "one of: any, boolean")
    refused(nil, { arguments = { kind = { enum = 1 } } }, "arguments.kind: enum must be a list")
    refused(nil, { get = "/things/{id}", arguments = { id = { "id", query = "id" } } },
      "it can go to one place")
    refused(nil, { pages = {} }, "pages: next is missing")
    refused(nil, { items = "nil", pages = { next = {} } }, "items is missing")
    refused(nil, { rows = { each = print, all = print } }, "give each(item) or all(body)")
    refused(nil, { rate = { burst = 1 } }, "rate: the field per_second is missing")
  end)

  it("gives a constructor like those of the vendors", function()
    local make = garner.api(described({ options = { size = "integer" },
      headers = { ["x-tenant"] = { option = "tenant", env = "GARNER_NO_TENANT",
        what = "the tenant" } } }))
    local message = raised(make, { sizes = 1, tenant = "t" })
    assert.truthy(message:find('garner.things: unknown option "sizes"', 1, true), message)
    message = raised(make, { size = 1 })
    assert.truthy(message:find("no tenant: set the option tenant or the environment variable "
      .. "GARNER_NO_TENANT", 1, true), message)
    local things = make { tenant = "t", size = 5 }
    assert.equal("garner things client", tostring(things))
    assert.equal(5, things.settings.size)
    things:close()
    message = raised(garner.api(described { auth = "nil", token_env = "GARNER_NO_TOKEN" }), {})
    assert.truthy(message:find("no token", 1, true), message)
    assert.truthy(message:find("GARNER_NO_TOKEN", 1, true), message)
  end)
end)

describe("a described verb", function()
  local scope, opened

  before_each(function()
    scope, opened = simulator.get():scope(), {}
  end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    garner.close()
  end)

  -- A client whose one verb, "ask", is described by `verb`.
  local function client(verb, more)
    local api = { name = "echo", base_url = scope.url .. "/_http", auth = false,
      verbs = { ask = verb } }
    for name, value in pairs(more or {}) do api[name] = value end
    opened[#opened + 1] = garner.api(api) { log = false }
    return opened[#opened]
  end

  local function asked(verb, given)
    return assert(client(verb):get_ask(given)).raw
  end

  it("puts arguments where the description says", function()
    local got = asked({ post = "/echo/{id}", body = { fixed = true }, query = { v = 2 },
      arguments = {
        id = "id", name = "text", size = { "integer", query = "maxResults", default = 7 },
        kinds = { enum = { "big", "small" }, prefix = "KIND_", list = true, query = "kind" },
        trace = { "text", header = "X-Trace" }, tags = { "texts", join = ",", body = "tag_list" },
        note = { "text", query = false },
      } }, { id = "a/b", name = "n", kinds = { "big", "small" }, trace = "t1", tags = "x, y",
      note = "unsent" })
    assert.equal("POST", got.method)
    assert.equal("/_http/echo/a%2Fb", got.path)
    assert.equal("kind=KIND_BIG&kind=KIND_SMALL&maxResults=7&v=2", got.query)
    assert.equal("t1", got.headers["x-trace"])
    assert.same({ fixed = true, name = "n", tag_list = "x,y" }, garner.json.decode(got.body))
  end)

  it("refuses wrong arguments at the caller's line", function()
    local things = client { get = "/echo/{id}", arguments = {
      id = { "id", alias = "thing_id" }, kind = { enum = { "big", "small" } },
      size = { "integer", min = 1, max = 10 }, day = { function(value)
        if value == "mon" then return value end
        return nil, "must be mon"
      end } },
      check = function(given)
        if given.size == 3 then return "size 3 is out of stock" end
      end }
    for text, given in pairs {
      ["ask: id is required"] = {},
      ['ask: kind unknown kind "tiny"; use one of: big, small'] = { id = "x", kind = "tiny" },
      ["ask: size must be a whole number from 1 to 10, got 11"] = { id = "x", size = 11 },
      ["ask: day must be mon"] = { id = "x", day = "tue" },
      ["ask: size 3 is out of stock"] = { id = "x", size = 3 },
      ["ask: give id or thing_id, not both"] = { id = "x", thing_id = "y" },
      ['ask: unknown option "colour"; known options: attempts, cache, concurrency, day'] =
        { id = "x", colour = "red" },
    } do
      local line = here(1)
      local message = raised(function() return (things:ask(given)) end)
      assert.equal(line .. " " .. text, message:sub(1, #line + 1 + #text))
    end
    assert.equal(0, scope:count())
  end)

  it("writes a window as the description says", function()
    local function query_of(window, given, path)
      return asked({ get = path or "/echo", window = window }, given)
    end
    local span = { from = "2026-11-01T00:00:00.25Z", to = "2026-11-02T00:00:00Z" }
    assert.equal("end=2026-11-02T00%3A00%3A00Z&start=2026-11-01T00%3A00%3A00.250Z",
      query_of({ from = "start", to = "end" }, span).query)
    assert.equal("a=2026-11-02T00%3A00%3A00%2B08%3A00&b=2026-11-03T00%3A00%3A00%2B08%3A00",
      query_of({ from = "a", to = "b", zone = "Asia/Taipei" },
        { date = "2026-11-02", zone = "+08:00" }).query)
    assert.equal("a=1793491200250&b=1793577600000",
      query_of({ from = "a", to = "b", format = "epoch_ms" }, span).query)
    assert.equal("a=2026-11-01T00%3A00%3A00&b=2026-11-02T00%3A00%3A00",
      query_of({ from = "a", to = "b", kind = "naive" }, { date = "2026-11-01" }).query)
    assert.equal("/_http/echo/2026-11-01",
      query_of({ kind = "date", date = "day" }, { date = "2026-11-01" }, "/echo/{day}").path)
    assert.equal("a=2026-11-01&b=2026-11-04",
      query_of({ kind = "date", from = "a", to = "b", edges = "[)" },
        { from = "2026-11-01", to = "2026-11-03" }).query)
  end)

  it("walks pages and makes rows of their items", function()
    local things = client { get = "/pages", query = { n = 4, size = 3 }, items = "things",
      pages = { next = { from = "nextPageToken", query = "pageToken" } },
      rows = { each = function(item, ctx)
        if item.id ~= 5 then return { id = item.id, page = ctx.page } end
      end, columns = { "id", "page" } } }
    local pull = things:ask {}
    assert.truthy(tostring(pull:plan()):find("ask: everything", 1, true))
    local rows = assert(pull:collect())
    assert.equal(11, #rows)
    assert.same({ id = 12, page = 4 }, rows[11])
    assert.equal("fetched", pull:coverage()[1].state)
    local first = assert(things:get_ask {})
    assert.equal(3, #first.rows)
    assert.equal("page-2", first.next_page_token)
    assert.same({ id = 4, page = 1 },
      assert(things:get_ask { page_token = "page-2" }).rows[1])
  end)

  it("walks by whatever names the next page", function()
    for _, kind in ipairs {
      { { n = 3, size = 2 }, { from = "nextPageToken", query = "pageToken" } },
      { { n = 3, size = 2, link = "1" }, { link = "next" } },
      { { n = 3, size = 2, numbers = 1 }, { page = "page", size = 2 } },
    } do
      local things = client { get = "/pages", query = kind[1], items = "things",
        pages = { next = kind[2] } }
      local before = scope:count()
      local pull = things:ask { max_requests = 4 }
      assert.equal(6, #assert(pull:collect()))
      assert.is_true(scope:count() - before <= 4)
    end
    local message = raised(function() client { get = "/pages", items = "things",
      pages = { next = { from = "a", link = "b" } } } end)
    assert.truthy(message:find('garner.api "echo": verbs.ask: pages: next: give', 1, true), message)
  end)

  it("tells not ready by the description's own rule, and errors in its words", function()
    local things = client({ get = "/status/{code}", arguments = { code = "id" },
      window = { from = "a", to = "b", max = "1d" },
      not_ready = function(answer) return answer.rows[1].status == 200, "come back later" end },
      { errors = function(err, ctx)
        err.message = "for " .. ctx.given.code .. ": " .. err.message
        return err
      end })
    local pull = things:ask { code = 200, from = "2026-11-01", to = "2026-11-02" }
    assert.equal(2, #pull:plan().windows)
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal("not_ready", pull:coverage()[2].state)
    assert.equal("come back later", pull:coverage()[2].reason)
    local odd = client { get = "/status/200", not_ready = function() return "nearly" end }
    local ok, message = pcall(function() return odd:ask():collect() end)
    assert.is_false(ok)
    assert.truthy(message:find("not_ready gives true", 1, true), message)
    rows, err = things:get_ask { code = 410, date = "2026-11-01" }
    assert.is_nil(rows)
    assert.equal("for 410: ", err.message:sub(1, 9))
    assert.equal("ask", err.operation)
    assert.equal("echo", err.service)
  end)

  it("keeps a rate of its own", function()
    local things = client { get = "/echo", arguments = { slow = { "boolean", query = false } },
      rate = { per_second = 20, burst = 1, when = function(given) return given.slow end } }
    local before = garner.time.now()
    for _ = 1, 4 do assert(things:get_ask { slow = true }) end
    assert.is_true(garner.time.now() - before >= 0.14)
  end)

  it("keeps that rate when it creates jobs, and names files by its title", function()
    local made = 0
    local things = garner.api {
      name = "files", base_url = "https://api.example.com", auth = false, verbs = { export = {
        post = "/jobs", arguments = { station = "id" }, window = { from = "a", to = "b" },
        title = "export of {station}", rate = { per_second = 20, burst = 1 },
        job = { id = "id", status = "state", uri = "uri", states = { done = "done" },
          poll = { get = "/jobs/{id}" } },
      } },
    } { log = false, transport = function(request)
      if request.url:find "files" then return { body = "a\n1\n" } end
      made = made + (request.method == "POST" and 1 or 0)
      return { json = { id = "j" .. made, state = "done", uri = "https://files.example.com/1" } }
    end }
    opened[#opened + 1] = things
    local before = garner.time.now()
    for _ = 1, 4 do assert(things:create_export { station = "kew", date = "2026-11-01" }) end
    assert.is_true(garner.time.now() - before >= 0.14)
    local folder, paths = os.tmpname(), {}
    os.remove(folder)
    os.execute("mkdir " .. folder)
    for _, station in ipairs { "kew", "a/b" } do
      local files, err = things:export { station = station, date = "2026-11-01",
        wait = { first = 0.01 } }:download(folder)
      assert(files, tostring(err))
      paths[#paths + 1] = files[1].path:sub(#folder + 2)
    end
    os.execute("rm -rf " .. folder)
    assert.same({ "export_of_kew-20261101T000000Z.csv", "export_of_a_b-20261101T000000Z.csv" },
      paths)
  end)
end)
