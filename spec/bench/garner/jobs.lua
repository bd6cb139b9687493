--- Many jobs, looked after until each has ended.
-- jobs.lua BASE_URL COUNT BATCH -> also prints calls and least, the fewest that can do.
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local count, batch = tonumber(arg[2]), tonumber(arg[3])
local client = garner.client { base_url = arg[1] }

garner.check(client:post("/jobs/reset", { json = {} }))
local made = garner.check(client:post("/jobs", { json = { count = count } })):json().jobs
assert(#made == count)

-- Each job is done at its first, second or third poll; who polls only what is not done yet asks
-- for so many.
local pending = { 0, 0, 0 }
for _, job in ipairs(made) do
  for poll = 1, 1 + tonumber(job.id:match "%d+") % 3 do pending[poll] = pending[poll] + 1 end
end
local least = 0
for _, n in ipairs(pending) do least = least + math.ceil(n / batch) end

local ids = {}
for i, job in ipairs(made) do ids[i] = { id = job.id, json = job.id } end
local done = {}
local begin = lap.begin()
garner.check(client:poll({
  path = "/jobs/poll", ids = ids, body_key = "ids", batch = batch, items = "jobs", id = "id",
  status = "status", uri = "uri", states = { done = "done", running = "running" }, first = 0.05,
  factor = 1.5, cap = 0.2, timeout = 30,
}, function(id, state)
  assert(state == "done" and not done[id], id .. ": not the end that was expected: " .. state)
  done[id] = true
end))
local counts = garner.check(client:get "/jobs/counts"):json()
for _, job in ipairs(made) do assert(done[job.id], "a job was forgotten") end
lap.finish(begin, count, { calls = counts.calls, least = least, ratio = counts.calls / least })
