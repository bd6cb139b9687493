-- Answers that were damaged at random, the same in every run: whatever comes of them, it
-- comes in time, is one of the documented kinds, fits a line, and leaves the client usable.
local clients = require "spec.support.clients"
local core = require "garner.core"
local errors = require "garner.errors"
local faults = require "spec.support.faults"
local garner = require "garner"

-- A generator of our own: math.random differs between Lua versions.
local state = 2026

local function random(n)
  state = (state * 16807) % 2147483647
  return state % n + 1
end

local OK = "HTTP/1.1 200 OK\r\n"
local JSON = '{"items":[1,2,{"a":"b"}],"next":"/more"}'
local WHOLE = {
  OK .. "Content-Type: application/json\r\nContent-Length: " .. #JSON .. "\r\n\r\n" .. JSON,
  OK .. "Transfer-Encoding: chunked\r\n\r\n10\r\n" .. JSON:sub(1, 16)
    .. ("\r\n%x\r\n"):format(#JSON - 16) .. JSON:sub(17) .. "\r\n0\r\nX-Sum: 1\r\n\r\n",
  OK .. "Content-Encoding: gzip\r\nContent-Length: 22\r\n\r\n"
    .. "\31\139\8\0\0\0\0\0\2\3\171\174\5\0\67\191\166\163\2\0\0\0",
  "HTTP/1.1 302 Found\r\nLocation: /more?x=1\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 0\r\n"
    .. "Content-Length: 2\r\n\r\n{}",
  "HTTP/1.1 503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\n{}",
  "HTTP/1.1 103 Hints\r\nLink: </a>; rel=preload\r\n\r\n" .. OK
    .. "Link: </more>; rel=\"next\"\r\nContent-Length: 2\r\n\r\n[]",
  "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/20\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\n"
    .. "0123456789",
  OK .. "ETag: \"e\"\r\nContent-MD5: XrY7u+Ae7tCTyyK7j1rNww==\r\nContent-Length: 11\r\n\r\n"
    .. "hello world",
  "HTTP/1.1 400 Bad\r\nContent-Length: 97\r\n\r\n" .. '{"error":{"code":400,"message":"m",'
    .. '"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"1s"}]}}',
}
local PIECES = { "\r\n", "\r\n\r\n", "\r", "\0", "\255", ":", ";", ",", "\"", "{", "[", "]", "-1",
  "99999999999999999999", "HTTP/1.1 200 OK\r\n\r\n", "Content-Length: 5\r\n", "0\r\n\r\n",
  "Transfer-Encoding: chunked\r\n", "Content-Encoding: gzip\r\n", "Location: //\r\n",
  "Content-Range: bytes 5-1/*\r\n", ("A"):rep(5000), "\31\139\8", "Link: <" }

local function damaged(text)
  for _ = 1, random(4) do
    local at, how = random(#text + 1), random(5)
    if how == 1 then
      text = text:sub(1, at - 1) .. string.char(random(256) - 1) .. text:sub(at + 1)
    elseif how == 2 then
      text = text:sub(1, at - 1) .. text:sub(at + random(20))
    elseif how == 3 then
      text = text:sub(1, at - 1) .. PIECES[random(#PIECES)] .. text:sub(at)
    elseif how == 4 then
      text = text:sub(1, at)
    else
      text = text:sub(1, at) .. WHOLE[random(#WHOLE)]
    end
  end
  return text
end

local function check(err)
  if err == nil then return end
  assert.is_table(err)
  assert.truthy(errors.kinds[err.kind] ~= nil, tostring(err.kind))
  local line = tostring(err)
  assert.is_true(#line < 2600)
  assert.is_nil(line:find "%c", line)
  assert.is_nil(line:find("s3cr3t", 1, true), line)
end

describe("a damaged answer", function()
  local s, path

  before_each(function() s, path = faults.start(), os.tmpname() end)

  after_each(function()
    clients.close_all()
    s:stop()
    os.remove(path)
  end)

  local ASK = {
    function(api, at)
      local res, err = api:get(at)
      check(err)
      if res then check(select(2, res:json())) end
    end,
    function(api, at)
      check(select(2, api:pages(at, { items = "items", next = { link = "next" },
        max_pages = 3 }):collect()))
    end,
    function(api, at, i)
      check(select(2, api:download(s.url .. at, path .. i, { timeout = 0.5 })))
      os.remove(path .. i)
      os.remove(path .. i .. ".part")
    end,
    function(api, at) check(select(2, api:post(at, { creates = true, json = { a = 1 } }))) end,
    function(api, at) check(select(2, api:head(at))) end,
  }

  it("ends as one of the documented kinds, in time", function()
    local asked, started = {}, core.now()
    for i = 1, 200 do
      local at, last = "/" .. i, ({ "keep", "close", "reset" })[random(3)]
      local answers = {}
      for n = 1, 3 do answers[n] = { damaged(WHOLE[random(#WHOLE)]), { [last] = true } } end
      s:script(at, answers[1], answers[2], answers[3])
      local ask = ASK[random(#ASK)]
      asked[i] = function()
        local api = clients.client { base_url = s.url, token = "s3cr3t-token", timeout = 0.5,
          max_body = 100000, log = function() end, retry = { attempts = 3, backoff = 0.001,
            backoff_throttled = 0.001, max_wait = 0.05 } }
        ask(api, at, i)
        api:close()
      end
    end
    for _, result in ipairs(garner.all(asked, { concurrency = 50 })) do
      assert(not result.raised, tostring(result.err))
    end
    assert.is_true(core.now() - started < 60)
    s:script("/fine", { body = '"fine"' })
    assert.equal("fine", assert(clients.client { base_url = s.url }:get "/fine"):json())
  end)
end)
