-- Every Lua file must run on 5.1 to 5.4 and LuaJIT, so only what all of them
-- have is known here ("min"); what differs is looked up in lua/garner/compat.lua.
std = "min"
max_line_length = 100
max_cyclomatic_complexity = false
include_files = { "**/*.lua", "**/*.rockspec", ".luacheckrc", ".busted" }

files["lua/garner"] = { read_globals = { "ngx" } }
-- The one place where versions differ may ask for what only some of them have.
files["lua/garner/compat.lua"] = { std = "max" }
-- Run inside nginx only.
files["spec/simulator"] = { std = "ngx_lua" }
files["examples/dashboard"] = { std = "ngx_lua" }
files["spec/bench/lib/rows.lua"] = { std = "ngx_lua" }
files["spec/bench/lib/jobs.lua"] = { std = "ngx_lua" }
-- Run by lua5.4 alone.
files["spec/faults"] = { std = "lua54" }
files["spec/**/*_spec.lua"] = { std = "min+busted" }
files["rockspec"] = { std = "rockspec" }
files["rockspec/*.rockspec"] = { std = "rockspec" }
files[".luacheckrc"] = { std = "luacheckrc" }
files[".busted"] = { std = "min" }
