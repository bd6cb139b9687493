-- busted's helper: fails a spec file that leaves something behind.
--
-- After each file, with all garbage collected, compared with before it:
--   * no engine may be open (garner.core's own list of this process),
--   * no descriptor may be open that was not,
--   * no child process may be left.
-- A client that is kept in a local of the file or of a `describe` stays alive
-- as long as busted keeps the file, which is until the end: close it.
--
-- Allowed, since they are made once, lazily, and live as long as the process:
-- descriptors of /dev (random numbers, the terminal), what event loops have for themselves
-- (spec.support.loops), and a simulator that
-- spec.support.simulator starts for this process (a run by hand; `spec/run`
-- starts one for all). Must not: know what a spec tests.

local busted = require "busted"
local lfs = require "lfs"
local system = require "system"

local GRACE = 3 -- seconds for threads and children to finish what they were told

-- The engine's list lives in the C module. Without it (a spec of pure Lua run
-- by hand before anything is built) there are no engines to leave open, but
-- `spec/run` never goes on without.
local found, core = pcall(require, "garner.core")
if not found then
  local absent = tostring(core):find("module 'garner.core' not found", 1, true)
  if os.getenv "GARNER_SPEC_RUN" or not absent then
    error(core, 0)
  end
  core = nil
end

-- busted unloads what a spec file loaded. Old versions of luv do not outlive that:
-- what is loaded again finds its first loop, which has been freed.
pcall(require, "luv")

local function allowed(target)
  return target:find "^/dev/" ~= nil
end

-- { ["7 -> socket:[1234]"] = true, ... }
local function descriptors()
  local open = {}
  for name in lfs.dir "/proc/self/fd" do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
    -- The folder being read is itself open meanwhile.
    if target and not target:find "^/proc/%d+/fd$" and not allowed(target) then
      open[name .. " -> " .. target] = true
    end
  end
  return open
end

-- { ["1234 (name)"] = true, ... }
local function children()
  local found_children = {}
  for task in lfs.dir "/proc/self/task" do
    local list = io.open("/proc/self/task/" .. task .. "/children")
    if list then
      for pid in list:read("*a"):gmatch "%d+" do
        local comm = io.open("/proc/" .. pid .. "/comm")
        if comm then
          found_children[pid .. " (" .. (comm:read "*l" or "?") .. ")"] = true
          comm:close()
        end
      end
      list:close()
    end
  end
  return found_children
end

local function snapshot()
  return { descriptors = descriptors(), children = children(),
    engines = core and core.running() or 0 }
end

local function added(before, after, what, lines)
  for name in pairs(after) do
    if not before[name] then
      lines[#lines + 1] = what .. " " .. name
    end
  end
end

local function leaks(before)
  local jit = rawget(_G, "jit")
  if jit then
    jit.flush() -- compiled code keeps what it has seen alive
  end
  collectgarbage()
  collectgarbage()
  local after, lines = snapshot(), {}
  local loops = package.loaded["spec.support.loops"]
  for descriptor in pairs(loops and loops.kept or {}) do
    after.descriptors[descriptor] = nil
  end
  added(before.descriptors, after.descriptors, "descriptor", lines)
  added(before.children, after.children, "child process", lines)
  table.sort(lines)
  if after.engines > before.engines then
    table.insert(lines, 1, (after.engines - before.engines) .. " open engine(s)")
  end
  return lines
end

local before

busted.subscribe({ "file", "start" }, function()
  collectgarbage()
  collectgarbage()
  before = snapshot()
  return nil, true
end)

busted.subscribe({ "file", "end" }, function(file)
  local waited, lines = 0, leaks(before)
  while #lines > 0 and waited < GRACE do
    system.sleep(0.05)
    waited = waited + 0.05
    lines = leaks(before)
  end
  if #lines > 0 then
    error(file.name .. " leaves behind: " .. table.concat(lines, ", "), 0)
  end
  return nil, true
end)
