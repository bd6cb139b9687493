-- Answers without measure: floods, bombs, depths. All end at a limit, early, and cost no more
-- memory than it says. The numbers are those of the catalogue of faults.
local faults = require "spec.support.faults"
local clients = require "spec.support.clients"
local garner = require "garner"
local probe = require "spec.support.probe"

local OK = "HTTP/1.1 200 OK\r\n"
local LENGTH = "Content-Length: 2\r\n\r\n{}"
local FLOOD = 200 * 1024 * 1024
-- What may be under way in the sockets of both sides when the client leaves.
local UNDER_WAY = 32 * 1024 * 1024

local function left_early(outcome)
  local request = outcome.seen[1]
  assert.equal("client", request.ended)
  assert.is_true(request.sent < UNDER_WAY, request.sent)
end

local function too_large(name, code, answer, options)
  return { name, answer = answer, options = options, kind = "too_large", code = code,
    requests = 1, retryable = false }
end

local function flood(name, code, head, piece, options)
  local case = too_large(name, code, { head, { send = piece, times = FLOOD / #piece } }, options)
  case.also = left_early
  return case
end

local cases = {
  { "36 150 header lines are usual", json = true, requests = 1,
    answer = { OK, { send = "X-A: 0123456789\r\n", times = 150 }, LENGTH } },
  flood("36 header lines without end", "headers", OK, "X-A: " .. ("v"):rep(1000) .. "\r\n"),
  flood("36 header lines beyond a limit of the user's", "headers", OK, "X-A: b\r\n",
    { max_headers = 4096 }),
  flood("36 a header line without end", "headers", OK .. "X-A: ", ("v"):rep(1000)),
  too_large("36 a header line of 1 MB", "headers",
    { OK .. "X-A: " .. ("v"):rep(1000000) .. "\r\n" .. LENGTH }),
  flood("36 a status line without end", "headers", OK:sub(1, -3), ("v"):rep(1000)),
  too_large("36 more header lines than libcurl itself takes", "headers",
    { OK, { send = "X-A: " .. ("v"):rep(1000) .. "\r\n", times = 2000 }, LENGTH },
    { max_headers = 4000000 }),
  { "36 ten thousand interim answers", json = true, requests = 1,
    answer = { { send = "HTTP/1.1 100 Continue\r\n\r\n", times = 10000 }, OK .. LENGTH } },
  flood("36 interim answers without end", "headers", "",
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
  too_large("36 interim answers beyond a limit of the user's", "headers",
    { { send = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", times = 1000 }, OK .. LENGTH },
    { max_headers = 4096 }),
  flood("36 trailers without end", "headers", OK .. "Transfer-Encoding: chunked\r\n\r\n"
    .. "2\r\n{}\r\n0\r\n", "X-A: " .. ("v"):rep(1000) .. "\r\n"),
  { "42 a body of just the limit", body = ("1"):rep(5000), requests = 1,
    answer = { body = ("1"):rep(5000) }, options = { max_body = 5000 } },
  too_large("42 a body of one byte more", "body", { body = ("1"):rep(5001) },
    { max_body = 5000 }),
  too_large("42 a body whose length says so", "body", { body = "{}", length = "1000000000000",
    after = "stall" }, { max_body = 1 }),
  flood("42 chunks without end", "body", OK .. "Transfer-Encoding: chunked\r\n\r\n",
    "1000\r\n" .. ("x"):rep(4096) .. "\r\n", { max_body = 100000 }),
  flood("42 a body without length or end", "body", OK .. "\r\n", ("x"):rep(4096),
    { max_body = 100000 }),
  flood("42 the body of a failure without end", "body", "HTTP/1.1 400 Bad Request\r\n\r\n",
    ("x"):rep(4096), { max_body = 100000 }),
  too_large("43 a gzip bomb, 1000 to 1", "body", { gzip = true, body = { zeros = 30000000 } },
    { max_body = 1000000 }),
  { "44 a gzip bomb in gzip", kind = "protocol", code = "encoding", requests = 1,
    answer = { gzip = 2, body = { zeros = 30000000 } }, options = { max_body = 1000000 } },
  { "45 JSON nested 100,000 deep", kind = "protocol", code = "json", json = "bad",
    message = "too deep", requests = 1, answer = { body = ("["):rep(100000)
      .. ("]"):rep(100000) } },
  { "45 JSON nested as deep as is taken", json = true, requests = 1,
    answer = { body = ("["):rep(512) .. ("]"):rep(512) } },
  too_large("46 JSON with keys without end", "body",
    { "HTTP/1.1 200 OK\r\n\r\n{\"a\":1", { send = ',"k":1', times = 1000000 } },
    { max_body = 1000000 }),
}

describe("an answer without measure:", function()
  lazy_setup(function() probe.run(cases) end)

  for _, case in ipairs(cases) do
    it(case[1], function() probe.check(case) end)
  end
end)

describe("a limit", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  it("47 ends a walk through distinct tokens", function()
    s:script("/endless", { { run = [[
      local c, request = ...
      local n = tonumber((request.query or "t=0"):match "t=(%d+)") + 1
      local body = '{"items":[' .. n .. '],"next":"' .. n .. '"}'
      c:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
      return "next"]] } })
    local api = clients.client { base_url = s.url }
    local list, err, partial = api:pages("/endless", { items = "items", max_pages = 7,
      next = { from = "next", query = "t" } }):collect()
    assert.is_nil(list)
    assert.equal("truncated", err.kind)
    assert.equal(7, #partial)
    assert.is_true(s:count "/endless" <= 8)
  end)

  it("leaves the client as it was", function()
    s:script("/flood", { OK, { send = "X-A: b\r\n", times = 1000000 } }, { body = '"after"' })
    local api = clients.client { base_url = s.url }
    local _, err = api:get "/flood"
    assert.equal("too_large", err.kind)
    assert.equal("after", assert(api:get "/flood"):json())
  end)

  it("keeps of a failure's body what an error carries", function()
    s:script("/big", { status = 400, body = '{"message":"m","x":"' .. ("y"):rep(1000000) .. '"}' })
    local _, err = clients.client { base_url = s.url }:get "/big"
    assert.equal("invalid", err.kind)
    assert.equal(65536, #err.body)
    assert.equal("m", err.messages[1])
    assert.is_true(#tostring(err) < 2500)
  end)

  it("holds for a request's own max_body as for the client's", function()
    s:script("/b", { body = ("1"):rep(3000) })
    local api = clients.client { base_url = s.url, max_body = 1000 }
    local results = garner.all {
      function() return api:get "/b" end,
      function() return api:get("/b", { max_body = 5000 }) end,
    }
    assert.equal("too_large", results[1][2].kind)
    assert.equal(3000, results[2][1].size)
  end)
end)
