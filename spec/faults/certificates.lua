-- Owns: the certificates of the run, good and wrong ones, made in memory when first asked
-- for. Must not: write a key to disk.

local alt = require "openssl.x509.altname"
local bignum = require "openssl.bignum"
local context = require "openssl.ssl.context"
local extension = require "openssl.x509.extension"
local names = require "openssl.x509.name"
local pkey = require "openssl.pkey"
local x509 = require "openssl.x509"

local M = {}

local DAY = 86400

local function name_of(text)
  local name = names.new()
  name:add("CN", text)
  return name
end

local function ec_key()
  return pkey.new { type = "EC", curve = "prime256v1" }
end

local serial = 0

local function unsigned(subject, issuer, key, from, to)
  local cert = x509.new()
  serial = serial + 1
  cert:setVersion(3)
  cert:setSerial(bignum.new(serial))
  cert:setSubject(name_of(subject))
  cert:setIssuer(name_of(issuer))
  cert:setLifetime(os.time() + from * DAY, os.time() + to * DAY)
  cert:setPublicKey(key)
  return cert
end

local CA = "garner faults test CA"
local ca_key = ec_key()
local ca = unsigned(CA, CA, ca_key, -30, 30)
ca:setBasicConstraints { CA = true }
ca:setBasicConstraintsCritical(true)
ca:addExtension(extension.new("keyUsage", "critical,keyCertSign,cRLSign"))
ca:sign(ca_key, "sha256")

-- What differs from a good certificate for localhost and 127.0.0.1.
local KINDS = {
  good = {},
  expired = { from = -20, to = -1 },
  not_yet = { from = 1, to = 20 },
  other_host = { subject = "other.example", hosts = { "other.example" } },
  self_signed = { self_signed = true },
  unknown_ca = { issuer = "somebody else's CA" },
  sha1 = { digest = "sha1" },
  rsa_1024 = { key = function() return pkey.new { type = "RSA", bits = 1024 } end },
  no_san = { hosts = {} },
  tls_1_1 = { protocol = "TLSv1_1" },
  h2 = { http2 = {} },
  h2_2 = { http2 = { streams = 2 } },
}

---The CA of the good ones, as PEM.
---@return string
function M.ca_pem()
  return ca:toPEM()
end

local function leaf(kind, key)
  local subject = kind.subject or "localhost"
  local cert = unsigned(subject, kind.self_signed and subject or kind.issuer or CA, key,
    kind.from or -1, kind.to or 20)
  local hosts = kind.hosts or { "localhost" }
  if #hosts > 0 then
    local other = alt.new()
    for _, host in ipairs(hosts) do other:add("DNS", host) end
    if not kind.hosts then other:add("IP", "127.0.0.1") end
    cert:setSubjectAlt(other)
  end
  cert:sign(kind.self_signed and key or kind.issuer and ec_key() or ca_key,
    kind.digest or "sha256")
  return cert
end

---What is spoken after the handshake: nil for HTTP/1.1.
---@param name string
---@return table|nil http2 { streams = how many a client may have open, nil for any number }
function M.http2(name)
  return KINDS[name].http2
end

local made = {}

---The server side's TLS context with that certificate.
---@param name string a key of KINDS
---@return userdata|nil
---@return string|nil error
function M.context(name)
  local kind = KINDS[name]
  if not kind then return nil, "no certificate is called " .. tostring(name) end
  if not made[name] then
    local key = (kind.key or ec_key)()
    local tls = context.new(kind.protocol or "TLS", true)
    -- This side takes whatever is weak: it is the client that has to refuse.
    tls:setCipherList "ALL:@SECLEVEL=0"
    tls:setPrivateKey(key)
    tls:setCertificate(leaf(kind, key))
    if kind.http2 then
      tls:setAlpnSelect(function() return "h2" end)
    end
    made[name] = tls
  end
  return made[name]
end

return M
