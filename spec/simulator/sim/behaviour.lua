-- The /_http endpoints: HTTP as clients meet it, without any API: echo, statuses, delays,
-- redirects, sizes, encodings, page walks. Same paths on both origins. Knows no vendor.
local http = require "sim.http"
local json = require "sim.json"
local raw = require "sim.raw"

local M = {}

local MAX_BYTES = 1024 * 1024 * 1024

local function echo(req)
  local args = {}
  for i, pair in ipairs(req.args) do args[i] = json.array { pair[1], pair[2] } end
  return http.json(req:integer("status", 200), {
    method = req.method, uri = req.uri, path = req.path, query = req.query,
    args = json.array(args), headers = req.headers, body = req.body, protocol = req.protocol,
    host = req.host, scheme = req.scheme, origin = req.origin, connection = req.connection,
  })
end

local function status(req, rest)
  local code = tonumber(rest:match("^%d%d%d$"))
  if not code or code < 200 then return http.json(400, { error = "status/NNN" }) end
  local headers = {}
  if req:arg("retry_after") then headers["Retry-After"] = req:arg("retry_after") end
  local body = req:arg("body")
  if body then return http.text(code, body, req:arg("type"), headers) end
  return http.json(code, { status = code }, headers)
end

local function delay(_, rest)
  ngx.sleep((tonumber(rest:match("^%d+$")) or 0) / 1000)
  return http.json(200, { delayed = tonumber(rest) })
end

local function redirect(req)
  local to = req:arg("to") or "/_http/echo"
  local left = req:integer("times", 1)
  if left > 1 then
    to = ("/_http/redirect?times=%d&to=%s&status=%s"):format(left - 1, ngx.escape_uri(to),
      req:arg("status") or "302")
  end
  return http.text(req:integer("status", 302), "moved\n", nil, { Location = to })
end

-- A repeated pattern, so that a shifted or lost byte shows.
local PATTERN = {}
for i = 0, 4095 do PATTERN[i + 1] = ("%04x"):format(i % 65536) end
PATTERN = table.concat(PATTERN)

local function send_bytes(count)
  local sent = 0
  while sent < count do
    local piece = count - sent >= #PATTERN and PATTERN or PATTERN:sub(1, count - sent)
    if not ngx.print(piece) then return end
    sent = sent + #piece
    if sent % (#PATTERN * 64) == 0 then ngx.flush(true) end
  end
end

local function bytes(req, rest)
  local count = math.min(tonumber(rest:match("^%d+$")) or 0, MAX_BYTES)
  ngx.header["Content-Type"] = "application/octet-stream"
  if not req:arg("chunked") then ngx.header["Content-Length"] = count end
  send_bytes(count)
end

-- A gzip stream of stored blocks, made here so that it can be cut at will.
local function stored_gzip(text)
  local function le(n, size)
    local out = {}
    for i = 1, size do
      out[i] = string.char(n % 256)
      n = math.floor(n / 256)
    end
    return table.concat(out)
  end
  return "\31\139\8\0\0\0\0\0\0\3" .. "\1" .. le(#text, 2) .. le(65535 - #text, 2) .. text ..
    le(ngx.crc32_long(text), 4) .. le(#text, 4)
end

-- `size`: zeros, packed by nginx (a small answer that grows); `cut`: the stream lacks its
-- last bytes; `bad`: a stream that is no gzip.
local function gzip(req)
  local size = req:integer("size")
  if size then
    ngx.header["Content-Type"] = "application/octet-stream"
    local zeros = ("\0"):rep(65536)
    local left = math.min(size, MAX_BYTES)
    while left > 0 do
      ngx.print(left >= #zeros and zeros or zeros:sub(1, left))
      left = left - #zeros
      ngx.flush(true)
    end
    return nil
  end
  local text = json.encode { gzip = true, items = json.array { 1, 2, 3 }, fill = ("a"):rep(2000) }
  if not (req:arg("cut") or req:arg("bad") or req:arg("stored")) then
    return http.json(200, text)
  end
  local packed = stored_gzip(text)
  packed = packed:sub(1, #packed - req:integer("cut", 0))
  if req:arg("bad") then packed = "not gzip at all" end
  return http.json(200, packed, { ["Content-Encoding"] = "gzip" })
end

-- One uncompressed brotli block: 16-bit window, 4-nibble length, the text, an empty last block.
local function brotli()
  local text = json.encode { brotli = true, items = json.array { 1, 2, 3 } }
  local head = (#text - 1) * 16 + 2 ^ 20
  local packed = string.char(head % 256, math.floor(head / 256) % 256, math.floor(head / 65536)) ..
    text .. "\3"
  return http.json(200, packed, { ["Content-Encoding"] = "br" })
end

local function html(req)
  local code = req:integer("status", 200)
  return http.text(code, "<!DOCTYPE html>\n<html><head><title>" .. code ..
    " gateway</title></head><body><h1>" .. code .. "</h1><p>Down for repairs.</p></body></html>\n",
    "text/html; charset=utf-8")
end

local function empty(req)
  return http.text(req:integer("status", 200), "", req:arg("type") or "application/json")
end

-- N bytes of header lines, each well below what one line may have.
local function headers(_, rest)
  local left = tonumber(rest:match("^%d+$")) or 0
  local answer = http.json(200, { headers = left })
  local index = 0
  while left > 0 do
    index = index + 1
    local name = ("X-Fill-%d"):format(index)
    local size = math.max(1, math.min(left, 1000) - #name - 4)
    answer.headers[name] = ("h"):rep(size)
    left = left - 1000
  end
  return answer
end

-- One byte at a time; `ms` between them. The length is announced.
local function slow(req)
  local count = req:integer("bytes", 25)
  local pause = req:integer("ms", 200) / 1000
  ngx.header["Content-Type"] = "text/plain"
  ngx.header["Content-Length"] = count
  for i = 1, count do
    ngx.print(string.char(97 + (i - 1) % 26))
    if not ngx.flush(true) then return end
    if i < count then ngx.sleep(pause) end
  end
end

-- Some bytes, then nothing for `seconds`, then the rest.
local function stall(req)
  ngx.header["Content-Type"] = "text/plain"
  ngx.header["Content-Length"] = 20
  ngx.print("0123456789")
  if not ngx.flush(true) then return end
  ngx.sleep(math.min(req:integer("seconds", 30), 300))
  ngx.print("0123456789")
end

local function page_items(number, size)
  local list = json.array()
  for i = 1, size do list[i] = { id = (number - 1) * size + i } end
  return list
end

local function next_link(req, number, kind)
  local query = ("n=%s&size=%s&link=%s&page=%d"):format(req:arg("n") or "5", req:arg("size") or "3",
    kind, number)
  for _, name in ipairs { "fail_at", "cycle", "scope" } do
    local value = req:arg(name)
    if value then query = query .. "&" .. name .. "=" .. ngx.escape_uri(value) end
  end
  local prefix = req.prefix_scope and "/_scope/" .. req.prefix_scope or ""
  local path = prefix .. req.path .. "?" .. query
  if kind == "relative" then return path end
  if kind == "files" then
    return (req.scheme == "https" and ngx.var.files_tls or ngx.var.files) .. path
  end
  return req.scheme .. "://" .. req.host .. path
end

-- `n` pages of `size` things. The next page is named by nextPageToken (sent back as
-- pageToken), or with `link` by a URL: 1 absolute, relative, files (another origin), or with
-- `numbers` not at all (the caller counts pages itself).
local function pages(req)
  local count, size = req:integer("n", 5), req:integer("size", 3)
  local token = req:arg("pageToken")
  local number = token and tonumber(token:match("^page%-(%d+)$")) or req:integer("page", 1)
  if req:integer("fail_at") == number then
    return http.json(500, { error = "page " .. number .. " failed" })
  end
  local body = { things = page_items(number, number > count and 0 or size), page = number }
  local follow = number + 1
  if req:arg("cycle") then follow = number == count and math.max(1, count - 1) or number + 1 end
  if follow <= count and not req:arg("numbers") then
    local link = req:arg("link")
    if link then body.next = next_link(req, follow, link) end
    if not link then body.nextPageToken = "page-" .. follow end
  end
  return http.json(200, body)
end

local function cookie()
  return http.json(200, { cookie = true }, { ["Set-Cookie"] = "sim=secret; Path=/" })
end

local function invalid_json(req)
  local kinds = {
    cut = '{"things":[1,2',
    bom = '\239\187\191{"things":[]}',
    utf8 = '{"things":"\255\254"}',
    trailing = '{"things":[]} and more',
    deep = ("["):rep(2000) .. ("]"):rep(2000),
    null = "null",
    text = "all is well",
  }
  return http.json(200, kinds[req:arg("kind") or "cut"] or kinds.cut)
end

local paths = {
  echo = echo, status = status, delay = delay, redirect = redirect, bytes = bytes, gzip = gzip,
  br = brotli, html = html, empty = empty, headers = headers, slow = slow, stall = stall,
  pages = pages, cookie = cookie, ["invalid-json"] = invalid_json,
}

function M.handle(req)
  local name, rest = req.path:match("^/_http/([%w-]+)/?(.*)$")
  local handler = name and (paths[name] or raw.find(name))
  if not handler then return http.json(404, { error = "no such behaviour: " .. req.path }) end
  return handler(req, rest)
end

return M
