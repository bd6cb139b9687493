-- Owns: `client:download`: what may be asked of it, its progress, the table that it gives.
-- Must not: touch the file; the core writes, checks and renames it.

local core = require "garner.core"
local errors = require "garner.errors"
local options = require "garner.options"
local progress = require "garner.progress"
local request = require "garner.request"
local response = require "garner.response"
local sending = require "garner.send"

local M = {}

local WHAT = "client:download"

local function sha256(value)
  local hex = type(value) == "string" and #value == 64 and value:find "^%x+$"
  if hex or type(value) == "boolean" then return value end
  return nil, "must be true or 64 hexadecimal digits, got " .. options.show(value)
end

local function progress_option(value)
  if type(value) == "boolean" then return value end
  return options.callable(value)
end

local SCHEMA = {
  max_body = options.integer(1), timeout = options.duration, attempts = options.integer(1),
  redirects = options.integer(0, 20), operation = options.text, what = options.text,
  scope = options.text, context = options.table, sha256 = sha256, resume = options.boolean,
  progress = progress_option, on_progress = options.callable,
}

-- Whether plain http is allowed is for the core to say, as for redirects.
local function check_url(url)
  if type(url) ~= "string" or not url:lower():find("^https?://[^/]") then
    return "a download URL must start with https:// or http://"
  end
  local good, why = core.url_resolve(url, url)
  return not good and tostring(why) or nil
end

-- What the core tells becomes the object that users know; the rest of the time is guessed
-- from what came since it was first told.
local function meter_of(opts)
  if not opts.progress and not opts.on_progress then return nil end
  local meter = progress.new { progress = opts.progress, on_progress = opts.on_progress }
  local began, had
  return meter, function(at)
    local now = core.now()
    began, had = began or now, had or at.bytes
    local eta
    if at.total and at.bytes > had then
      eta = (at.total - at.bytes) * (now - began) / (at.bytes - had)
    end
    meter.eta = eta
    meter:update { bytes = at.bytes, bytes_total = at.total }
  end
end

--- A caller's options, checked; wrong ones raise at the caller's line.
---@param opts table|nil as for `run`
---@return table
function M.check(opts)
  return options.check(opts, SCHEMA, WHAT)
end

---@class garner.File
---@field path string
---@field size integer bytes
---@field verified boolean false: the server told neither a length nor a checksum, and a cut
--- connection would have looked the same
---@field resumed integer bytes that were there already and did not come again
---@field sha256 string|nil hexadecimal, if it was asked for
---@field status integer
---@field elapsed number seconds
---@field attempts table[]
---@field headers table

--- Downloads a file. It is written to `<path>.part` and renamed when it is whole: its length,
--- a checksum that the server names (Digest, Repr-Digest, Content-Digest, Content-MD5,
--- x-goog-hash, x-oss-hash-crc64ecma) and the caller's sha256 agree. Where the server gives a
--- strong ETag, a cut download goes on where it stopped, also in the next process (with
--- `<path>.part.meta`, in which no URL stands); any doubt means from the start.
---@param state table the client's
---@param url string http or https
---@param path string
---@param opts table|nil `sha256`: true gives it, 64 digits are compared (kind "protocol", code
--- "checksum"); `resume` (true); `progress`: true draws a line, a function gets the object, as
--- `on_progress` does; max_body (bytes), timeout, attempts, redirects
---@return garner.File|nil
---@return garner.Error|nil err kind "file" with the errno's name as code ("ENOSPC", also before
--- a byte was written), "locked" where another run is writing the same file; and those of a
--- request
function M.run(state, url, path, opts)
  opts = M.check(opts)
  if type(path) ~= "string" or path == "" or path:find("%z") then
    errors.misuse(WHAT .. ": the path must be a text, got " .. options.show(path))
  end
  opts.method = "GET"
  local context = request.context(opts, state)
  local bad = check_url(url)
  if bad then
    return nil, errors.from_raw({
      kind = "protocol", code = "url", message = bad, retryable = false,
      url = type(url) == "string" and core.url_redact(url, true) or nil,
    }, context)
  end
  local meter
  meter, context.on_progress = meter_of(opts)
  sending.prepare(state, {
    url = url, method = "GET", headers = {}, safe = true, download = true, file = path,
    max_body = opts.max_body, timeout = opts.timeout, attempts = opts.attempts,
    redirects = opts.redirects, sha256 = opts.sha256, resume = opts.resume ~= false,
    progress = meter ~= nil,
  }, context)
  local result, err = sending.once(state, context)
  if meter then meter:finish() end
  if not result then
    return nil, err
  end
  local facts = result:facts()
  return { path = result:file() or path, size = result:size(), status = result:status(),
    elapsed = result:elapsed(), attempts = result:attempts(), sha256 = facts.sha256,
    verified = facts.verified, resumed = facts.resumed,
    headers = response.headers(result:headers()) }
end

return M
