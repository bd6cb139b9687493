-- Owns: a recording: a file with one JSON object per line, first what it is, then each
-- attempt with its response, without secrets.
-- Must not: let a request fail because its recording does.

local base64 = require "garner.base64"
local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local json = require "garner.json"
local redact = require "garner.redact"

local M = {}

--- The version of the format that this file writes and reads.
M.VERSION = 1

local hidden = setmetatable({}, { __mode = "k" })

-- Lines -----------------------------------------------------------------------

local function set_body(line, name, text)
  if not text then
    return
  elseif json.try_encode(text) then
    line[name] = text
  else
    line[name .. "_base64"] = base64.encode(text)
  end
end

--- The body that a line of a recording holds.
---@param line table
---@param name string "body" or "request_body"
---@return string|nil
function M.body(line, name)
  local coded = line[name .. "_base64"]
  return coded and base64.decode(coded) or line[name]
end

-- The body is written as it was decoded (a file's as it came), so what told of its coding
-- must go.
local function response_headers(list, raw, redactor)
  local coded = false
  for _, pair in ipairs(raw and {} or list) do
    coded = coded or pair[1]:lower() == "content-encoding" and pair[2]:lower() ~= "identity"
  end
  local out = {}
  for _, pair in ipairs(redactor:headers(list)) do
    local lower = pair[1]:lower()
    if lower ~= "transfer-encoding"
      and not (coded and (lower == "content-encoding" or lower == "content-length")) then
      out[#out + 1] = pair
    end
  end
  return out
end

-- A body that lost a secret has another length than its header says.
local function fix_length(headers, before, after)
  for _, pair in ipairs(headers) do
    if pair[1]:lower() == "content-length" and pair[2] == tostring(before) then
      pair[2] = string.format("%.0f", after)
    end
  end
end

-- The request first: what is hidden in it is hidden in the response, too.
local function line_of(attempt, redactor)
  local line = {
    method = attempt.method, url = redactor:url(attempt.url), attempt = attempt.attempt,
    safe = attempt.safe, status = attempt.status, elapsed = attempt.elapsed, cut = attempt.cut,
  }
  line.request_headers = json.array(redactor:headers(attempt.headers))
  if attempt.body then
    set_body(line, "request_body", redactor:text(attempt.body))
  end
  line.headers = json.array(response_headers(attempt.response_headers, attempt.raw, redactor))
  if attempt.response_body then
    local shown = redactor:text(attempt.response_body)
    fix_length(line.headers, #attempt.response_body, #shown)
    set_body(line, "body", shown)
  end
  if attempt.curl_code ~= 0 then
    line.error = { code = attempt.curl_code,
      message = errors.redact(attempt.text or "", redactor.secrets()) }
  end
  return line
end

-- The recording ---------------------------------------------------------------

---@class garner.Recording
local Recording = { __name = "garner.Recording" }
Recording.__index = Recording

function Recording:__tostring()
  local r = hidden[self]
  return "garner recording " .. r.path .. (r.file and "" or " (closed)")
end

--- Ends the recording. May be called again; clients that still have it record no more.
function Recording:close()
  local r = hidden[self]
  if r.file then
    r.file:close()
    r.file = nil
  end
end
Recording.__close = Recording.close

local function write(r, line)
  local text, why = json.try_encode(line)
  if text then
    local ok, message = r.file:write(text, "\n")
    why = not ok and message or nil
  end
  return not why and r.file:flush(), why
end

--- Starts a recording: the file is made new, for its owner's eyes only.
---@param path string
---@param owned boolean|nil its only client closes it
---@return garner.Recording
function M.record(path, owned)
  if type(path) ~= "string" or path == "" then
    errors.misuse("garner.record: give the path of a file")
  end
  local made, why = core.create_private(path)
  local file = made and io.open(path, "ab")
  if not file then
    errors.misuse("garner.record: cannot write " .. tostring(why or path))
  end
  local self = setmetatable({}, Recording)
  hidden[self] = { file = file, path = path, owned = owned == true, marks = {}, count = 0,
    started = core.now(),
    guard = compat.finalizer(function()
      pcall(file.close, file)
    end) }
  write(hidden[self], { garner_recording = M.VERSION, garner = core.VERSION })
  return self
end

--- Whether a value came from `record`.
function M.is(value)
  return hidden[value] ~= nil
end

--- Whether the client that has it made it, from a path.
function M.is_owned(value)
  return hidden[value].owned
end

-- The same secret gets the same name everywhere in a recording, so that a signed URL
-- that an answer gave is the one that the next request asks for.
local function marker(r)
  return function(value)
    if not r.marks[value] then
      r.count = r.count + 1
      r.marks[value] = "redacted-" .. r.count
    end
    return r.marks[value]
  end
end

local SHORTEST = 6 -- bytes of a value that is looked for everywhere

-- A redactor for one attempt, which remembers what it hid.
local function redactor_for(attempt, secrets, own, mark)
  local seen, known = {}, redact.with_headers(secrets, attempt.headers)
  return redact.new(function()
    local list = known()
    for _, value in ipairs(seen) do
      table.insert(list, 1, value)
    end
    return list
  end, own, function(value)
    if #value >= SHORTEST then
      seen[#seen + 1] = value
    end
    return mark(value)
  end)
end

--- What a client calls with each attempt.
---@param self garner.Recording
---@param secrets fun(): table
---@param own fun(url: string): boolean
---@param log fun(level: string, event: string, fields: table)
---@return fun(attempt: table)
function M.writer(self, secrets, own, log)
  local r = hidden[self]
  local mark = marker(r)
  return function(attempt)
    if not r.file then
      return
    end
    local line = line_of(attempt, redactor_for(attempt, secrets, own, mark))
    line.at = core.now() - r.started
    local ok, why = write(r, line)
    if not ok and not r.failed then
      r.failed = true
      log("warn", "recording_failed", { file = r.path, error = tostring(why) })
    end
  end
end

return M
