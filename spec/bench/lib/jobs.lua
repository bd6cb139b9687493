-- Answers in nginx as an API of jobs does: POST /jobs { count = N } makes N of them, POST
-- /jobs/poll { ids = {...} } tells the states of at most 100, each done at its own poll: the first,
-- second or third, by its number. GET /jobs/counts tells what was asked, POST /jobs/reset forgets.
local cjson = require "cjson.safe"

local dict = ngx.shared.jobs
local BATCH = 100

local function answer(status, value)
  ngx.status = status
  ngx.header.content_type = "application/json"
  ngx.print(cjson.encode(value))
end

local function body()
  ngx.req.read_body()
  return cjson.decode(ngx.req.get_body_data() or "null") or {}
end

-- The poll at which the job with that number is done.
local function due(number)
  return 1 + number % 3
end

local function make()
  local count = tonumber(body().count) or 1
  local last = dict:incr("made", count, 0)
  local jobs = {}
  for i = 1, count do
    jobs[i] = { id = "job-" .. last - count + i }
  end
  answer(200, { jobs = jobs })
end

local function poll()
  local ids = body().ids
  if type(ids) ~= "table" or #ids < 1 or #ids > BATCH then
    return answer(400, { error = "1 to " .. BATCH .. " ids" })
  end
  dict:incr("calls", 1, 0)
  local jobs = {}
  for i, id in ipairs(ids) do
    local number = tonumber(id:match "^job%-(%d+)$")
    if not number then return answer(404, { error = "no such job: " .. id }) end
    local polls = dict:incr(id, 1, 0)
    dict:incr("polled", 1, 0)
    local done = polls >= due(number)
    jobs[i] = { id = id, status = done and "done" or "running",
      uri = done and "http://" .. ngx.var.http_host .. "/1k" or nil }
  end
  answer(200, { jobs = jobs })
end

local routes = {
  ["POST /jobs"] = make,
  ["POST /jobs/poll"] = poll,
  ["POST /jobs/reset"] = function()
    dict:flush_all()
    answer(200, { ok = true })
  end,
  ["GET /jobs/counts"] = function()
    answer(200, { calls = dict:get "calls" or 0, polled = dict:get "polled" or 0,
      made = dict:get "made" or 0 })
  end,
}

local route = routes[ngx.req.get_method() .. " " .. ngx.var.uri]
if route then route() else answer(404, { error = "not found" }) end
