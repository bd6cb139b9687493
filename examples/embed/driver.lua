-- Owns: how garner waits in this program: it hands the coroutine over to the loop in C,
-- which resumes it. Must not: block.

local now, wake = ... -- the loop's own: its clock, and "whoever waits for this may run"

local driver = { name = "embed", now = now }

--- The loop gets a descriptor to poll, the time to come back at the latest, and the mailbox.
function driver.wait(mailbox, deadline)
  if mailbox:pending() == 0 and not mailbox:is_closed() then
    local fd, err = mailbox:descriptor()
    coroutine.yield(fd or error(err.message, 0), deadline, mailbox, mailbox:id())
  end
end

function driver.sleep(seconds)
  coroutine.yield(nil, now() + seconds)
end

function driver.yieldable()
  local co, main = coroutine.running()
  return co ~= nil and not main
end

--- Called by the loop when a descriptor is readable, with one of the mailboxes that wait for
--- it; true: its engine has ended, so all of them have something to look at.
function driver.readable(mailbox)
  mailbox:acknowledge()
  local id = mailbox:ready()
  while id do
    wake(id)
    id = mailbox:ready()
  end
  return mailbox:is_closed()
end

return driver
