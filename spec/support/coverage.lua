-- Line coverage of lua/garner by the specs, for Lua 5.4.
--
-- As LUA_INIT="@spec/support/coverage.lua" with GARNER_COVERAGE=<folder> and
-- GARNER_COVERAGE_HOOK=<library> it runs first in every Lua process, scripts that
-- specs start included, and loads the hook (coverage_hook.c), which leaves a file
-- of "file:line" lines in the folder.
-- As `lua5.4 spec/support/coverage.lua report <folder>` it adds those files up
-- against what luac5.4 says are the lines with code, and prints a table.
-- Must not: change what the program under test sees.

local M = {}

function M.start(library)
  assert(package.loadlib(library, "luaopen_garner_coverage"))()
end

-- The set of lines that carry code. The return that ends every function, on
-- the line of its `end`, is left out: it is dead code after a `return`.
local function active_lines(path)
  local list = assert(io.popen("luac5.4 -l -p '" .. path .. "'"))
  local active, last, final = {}, nil, nil
  for line in list:lines() do
    local to = line:match "^%a+ <.-:%d+,(%d+)>"
    if to then
      last, final = nil, tonumber(to)
    else
      local at, op = line:match "^%s+%d+%s+%[(%d+)%]%s+(%u+)"
      at = tonumber(at)
      if at and op ~= "VARARGPREP" then
        local closing = op:find "^RETURN" and at == final and last ~= at
        if not closing then
          active[at] = true
        end
        last = at
      end
    end
  end
  list:close()
  return active
end

function M.report(folder)
  local hits = {}
  local listing = assert(io.popen("cat '" .. folder .. "'/*.lines 2>/dev/null | sort -u"))
  for line in listing:lines() do
    local name, number = line:match "^(.*):(%d+)$"
    hits[name] = hits[name] or {}
    hits[name][tonumber(number)] = true
  end
  listing:close()

  local total, total_hit = 0, 0
  local sources = assert(io.popen("find lua/garner -name '*.lua' | LC_ALL=C sort"))
  for path in sources:lines() do
    local name = path:sub(5)
    local lines, hit, missing = 0, 0, {}
    for line in pairs(active_lines(path)) do
      lines = lines + 1
      if hits[name] and hits[name][line] then
        hit = hit + 1
      else
        missing[#missing + 1] = line
      end
    end
    table.sort(missing)
    total, total_hit = total + lines, total_hit + hit
    print(("  %-36s %5d of %5d lines  %5.1f%%  %s"):format(name, hit, lines,
      lines > 0 and 100 * hit / lines or 100, M.ranges(missing)))
  end
  sources:close()
  print(("  %-36s %5d of %5d lines  %5.1f%%"):format("lua/", total_hit, total,
    total > 0 and 100 * total_hit / total or 0))
  return total_hit
end

-- "12, 30-34, ...": at most eight stretches.
function M.ranges(list)
  local parts, i = {}, 1
  while i <= #list do
    local j = i
    while list[j + 1] == list[j] + 1 do
      j = j + 1
    end
    if #parts == 8 then
      parts[#parts + 1] = "..."
      break
    end
    parts[#parts + 1] = i == j and tostring(list[i]) or (list[i] .. "-" .. list[j])
    i = j + 1
  end
  return #parts > 0 and "not: " .. table.concat(parts, ", ") or ""
end

local command, folder = (arg or {})[1], (arg or {})[2]
if command == "report" and arg[0] and arg[0]:find "coverage%.lua$" then
  if M.report(folder) == 0 then
    io.stderr:write("no line of lua/garner was counted\n")
    os.exit(1)
  end
elseif os.getenv "GARNER_COVERAGE_HOOK" then
  M.start(os.getenv "GARNER_COVERAGE_HOOK")
end

return M
