-- What must be true of the project's files as a whole: the lists of sources, the
-- layering, the one place of the version, and the plain rules of style that no
-- other tool here checks.

local lfs = require "lfs"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- All files below folder whose name matches, sorted.
local function files(folder, pattern)
  local list = {}
  local function walk(at)
    for name in lfs.dir(at) do
      local path = at .. "/" .. name
      if name ~= "." and name ~= ".." then
        if lfs.attributes(path, "mode") == "directory" then
          walk(path)
        elseif name:find(pattern) then
          list[#list + 1] = path
        end
      end
    end
  end
  walk(folder)
  table.sort(list)
  return list
end

local function cmake_list(name)
  local body = read("cmake/GarnerSources.cmake"):match("set%(" .. name .. "%s(.-)%)")
  local list = {}
  for word in body:gmatch "%S+" do
    list[#list + 1] = word
  end
  table.sort(list)
  return list
end

local function rockspec()
  local env = {}
  local load_text = rawget(_G, "setfenv") and loadstring or load -- luacheck: ignore 113
  local chunk = assert(load_text(read "rockspec/garner-scm-1.rockspec", "rockspec", "t", env))
  if rawget(_G, "setfenv") then
    setfenv(chunk, env) -- luacheck: ignore 113
  end
  chunk()
  return env
end

local VERSION = read("src/core/version.h"):match '#define GN_VERSION "([%d.]+)"'

describe("the lists of sources", function()
  it("in CMake name every C file of the tree", function()
    assert.same(files("src/core", "%.c$"), cmake_list "GARNER_CORE_SOURCES")
    assert.same(files("src/lua", "%.c$"), cmake_list "GARNER_BINDING_SOURCES")
    assert.same(files("src/embed", "%.c$"), cmake_list "GARNER_EMBED_SOURCES")
  end)

  it("in CMake name every Lua file of the tree", function()
    local listed = cmake_list "GARNER_LUA_FILES"
    for i, name in ipairs(listed) do
      listed[i] = "lua/" .. name
    end
    assert.same(files("lua/garner", "%.lua$"), listed)
  end)

  it("in the rockspec name every C file of the module", function()
    local tree = files("src/core", "%.c$")
    for _, path in ipairs(files("src/lua", "%.c$")) do
      tree[#tree + 1] = path
    end
    local listed = rockspec().build.modules["garner.core"].sources
    table.sort(listed)
    assert.same(tree, listed)
  end)

  it("in the rockspec name every module by the name that require takes", function()
    local expected = { ["garner.core"] = true }
    for _, path in ipairs(files("lua/garner", "%.lua$")) do
      local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      expected[name] = path
    end
    local listed = {}
    for name, path in pairs(rockspec().build.modules) do
      listed[name] = name == "garner.core" or path
    end
    assert.same(expected, listed)
  end)
end)

describe("the version", function()
  it("is what the module and the package say", function()
    assert.truthy(VERSION)
    assert.equal(VERSION, require("garner.core").VERSION)
    assert.equal(VERSION, require("garner")._VERSION:match "[%d.]+$")
  end)

  it("is written down once", function()
    local places = {}
    for _, folder in ipairs { "src", "lua", "cmake", "rockspec", "examples" } do
      for _, path in ipairs(files(folder, ".")) do
        if read(path):find(VERSION, 1, true) then
          places[#places + 1] = path
        end
      end
    end
    if read("CMakeLists.txt"):find(VERSION, 1, true) then
      places[#places + 1] = "CMakeLists.txt"
    end
    assert.same({ "src/core/version.h" }, places)
  end)
end)

describe("the layers", function()
  it("keep Lua out of the core, even out of its comments", function()
    local found = {}
    for _, path in ipairs(files("src/core", ".")) do
      for word in ("\n" .. read(path):lower()):gmatch "[^%a](lua[%w_.]*)" do
        found[#found + 1] = path .. ": " .. word
      end
      if read(path):find("lauxlib", 1, true) then
        found[#found + 1] = path .. ": lauxlib"
      end
    end
    assert.same({}, found)
  end)

  it("keep the differences between Lua versions in two files", function()
    local found = {}
    for _, path in ipairs(files("src/lua", "%.[ch]$")) do
      if path ~= "src/lua/compat.h" and read(path):find("LUA_VERSION_NUM", 1, true) then
        found[#found + 1] = path
      end
    end
    for _, path in ipairs(files("lua/garner", "%.lua$")) do
      local code = read(path):gsub("%-%-[^\n]*", ""):gsub("[%w_]+%._VERSION", "")
        :gsub("_VERSION%s*=", "")
      if path ~= "lua/garner/compat.lua" and code:find "%f[%w_]_VERSION" then
        found[#found + 1] = path
      end
    end
    assert.same({}, found)
  end)

  it("keep every allocation of the core in one file", function()
    local found = {}
    for _, path in ipairs(files("src/core", "%.[ch]$")) do
      local code = read(path):gsub("/%*.-%*/", "")
      for name in code:gmatch "%f[%w_](%a+)%s*%(" do
        if path ~= "src/core/alloc.c" and (name == "malloc" or name == "calloc"
          or name == "realloc" or name == "strdup" or name == "strndup" or name == "free") then
          found[#found + 1] = path .. ": " .. name
        end
      end
    end
    assert.same({}, found)
  end)
end)

describe("the files", function()
  local sources = {}
  for _, folder in ipairs { "src", "lua", "spec", "examples", "cmake", "rockspec" } do
    for _, path in ipairs(files(folder, "%.?%w+$")) do
      local text = read(path)
      if not text:find("%z") then
        sources[#sources + 1] = { path = path, text = text }
      end
    end
  end

  local function broken(rule)
    local found = {}
    for _, source in ipairs(sources) do
      local why = rule(source.path, source.text)
      if why then
        found[#found + 1] = source.path .. ": " .. why
      end
    end
    return found
  end

  it("of C stay within 80 columns and have no tabs", function()
    assert.same({}, broken(function(path, text)
      if not path:find "%.[ch]$" then
        return nil
      end
      local number = 0
      for line in (text .. "\n"):gmatch "(.-)\n" do
        number = number + 1
        if #line:gsub("[\128-\191]", "") > 80 then
          return "line " .. number .. " is longer than 80 columns"
        end
        if line:find "\t" then
          return "line " .. number .. " has a tab"
        end
      end
    end))
  end)

  it("of the module are shorter than 600 lines", function()
    assert.same({}, broken(function(path, text)
      local _, lines = text:gsub("\n", "")
      if path:find "^src/" or path:find "^lua/" then
        return lines >= 600 and lines .. " lines" or nil
      end
    end))
  end)

  it("of C and Lua say at the top what they are for", function()
    assert.same({}, broken(function(path, text)
      if path:find "%.[ch]$" and not text:find "^/%*" then
        return "does not open with a comment"
      end
      if path:find "^lua/" and not text:find "^%-%-" then
        return "does not open with a comment"
      end
    end))
  end)

  it("end in a newline and have no blanks at the end of a line", function()
    assert.same({}, broken(function(path, text)
      if not (path:find "%.%l+$" or path:find "run$") then
        return nil
      end
      if text:find "[ \t]\n" then
        return "blanks at the end of a line"
      end
      return text ~= "" and not text:find "\n$" and "no newline at the end" or nil
    end))
  end)

  it("that are commands can be executed", function()
    for _, path in ipairs { "spec/run", ".ci/run", "examples/quickstart", "examples/simulator",
      "spec/simulator/start", "spec/faults/start" } do
      assert.truthy(lfs.attributes(path, "permissions"):find "x", path)
    end
  end)
end)
