-- Owns: answering requests from a recording: by method, URL (in whatever order its query
-- is) and body, in the order of the recording. Must not: invent an answer.

local core = require "garner.core"
local errors = require "garner.errors"
local json = require "garner.json"
local recording = require "garner.recording"
local redact = require "garner.redact"

local M = {}

local hidden = setmetatable({}, { __mode = "k" })

-- Keys ------------------------------------------------------------------------

local function sorted_query(query)
  local parts = {}
  for part in query:gmatch("[^&]+") do
    parts[#parts + 1] = part
  end
  table.sort(parts)
  return table.concat(parts, "&")
end

local function canonical_url(url)
  local head, query = url:match("^([^?#]*)%??([^#]*)")
  return head, sorted_query(query)
end

-- With `loose`, secrets are alike: whoever replays has others, or none.
local function key_of(method, url, body, loose)
  local head, query = canonical_url(url)
  local key = method .. " " .. head .. "?" .. query .. "\n" .. (body or "")
  return loose and key:gsub("redacted%-%d+", "***") or key
end

-- Loading ---------------------------------------------------------------------

local function bad(path, why)
  errors.misuse("garner.replay: " .. path .. ": " .. why)
end

local function add(list, key, entry)
  list[key] = list[key] or { used = 0 }
  table.insert(list[key], entry)
end

local function load_lines(path)
  local file, why = io.open(path, "rb")
  if not file then
    errors.misuse("garner.replay: cannot read " .. why)
  end
  local lines, number = {}, 0
  for text in file:lines() do
    number = number + 1
    local line = json.decode(text)
    if type(line) ~= "table" or (number == 1 and line.garner_recording == nil) then
      file:close()
      bad(path, number == 1 and "this is no recording of garner"
        or "line " .. number .. " is not whole")
    elseif number == 1 and line.garner_recording ~= recording.VERSION then
      file:close()
      bad(path, "a recording of version " .. tostring(line.garner_recording) .. "; this garner "
        .. "reads version " .. recording.VERSION)
    end
    lines[number] = line
  end
  file:close()
  if number == 0 then
    bad(path, "the file is empty")
  end
  table.remove(lines, 1)
  return lines
end

---@class garner.Replay
local Replay = { __name = "garner.Replay" }
Replay.__index = Replay

function Replay:__tostring()
  local r = hidden[self]
  return "garner replay of " .. r.path .. " (" .. #r.lines .. " requests)"
end

--- Reads a recording.
---@param path string
---@return garner.Replay
function M.replay(path)
  if type(path) ~= "string" or path == "" then
    errors.misuse("garner.replay: give the path of a recording")
  end
  local self = setmetatable({}, Replay)
  local r = { path = path, lines = load_lines(path), exact = {}, loose = {} }
  for _, line in ipairs(r.lines) do
    local body = recording.body(line, "request_body")
    add(r.exact, key_of(line.method, line.url, body), line)
    add(r.loose, key_of(line.method, line.url, body, true), line)
  end
  hidden[self] = r
  return self
end

--- Whether a value came from `replay`.
function M.is(value)
  return hidden[value] ~= nil
end

-- Answering -------------------------------------------------------------------

-- How near a recorded request is to one that is asked for.
local function likeness(line, method, head, query)
  local line_head, line_query = canonical_url(line.url)
  local score = line.method == method and 4 or 0
  if line_head == head then
    score = score + 16
  elseif line_head:gsub("^%a+://[^/]*", "") == head:gsub("^%a+://[^/]*", "") then
    score = score + 8
  end
  for part in query:gmatch("[^&]+") do
    if ("&" .. line_query .. "&"):find("&" .. part .. "&", 1, true) then
      score = score + 1
    end
  end
  return score
end

local function nearest(r, method, url)
  local head, query = canonical_url(url)
  local best, best_score = nil, 0
  for _, line in ipairs(r.lines) do
    local score = likeness(line, method, head, query)
    if score > best_score then
      best, best_score = line, score
    end
  end
  return best
end

local function unmatched(r, method, url, body)
  local near = nearest(r, method, url)
  local message = "the recording " .. r.path .. " has no " .. method .. " " .. url
  if near then
    message = message .. "; the nearest is " .. near.method .. " " .. near.url
    if near.method == method and core.url_same_origin(near.url, url)
      and sorted_query(near.url) == sorted_query(url) and body then
      message = message .. " with another body"
    end
  end
  return { kind = "protocol", code = "replay", message = message }
end

-- Reads go on with the last answer: there may be more looks than were recorded. Nobody renews a
-- token here, so a refusal that another answer followed is passed over.
local function take(list, safe)
  while list.used < #list - 1 and list[list.used + 1].status == 401 do
    list.used = list.used + 1
  end
  if list.used < #list then
    list.used = list.used + 1
  elseif not safe then
    return nil
  end
  return list[list.used]
end

local function answer(r, line)
  if line.cut then
    return { kind = "protocol", code = "replay",
      message = "the body of " .. line.method .. " " .. line.url .. " was too long for the "
        .. "recording " .. r.path }
  end
  local lines = {}
  for _, pair in ipairs(line.headers) do
    lines[#lines + 1] = pair[1] .. ": " .. pair[2] .. "\r\n"
  end
  local failed = line.error or { code = 0 }
  return { status = line.status, headers = table.concat(lines),
    body = recording.body(line, "body"), curl_code = failed.code, text = failed.message }
end

--- What answers a client's requests.
---@param self garner.Replay
---@param secrets fun(): table
---@param own fun(url: string): boolean
---@return fun(request: table): table answer for the core
function M.transport(self, secrets, own)
  local r = hidden[self]
  -- A name that the recording gave stays what it is.
  local redactor = redact.new(secrets, own, function(value)
    return value:find("^redacted%-%d+$") and value or "***"
  end)
  return function(request)
    local url = redactor:url(request.url)
    local body = request.body and redactor:text(request.body)
    local list = r.exact[key_of(request.method, url, body)]
      or r.loose[key_of(request.method, url, body, true)]
    if not list then
      return unmatched(r, request.method, url, body)
    end
    local line = take(list, request.safe)
    if not line then
      return { kind = "protocol", code = "replay",
        message = "the recording " .. r.path .. " has " .. request.method .. " " .. url .. " "
          .. #list .. " times, and all of them were used" }
    end
    return answer(r, line)
  end
end

return M
