local errors = require "garner.errors"
local failure = require "garner.failure"
local clients = require "spec.support.clients"
local simulator = require "spec.support.simulator"

-- What the core gives, as far as errors read it.
local function result(fields)
  local headers = fields.headers or {}
  return {
    error = function() return fields.error end,
    status = function() return fields.status end,
    body = function() return fields.body or "" end,
    headers = function() return headers end,
    header = function(_, name)
      for _, pair in ipairs(headers) do
        if pair[1]:lower() == name then return pair[2] end
      end
    end,
    attempts = function() return fields.attempts or { { status = fields.status } } end,
    elapsed = function() return fields.elapsed end,
    url = function() return fields.url or "https://api.example.com/v1/things" end,
  }
end

local function from(status, body, context, fields)
  fields = fields or {}
  fields.status, fields.body = status, body
  return errors.from_result(result(fields), context)
end

describe("error bodies", function()
  it("reads google.rpc.Status with its details", function()
    local err = from(400, [[{"code":3,"message":"Invalid argument","details":[
      {"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":[
        {"field":"filter.start_time","description":"must be a time"}]},
      {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TIME_INVALID",
        "domain":"bv.com","metadata":{"limit":"8"}},
      {"@type":"type.googleapis.com/google.rpc.RequestInfo","request_id":"rq-1"}]}]])
    assert.equal("invalid", err.kind)
    assert.equal(400, err.status)
    assert.equal("INVALID_ARGUMENT", err.code)
    assert.equal(3, err.rpc_code)
    assert.equal("TIME_INVALID", err.reason)
    assert.equal("bv.com", err.domain)
    assert.equal("8", err.metadata.limit)
    assert.equal("rq-1", err.request_id)
    assert.same({ "Invalid argument", "filter.start_time: must be a time" }, err.messages)
    assert.equal("must be a time",
      err:detail("google.rpc.BadRequest").field_violations[1].description)
    assert.equal("bv.com", err:detail("ErrorInfo").domain)
    assert.is_nil(err:detail("google.rpc.Help"))
    assert.is_false(err.retryable)
  end)

  it("reads Google's v1 shape", function()
    local err = from(403, [[{"error":{"code":403,"message":"Not Authorized to access this API",
      "status":"PERMISSION_DENIED","errors":[{"message":"Not Authorized to access this API",
      "domain":"global","reason":"forbidden"}]}}]], { scope = "reports.usage" })
    assert.equal("forbidden", err.kind)
    assert.equal("PERMISSION_DENIED", err.code)
    assert.equal(7, err.rpc_code)
    assert.equal("forbidden", err.reason)
    assert.equal("global", err.domain)
    assert.same({ "Not Authorized to access this API" }, err.messages)
    assert.truthy(err.message:find("reports.usage", 1, true))
  end)

  it("tells a quota from a refusal", function()
    local body = [[{"error":{"code":403,"message":"Quota exceeded for x","errors":[
      {"message":"Quota exceeded for x","domain":"usageLimits","reason":"rateLimitExceeded"}]}}]]
    assert.equal("throttled", from(403, body).kind)
    assert.equal("throttled", from(503, body).kind)
    assert.equal("throttled", from(403, "Request rate higher than configured.").kind)
    assert.equal("throttled", from(429, "").kind)
    assert.equal("throttled", from(403, '{"code":8,"message":"slow down"}').kind)
    assert.equal("forbidden", from(403, '{"code":7,"message":"no"}').kind)
    assert.equal("server", from(503, "").kind)
    assert.is_true(from(429, "").retryable)
  end)

  it("reads grpc-gateway v1", function()
    local err = from(404, '{"error":"no event","code":5,"message":"no event"}',
      { what = 'event "e1"' })
    assert.equal("not_found", err.kind)
    assert.equal("NOT_FOUND", err.code)
    assert.equal('event "e1": no event', err.message)
    assert.same({ "no event" }, err.messages)
  end)

  it("reads every shape of Shoplazza", function()
    assert.equal("No Context", from(422, '{"errors":["No Context"]}').message)
    assert.equal("a; b", from(422, '{"errors":["a","b"]}').message)
    assert.equal("time: is bad; zone: is odd; zone: is old",
      from(422, '{"errors":{"zone":["is odd","is old"],"time":"is bad"}}').message)
    assert.equal("store is not active", from(400, '{"error":"store is not active"}').message)
    assert.equal("file number error", from(400, '["file number error"]').message)
    local coded = from(400, '{"code":"InvalidParameter","message":"page is bad"}')
    assert.equal("page is bad", coded.message)
    assert.equal("InvalidParameter", coded.code)
    assert.equal("no result", from(404, '"no result"').message)
  end)

  it("takes a 400 that only says so for a bad credential", function()
    assert.equal("unauthenticated", from(400, '"Unauthorized"').kind)
    assert.equal("unauthenticated", from(400, "Unauthorized").kind)
    assert.equal("unauthenticated", from(400, '{"code":16,"message":"token expired"}').kind)
    assert.equal("unauthenticated", from(403, '{"code":16,"message":"token expired"}').kind)
    assert.equal("unauthenticated", from(401, "").kind)
    assert.equal("invalid", from(400, "Bad Request").kind)
    assert.equal("forbidden", from(403, "Not Authorized to access this resource").kind)
  end)

  it("reads the errors of a token endpoint", function()
    local err = from(400, '{"error":"invalid_grant","error_description":"Token has expired"}')
    assert.equal("invalid_grant", err.code)
    assert.equal("Token has expired", err.message)
  end)

  it("shows of HTML the status and the title only", function()
    local err = from(502, "<!DOCTYPE html><html><head><title>Bad\n gateway</title></head>"
      .. "<body>" .. ("x"):rep(1000) .. "</body></html>")
    assert.equal("server", err.kind)
    assert.equal("HTTP 502 Bad Gateway: Bad gateway", err.message)
    assert.equal("HTTP 500 Internal Server Error (an HTML page)",
      from(500, "<html><body>oops</body></html>").message)
  end)

  it("says that a body was empty", function()
    local err = from(500, " \n")
    assert.equal("HTTP 500 Internal Server Error, empty body", err.message)
    assert.equal("500", err.code)
  end)

  it("keeps text of any kind on one line and within bounds", function()
    local err = from(400, "first\r\n\27[31msecond " .. ("é"):rep(5000))
    assert.falsy(err.message:find("%c"))
    assert.is_true(#err.message < 600)
    assert.falsy(tostring(err):find("%c"))
  end)

  it("does not fall over odd bodies", function()
    for _, body in ipairs { "{}", "[]", "null", "{\"error\":null}", "{\"errors\":[null,{}]}",
      "{\"error\":{\"errors\":7,\"details\":\"x\"}}", "{\"details\":[1,null,{\"@type\":5}]}",
      "{\"message\":{\"a\":1}}", "{\"code\":99}", "{", "\"", "\0\1", "{\"code\":{}}" } do
      local err = from(400, body)
      assert.equal("invalid", err.kind)
      assert.is_string(tostring(err))
    end
  end)

  it("keeps the first 64 KiB of the body", function()
    assert.equal(65536, #from(400, ("x"):rep(70000)).body)
  end)

  it("gives a RetryInfo where there is no header", function()
    local body = [[{"code":14,"message":"later","details":[
      {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}]]
    assert.equal(3.5, from(503, body).retry_after)
    assert.equal(7, from(503, body, nil,
      { error = { kind = "server", message = "x", retry_after = 7 } }).retry_after)
  end)

  it("believes a google.rpc code before the status, and any other code not at all", function()
    assert.equal("invalid", from(500, '{"code":3,"message":"x"}').kind)
    assert.equal("invalid", from(404, '{"code":3,"message":"x"}').kind)
    assert.equal("server", from(408, '{"code":4,"message":"x"}').kind)
    assert.equal("invalid", from(412, '{"code":9,"message":"x"}').kind)
    assert.equal("server", from(500, '{"code":2,"message":"x"}').kind)
    assert.equal("not_found", from(404, '{"code":"Odd","message":"x"}').kind)
    assert.equal("forbidden", from(403, '{"code":7,"message":"unauthorized for x"}').kind)
    assert.equal("timeout", from(408, "").kind)
    assert.equal("throttled", failure.classify(429, { messages = {} }))
  end)
end)

describe("the core's own verdict", function()
  it("stays for a request in doubt, with the server's words", function()
    local err = from(500, '{"code":13,"message":"boom"}', nil,
      { error = { kind = "in_doubt", code = "500", message = "may have been taken" } })
    assert.equal("in_doubt", err.kind)
    assert.equal("may have been taken: boom", err.message)
    assert.is_false(err.retryable)
    assert.equal(500, err.status)
  end)

  it("stays for a failure without a status", function()
    local err = errors.from_result(result { status = 0, attempts = { {}, {} },
      error = { kind = "transport", code = "connect", message = "no connection to x:1",
        retryable = true } })
    assert.equal("transport", err.kind)
    assert.equal("connect", err.code)
    assert.equal(2, #err.attempts)
    assert.is_nil(err.status)
    assert.truthy(tostring(err):find("after 2 attempts", 1, true))
  end)
end)

describe("an error object", function()
  it("is one readable line that names the operation and the peer", function()
    local err = from(404, '{"code":5,"message":"no live"}', {
      service = "blendvision", operation = "live_metrics", method = "GET", what = 'live "x"',
    }, { headers = { { "X-Request-Id", "r-7" } }, url = "https://h/bv/lives/x?start_time=1" })
    assert.equal('blendvision live_metrics: GET https://h/bv/lives/x: live "x": no live '
      .. "(not_found, HTTP 404, NOT_FOUND, request id r-7)", tostring(err))
  end)

  it("says how often it was tried, for how long, and why no more", function()
    local function said(attempts, elapsed)
      return tostring(errors.new { kind = "throttled", message = "m", attempts = attempts,
        elapsed = elapsed })
    end
    local sent = { status = 429, code = "429", waited = 0.4, elapsed = 0.1, why = "throttled" }
    local rate = { waited = 0.2, why = "rate" }
    local last = { status = 429, code = "429", waited = 0, elapsed = 0.1, why = "deadline" }
    assert.equal("m (throttled)", said({ rate }, 1))
    assert.equal("m (throttled, after 2 attempts in 3.2 s, not sent again: deadline)",
      said({ rate, sent, rate, last }, 3.21))
    assert.equal("m (throttled, not sent again: deadline)", said({ last }, 1))
    last.why = "attempts used up"
    assert.equal("m (throttled, after 3 attempts in 3.0 s)", said({ sent, sent, last }, 3))
    last.why = "final"
    assert.equal("m (throttled)", said({ last }, 1))
  end)

  it("has headers without case, and no cookie in them", function()
    local err = from(400, "", nil, { headers = { { "X-A", "1" }, { "Set-Cookie", "sid=topsecret" },
      { "x-a", "2" }, { "Location", "https://h/f?sig=topsecret" } } })
    assert.equal("1, 2", err.headers["X-a"])
    assert.same({ "1", "2" }, err.headers:all("X-A"))
    assert.equal("***", err.headers["set-cookie"])
    assert.equal("https://h/f?...", err.headers.location)
  end)

  it("knows its kind", function()
    local err = errors.new { kind = "hole", message = "m" }
    assert.is_true(errors.is(err))
    assert.is_true(errors.is(err, "hole"))
    assert.is_false(errors.is(err, "server"))
    assert.is_false(errors.is("hole"))
    assert.is_false(errors.is({ kind = "hole" }))
    assert.has_error(function() errors.new { kind = "wrong" } end)
  end)

  it("has a text code and a list of messages, whatever the kind", function()
    for kind in pairs(errors.kinds) do
      local err = errors.new { kind = kind, message = "m" }
      assert.is_string(err.code)
      assert.same({ "m" }, err.messages)
      assert.is_boolean(err.retryable)
      assert.same({}, err.attempts)
    end
  end)
end)

describe("secrets", function()
  local secrets = { "s3cr3t-token/+x", "s3cr3t-token%2F%2Bx" }
  local context = { secrets = function() return secrets end }

  it("are hidden by value, everywhere", function()
    local err = from(400, [[{"message":"bad s3cr3t-token/+x","details":[
      {"@type":"x/y.Z","deep":{"s3cr3t-token/+x":"a s3cr3t-token/+x b"}}]}]], context, {
      headers = { { "X-Echo", "Bearer s3cr3t-token/+x" }, { "X-Request-Id", "s3cr3t-token/+x" } },
      url = "https://h/a?token=s3cr3t-token%2F%2Bx",
    })
    local function search(value, seen)
      if type(value) == "string" then
        assert.falsy(value:find("s3cr3t", 1, true), value)
      elseif type(value) == "table" and not seen[value] then
        seen[value] = true
        for k, v in pairs(value) do
          search(k, seen)
          search(v, seen)
        end
      end
    end
    search(err, {})
    search(tostring(err), {})
    for name, value in err.headers:each() do
      search(name, {})
      search(value, {})
    end
    assert.equal("bad ***", err.message)
  end)

  it("are hidden after the word Bearer even if nobody knows them", function()
    assert.equal("header Bearer *** refused",
      errors.redact("header Bearer abcdefghijklmnop refused"))
    assert.equal("the bearer token is missing", errors.redact("the bearer token is missing"))
  end)

  it("may hold magic characters", function()
    assert.equal("a *** b", errors.redact("a %d+(x)[%w] b", { "%d+(x)[%w]" }))
  end)
end)

describe("what an error says", function()
  it("reads the XML of a file host", function()
    local err = from(403, [[<?xml version="1.0"?>
      <Error><Code>AccessDenied</Code><Message>Request has expired.</Message>
      <RequestId>r-7</RequestId></Error>]])
    assert.equal("forbidden", err.kind)
    assert.equal("AccessDenied: Request has expired.", err.message)
    assert.equal("r-7", err.request_id)
    assert.equal("<a>odd</a>", from(400, "<a>odd</a>").message)
  end)

  it("does not say the same twice", function()
    local err = from(400, [[{"code":3,"message":"invalid: end_time: too late","details":[
      {"@type":"x/google.rpc.BadRequest","field_violations":[
        {"field":"end_time","description":"too late"},{"field":"id","description":"odd"}]}]}]])
    assert.equal("invalid: end_time: too late; id: odd", err.message)
    assert.equal(3, #err.messages)
  end)

  it("tells how long the server wants to be left alone", function()
    local err = from(429, "", nil, { error = { kind = "throttled", retry_after = 3600 } })
    assert.truthy(tostring(err):find("retry after 3600 s", 1, true), tostring(err))
  end)
end)

describe("errors of a real server", function()
  after_each(clients.close_all)

  it("carry what the server said", function()
    local scope = simulator.get():scope()
    local api = clients.client({ retry = false }, scope)
    for _, case in ipairs { { 400, "invalid" }, { 401, "unauthenticated" }, { 403, "forbidden" },
      { 404, "not_found" }, { 409, "invalid" }, { 422, "invalid" }, { 429, "throttled" },
      { 500, "server" }, { 502, "server" }, { 503, "server" } } do
      local res, err = api:get("/_http/status/" .. case[1],
        { query = { body = '{"code":"Odd","message":"said so"}', type = "application/json" } })
      assert.is_nil(res)
      assert.equal(case[2], err.kind)
      assert.equal(case[1], err.status)
      assert.equal("said so", err.message)
      assert.equal("Odd", err.code)
      assert.equal('{"code":"Odd","message":"said so"}', err.body)
      assert.equal("application/json", err.headers["Content-Type"])
      assert.equal(1, #err.attempts)
      assert.truthy(tostring(err):find("GET " .. scope.url .. "/_http/status/", 1, true))
    end
  end)
end)
