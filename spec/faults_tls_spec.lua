-- Peers whose TLS is wrong: no byte of a request reaches them, whatever the environment
-- says. The numbers are those of the catalogue of faults.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local probe = require "spec.support.probe"

local function refused(name, certificate, message)
  return { name, tls = certificate, kind = "transport", code = "tls", message = message,
    requests = 0, retryable = false }
end

local cases = {
  { "16 a good certificate", tls = "good", answer = { body = "{}" }, json = true, requests = 1 },
  refused("16 an expired certificate", "expired", "expired"),
  refused("17 a certificate that is not yet valid", "not_yet", "not yet valid"),
  refused("18 a certificate for another host", "other_host", "localhost"),
  refused("19 a self-signed certificate", "self_signed", "self-signed"),
  refused("19 a certificate of a CA that nobody knows", "unknown_ca", "issuer"),
  refused("20 a certificate signed with SHA-1", "sha1", "weak"),
  refused("21 a certificate with a key of 1024 bits", "rsa_1024", "weak"),
  refused("22 a server with nothing newer than TLS 1.1", "tls_1_1", "protocol version"),
  -- OpenSSL still takes a name from the CN where there is no alternative name at all.
  { "23 a certificate with its name in the CN alone is taken", tls = "no_san",
    answer = { body = "{}" }, json = true, requests = 1 },
  { "26 a redirect from https to http", tls = "good", kind = "protocol", code = "redirect",
    requests = 1, answer = { status = 302, headers = { "Location: http://localhost/x" } } },
  { "29 a body that is cut within TLS", tls = "good", kind = "protocol", code = "incomplete",
    requests = 2, answer = { body = "0123456789", cut = 4 } },
  { "7 a reset within a body within TLS", tls = "good", kind = "transport", code = "reset",
    requests = 2, answer = { body = "0123456789", cut = 4, after = "reset" } },
}

describe("TLS:", function()
  lazy_setup(function() probe.run(cases) end)

  for _, case in ipairs(cases) do
    it(case[1], function() probe.check(case) end)
  end
end)

describe("a peer without a finished handshake", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function client(options)
    options.base_url, options.ca_file = s:tls(), s.ca_file
    options.retry = { attempts = 3, backoff = 0.01 }
    return clients.client(options)
  end

  it("that resets or hangs up was no connection: again, even what creates", function()
    s:script("/x", { body = "{}" })
    for _, how in ipairs { "reset", "close" } do
      s:on_connect({ { [how] = true } }, { { [how] = true } })
      local res = assert(client {}:post("/x", { creates = true, body = "b" }))
      assert.equal(3, #res.attempts, how)
      assert.equal("connect", res.attempts[1].code)
    end
    assert.equal(2, s:count "/x")
  end)

  it("that never gets further ends at connect_timeout", function()
    s:on_connect({ { stall = true } }, { { stall = true } }, { { stall = true } })
    local _, err = client { connect_timeout = 0.2 }:post("/x", { creates = true, body = "b" })
    assert.equal("timeout", err.kind)
    assert.equal("connect", err.code)
    assert.equal(3, #err.attempts)
    assert.equal(0, s:count())
  end)

  it("that speaks something else is refused once", function()
    s:on_connect { "HTTP/1.1 400 Bad Request\r\n\r\n" }
    local _, err = client {}:post("/x", { creates = true, body = "b" })
    assert.equal("transport", err.kind)
    assert.equal("tls", err.code)
    assert.equal(1, s:state().connections)
  end)

  it("is not trusted because the environment says so", function()
    s:script("/x", { body = "{}" })
    local code, output = clients.run(([[
      local garner = require "garner"
      local api = garner.client { base_url = %q, retry = false, timeout = 20 }
      local res, err = api:get "/x"
      print(res and "trusted" or err.kind .. "/" .. err.code)
      api:close()]]):format(s:tls()), ("SSL_CERT_FILE=%s CURL_CA_BUNDLE=%s CURL_SSL_BACKEND=none "
        .. "GIT_SSL_NO_VERIFY=1 PYTHONHTTPSVERIFY=0 NODE_TLS_REJECT_UNAUTHORIZED=0"):format(
        s.ca_file, s.ca_file))
    assert.equal("transport/tls\n", output)
    assert.equal(0, code)
    assert.equal(0, s:count())
  end)

  it("is trusted by insecure_tls alone, with a warning", function()
    s:script("/x", { body = '"ok"' })
    for _, certificate in ipairs { "expired", "other_host", "self_signed" } do
      local warned = {}
      local api = clients.client { base_url = s:tls(certificate), insecure_tls = true,
        log = function(level, event)
          if level == "warn" then warned[#warned + 1] = event end
        end }
      assert.equal("ok", assert(api:get "/x"):json())
      assert.same({ "insecure_tls" }, warned)
    end
  end)

  -- 28: what reads keys out of OpenSSL is libcurl's affair; that it does is written down.
  it("may have its keys logged by SSLKEYLOGFILE, as the README says", function()
    s:script("/x", { body = "{}" })
    local keys = os.tmpname()
    clients.run(([[
      local garner = require "garner"
      local api = garner.client { base_url = %q, ca_file = %q }
      assert(api:get "/x")
      api:close()]]):format(s:tls(), s.ca_file), "SSLKEYLOGFILE=" .. keys)
    local file = io.open(keys)
    local text = file:read "*a"
    file:close()
    os.remove(keys)
    assert.truthy(text:find "CLIENT_")
    local readme = assert(io.open "README.md")
    assert.truthy(readme:read("*a"):find("SSLKEYLOGFILE", 1, true))
    readme:close()
  end)
end)
