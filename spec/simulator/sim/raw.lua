-- Answers that no correct server gives: cut short, reset, dripping, not HTTP at all. They
-- write to the connection themselves. HTTP/2 has no raw connection; there the stream is
-- ended early or reset, which is what such a server's clients see.
local M = {}

local function http2()
  return ngx.var.server_protocol == "HTTP/2.0"
end

local function block(status, headers)
  local out = { ("HTTP/1.1 %d %s"):format(status, status == 200 and "OK" or "Status") }
  for name, value in pairs(headers) do out[#out + 1] = name .. ": " .. tostring(value) end
  table.sort(out, function(a, b)
    if a:find("^HTTP/") then return b:find("^HTTP/") == nil end
    return not b:find("^HTTP/") and a < b
  end)
  return table.concat(out, "\r\n") .. "\r\n\r\n"
end

-- Sends bytes as they are and ends the connection: FIN, or RST with `reset`.
local function send_raw(text, reset)
  local sock, err = ngx.req.socket(true)
  if not sock then
    ngx.log(ngx.ERR, "no raw connection: ", err)
    return ngx.exit(444)
  end
  sock:send(text)
  if reset then
    -- Otherwise the reset may overtake what was just written.
    ngx.sleep(0.05)
    return ngx.exit(444)
  end
end

local function send_http2(answer, sent)
  ngx.status = answer.status
  for name, value in pairs(answer.headers) do ngx.header[name] = value end
  ngx.header["Content-Length"] = #answer.body
  ngx.print(answer.body:sub(1, sent))
  ngx.flush(true)
  return ngx.exit(444)
end

---Announces the whole body, sends its first `count` bytes, closes.
function M.truncate(_, answer, count)
  if http2() then return send_http2(answer, count) end
  local headers = { Connection = "close" }
  for name, value in pairs(answer.headers) do headers[name] = value end
  headers["Content-Length"] = #answer.body
  return send_raw(block(answer.status, headers) .. answer.body:sub(1, count))
end

local function truncated(req)
  local answer = { status = 200, headers = { ["Content-Type"] = "application/json" },
    body = '{"items":[' .. ("1,"):rep(500) .. "1]}" }
  return M.truncate(req, answer, req:integer("bytes", 100))
end

local function chunked_cut()
  local body = '{"items":[1,2,3,'
  if http2() then
    return send_http2({ status = 200, headers = {}, body = body .. "4]}" }, #body)
  end
  local headers = { ["Content-Type"] = "application/json", ["Transfer-Encoding"] = "chunked",
    Connection = "close" }
  return send_raw(block(200, headers) .. ("%x\r\n%s\r\n"):format(#body, body) .. "40\r\n\"half")
end

-- Neither a length nor chunks: the end of the connection is the end of the body.
local function until_close(req)
  local body = req:arg("cut") and '{"items":[1,2,3' or '{"items":[1,2,3]}'
  if http2() then
    return send_http2({ status = 200, headers = {}, body = body .. " " }, #body)
  end
  return send_raw(block(200, { ["Content-Type"] = "application/json", Connection = "close" }) ..
    body)
end

local function reset(req)
  local after = req:integer("after", 0)
  if after == 0 or http2() then return ngx.exit(444) end
  local headers = { ["Content-Type"] = "text/plain", ["Content-Length"] = after + 1000 }
  return send_raw(block(200, headers) .. ("x"):rep(after), true)
end

local function closed()
  if http2() then return ngx.exit(444) end
  return send_raw("")
end

local function junk(req)
  if http2() then return ngx.exit(444) end
  local kinds = {
    text = "this is not HTTP at all\r\n\r\n",
    status = "HTTP/1.1 banana\r\n\r\n",
    header = "HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok",
    length = "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nok",
    lengths = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\nok",
    chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
  }
  return send_raw(kinds[req:arg("kind") or "text"] or kinds.text)
end

local paths = {
  ["truncated"] = truncated,
  ["chunked-cut"] = chunked_cut,
  ["until-close"] = until_close,
  ["reset"] = reset,
  ["close"] = closed,
  ["junk"] = junk,
}

---The raw behaviour of that name, or nil.
function M.find(name)
  return paths[name]
end

return M
