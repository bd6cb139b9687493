-- Loads garner, uses it, and leaves it in the middle (spec/support/host.c).
local round, _, url = ...
local garner = require "garner"
local loops = require "spec.support.loop"
garner.engine { thread = round % 2 == 0 }
local api = garner.client { base_url = url }
assert(assert(api:get "/_http/echo").status == 200)
local loop = loops.new()
garner.use(loop.driver)
loop.spawn(function() return api:get "/_http/delay/5000" end)
