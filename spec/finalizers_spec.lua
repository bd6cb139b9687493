-- Owns: that finalizers, which run wherever memory is asked for, may drop events, decode pages and
-- close lists and engines while just these are being taken, decoded, cut and used.
-- Must not: check what the collector costs.
local compat = require "garner.compat"
local core = require "garner.core"
local faults = require "spec.support.faults"

local TRIES = 15

describe("a finalizer", function()
  local engine, mailbox, client, s, ran

  before_each(function()
    s = faults.start()
    engine = core.engine_new { thread = true }
    mailbox = engine:mailbox_new()
    client = core.client_new { base_url = s.url }
    ran = 0
  end)
  after_each(function()
    engine:close()
    s:stop()
  end)

  local function until_pending(count)
    local deadline = core.now() + 10
    while mailbox:pending() < count and core.now() < deadline do
      engine:wait(engine:sequence(), 0.05)
    end
    assert.are.equal(count, mailbox:pending())
  end

  -- Calls f with a collector that has a finalizer to run as soon as anything is made: where this
  -- Lua cares so early, inside f.
  local function interrupted(finalize, f)
    collectgarbage()
    local pause = collectgarbage("setpause", 0)
    local speed = collectgarbage("setstepmul", 10000000)
    local inside = false
    collectgarbage("stop")
    compat.finalizer(function()
      if inside then
        ran = ran + 1
        finalize()
      end
    end)
    collectgarbage("restart")
    inside = true
    local ok, err = pcall(f)
    inside = false
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", speed)
    assert(ok, err)
  end

  it("may drop what is about to be taken: the end comes after it", function()
    s:script("/rows", { body = "[1,2,3]" })
    for _ = 1, TRIES do
      local id = assert(engine:submit(mailbox, client, { url = s.url .. "/rows", rows = "" }))
      until_pending(2)
      local events = {}
      interrupted(function() mailbox:drop_pages(id) end, function()
        for _ = 1, 3 do
          local whose, event, value = mailbox:take()
          if whose then
            events[#events + 1] = event
            assert.are.equal(id, whose)
            assert.are.equal(event == "rows", tostring(value):find("batch", 1, true) ~= nil)
          end
        end
      end)
      assert.are.equal("done", events[#events])
      assert.is_true(#events <= 2)
    end
    assert.is_true(ran > 0)
  end)

  it("may decode the page that is being decoded", function()
    local text = '{"a":[1,{"b":"' .. ("x"):rep(100) .. '"},[],{}],"n":"one"}'
    s:script("/page", { body = text })
    for _ = 1, TRIES do
      assert(engine:walk(mailbox, client, { url = s.url .. "/page" },
        { from = "json", to = "query", source = "next", target = "p", tape = true }))
      until_pending(2)
      local _, event, result = mailbox:take()
      assert.are.equal("page", event)
      local again, value
      interrupted(function() again = result:json() end, function() value = result:json() end)
      assert.are.same(core.json_decode(text), value)
      assert.are.same(again and value, again)
      assert.are.same(value, result:json())
      result:close()
      _, event = mailbox:take()
      assert.are.equal("done", event)
    end
    assert.is_true(ran > 0)
  end)

  it("may close the list that is being cut", function()
    for i = 1, TRIES do
      local split = core.json_split_new("", 1000)
      assert(split:feed("[1,2,3"))
      interrupted(function() split:close() end, function()
        local ok, batch = pcall(i % 2 == 0 and split.feed or split.finish, split, ",4]")
        assert.is_true(not ok or batch == nil or tostring(batch):find("batch", 1, true) ~= nil)
      end)
    end
    assert.is_true(ran > 0)
  end)

  it("may close the engine that a mailbox is made of", function()
    for _ = 1, TRIES do
      local e = core.engine_new {}
      interrupted(function() e:close() end, function()
        pcall(e.mailbox_new, e)
      end)
      e:close()
    end
    assert.is_true(ran > 0)
  end)
end)
