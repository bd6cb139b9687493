-- Answers in nginx with a list that is made while it is sent: `{"data":{"items":[...]}}`, 10
-- million items (`count` of the query: as many) of 108 bytes each. Each names its number, as text.
local count = tonumber(ngx.var.arg_count) or 10000000
local BLOCK = 1000

local REST = ',"time":"2026-11-%02dT%02d:%02d:00Z","name":"item %03d","value":%d.%02d,'
  .. '"ok":%s,"tag":"t%d"}'

local tail = {}
for i = 1, BLOCK do
  tail[i] = REST:format(1 + i % 28, i % 24, i % 60, i % 1000, 1000 + i % 9000, i % 100,
    i % 2 == 0 and "true" or "null", i % 10)
end

ngx.header.content_type = "application/json"
ngx.print '{"data":{"items":['
local done = 0
local parts = {}
while done < count do
  local n = math.min(BLOCK, count - done)
  for i = 1, n do
    parts[2 * i - 1] = (done + i > 1 and ',{"id":"%013d"' or '{"id":"%013d"'):format(done + i)
    parts[2 * i] = tail[i]
  end
  for i = 2 * n + 1, #parts do parts[i] = nil end
  ngx.print(parts)
  if not ngx.flush(true) then return end
  done = done + n
end
ngx.print "]}}"
