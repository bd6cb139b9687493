-- Answers whose bytes are not what their head says, or no HTTP at all: no success ever
-- comes of them. The numbers are those of the catalogue of faults.
local probe = require "spec.support.probe"

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"

-- Sent again where that is harmless, and only there.
local function incomplete(name, answer)
  return { name, answer = answer, kind = "protocol", code = "incomplete", requests = 2,
    retryable = true }
end

local function refused(name, answer)
  return { name, answer = answer, kind = "protocol", code = "framing", requests = 1,
    retryable = false }
end

local function not_json(name, answer, message)
  return { name, answer = answer, kind = "protocol", code = "json", json = "bad", requests = 1,
    message = message }
end

local cases = {
  incomplete("29 a Content-Length that is too long", { body = "{}", length = 10 }),
  not_json("29 a Content-Length that is too short", { body = '{"a":1}', length = 3 },
    "too early"),
  refused("29 a negative Content-Length", { body = "{}", length = -5 }),
  refused("29 a Content-Length with a sign", { body = "{}", length = "+2" }),
  refused("29 a Content-Length that is text", { body = "{}", length = "two" }),
  refused("29 a Content-Length beyond any number",
    { body = "{}", length = "99999999999999999999999" }),
  refused("29 two Content-Lengths, the second shorter",
    { OK .. "Content-Length: 9\r\nContent-Length: 2\r\n\r\n{}1234567" }),
  incomplete("29 two Content-Lengths, the second longer",
    { OK .. "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}" }),
  refused("29 a list of Content-Lengths", { OK .. "Content-Length: 2, 9\r\n\r\n{}" }),
  { "29 two Content-Lengths that agree", json = true, requests = 1,
    answer = { OK .. "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" } },
  { "29 Content-Length beside chunks: the chunks count", json = true, requests = 1,
    answer = { OK .. "Content-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "2\r\n{}\r\n0\r\n\r\n" } },
  incomplete("30 a chunk that is cut", { CHUNKED .. "40\r\n{}" }),
  incomplete("30 chunks without the last one", { CHUNKED .. "2\r\n{}\r\n" }),
  incomplete("30 a last chunk without its end", { CHUNKED .. "2\r\n{}\r\n0\r\n" }),
  incomplete("30 a chunk size that is no number", { CHUNKED .. "zz\r\n{}\r\n0\r\n\r\n" }),
  incomplete("30 a negative chunk size", { CHUNKED .. "-2\r\n{}\r\n0\r\n\r\n" }),
  incomplete("30 a chunk size beyond any number",
    { CHUNKED .. "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n" }),
  { "30 chunks with trailers after nothing", body = "", requests = 1,
    answer = { CHUNKED .. "0\r\nX-Sum: 1\r\n\r\n", { keep = true } } },
  not_json("31 a close-delimited body that is cut", { body = '{"a":[1,2', length = false },
    "too early"),
  { "31 a close-delimited body that is whole", json = true, requests = 1,
    answer = { body = '{"a":[1,2]}', length = false } },
  incomplete("31 an answer that ends within its status line's block", { OK }),
  incomplete("31 an answer that ends within a header line", { OK .. "Content-Le" }),
  incomplete("31 an answer that ends between two header lines",
    { OK .. "Content-Type: text/csv\r\n" }),
  incomplete("31 a redirect that ends within its header lines",
    { "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n" }),
  incomplete("32 gzip that is cut, its length right",
    { gzip = true, body = '{"a":"' .. ("abc"):rep(1000) .. '"}', cut = 30, length = 30 }),
  incomplete("32 gzip that is cut within its chunks",
    { gzip = true, body = '{"a":"' .. ("abc"):rep(1000) .. '"}', chunked = true, cut = 20 }),
  incomplete("32 gzip without its trailer",
    { gzip = true, body = '{"a":1}', cut = 23, length = 23 }),
  { "33 gzip that is none", answer = { headers = { "Content-Encoding: gzip" }, body = "not gzip" },
    kind = "protocol", code = "encoding", requests = 1 },
  { "34 gzip in gzip", answer = { gzip = 2, body = "{}" }, kind = "protocol", code = "encoding",
    requests = 1 },
  { "34 six encodings", answer = { gzip = 6, body = "{}" }, kind = "protocol", code = "encoding",
    requests = 1 },
  { "34 an unknown encoding", answer = { headers = { "Content-Encoding: rot13" }, body = "{}" },
    kind = "protocol", code = "encoding", requests = 1 },
  { "34 an encoding with a carriage return in it", kind = "protocol", code = "encoding",
    requests = 1, answer = { headers = { "Content-Encoding: gzip\r6" }, body = "{}" } },
  refused("34 an unknown transfer encoding", { OK .. "Transfer-Encoding: rot13\r\n\r\n{}" }),
  refused("34 chunks in chunks",
    { OK .. "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" }),
  refused("37 HTTP/0.9", { "{}" }),
  refused("37 something that is not HTTP", { "SSH-2.0-OpenSSH_9.2\r\n" }),
  refused("37 a status line that is garbage",
    { "HTTP/1.1 banana\r\nContent-Length: 2\r\n\r\n{}" }),
  refused("37 a version that nobody knows",
    { "HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\n{}" }),
  refused("37 status 000", { status = "000", body = "{}" }),
  refused("37 status 99", { status = 99, body = "{}" }),
  refused("37 status -1", { status = -1, body = "{}" }),
  refused("37 status 999999", { status = 999999, body = "{}" }),
  { "37 status 999", answer = { status = 999, body = "{}" }, kind = "protocol", code = "999",
    status = 999, requests = 1 },
  { "37 status 101 that nobody asked for", kind = "protocol", code = "101", requests = 1,
    answer = { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{}" } },
  refused("37 a header line without a colon",
    { OK .. "no colon here\r\nContent-Length: 2\r\n\r\n{}" }),
  refused("37 a NUL in a header line", { OK .. "X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}" }),
  { "37 lines that end in LF alone are taken", json = true, requests = 1,
    answer = { "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}" } },
  { "38 a 204 with a body", body = "", status = 204, requests = 1,
    answer = { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", { keep = true } } },
  { "38 a 304 with a body", kind = "protocol", code = "304", status = 304, requests = 1,
    answer = { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", { keep = true } } },
  { "38 a HEAD with a body", body = "", status = 200, requests = 1,
    request = { method = "HEAD" }, answer = { body = "hello" } },
  not_json("39 200 with a login page",
    { type = "text/html; charset=utf-8", body = "<html><title>Log in</title>" },
    "text/html; charset=utf-8"),
  not_json("40 200 with an empty body", { body = "" }, "empty"),
  not_json("40 200 with blanks alone", { body = " \r\n\t" }, "empty"),
  not_json("41 a byte order mark before JSON", { body = "\239\187\191{}" }, "at byte 1"),
  not_json("41 JSON in UTF-16, little end first", { body = "\255\254{\0}\0" }, "at byte 1"),
  not_json("41 JSON in UTF-16, big end first", { body = "\254\255\0{\0}" }, "at byte 1"),
  not_json("41 a NUL after JSON", { body = '{"a":1}\0' }, "at byte 8"),
  not_json("41 a NUL in JSON", { body = '{"a":"\0"}' }, "at byte 7"),
}

describe("an answer with wrong framing:", function()
  lazy_setup(function() probe.run(cases) end)

  for _, case in ipairs(cases) do
    it(case[1], function() probe.check(case) end)
  end
end)

describe("what follows an answer on its connection", function()
  local clients = require "spec.support.clients"
  local faults = require "spec.support.faults"
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  -- A server (or somebody on the way) that answers twice must not answer the next request.
  it("is never taken for the answer to the next request", function()
    local surplus = OK .. "Content-Length: 8\r\n\r\n\"forged\""
    for i, answer in ipairs {
      { OK .. "Content-Length: 2\r\n\r\n{}" .. surplus, { keep = true } },
      { CHUNKED .. "2\r\n{}\r\n0\r\n\r\n" .. surplus, { keep = true } },
      { OK .. "Content-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        .. surplus, { keep = true } },
      { "HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n" .. surplus, { keep = true } },
      { "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n" .. surplus, { keep = true } },
    } do
      s:script("/first" .. i, answer)
      s:script("/second" .. i, { body = '"true"' })
      local api = clients.client { base_url = s.url }
      api:get("/first" .. i)
      assert.equal("true", assert(api:get("/second" .. i)):json(), i)
      assert.equal(1, s:count("/second" .. i))
    end
  end)

  it("may be another request, which is answered", function()
    s:script("/a", { body = "{}" })
    local api = clients.client { base_url = s.url }
    for _ = 1, 3 do assert(api:get "/a") end
    assert.equal(1, s:state().connections)
  end)
end)
