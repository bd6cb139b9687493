--- lua-cjson. decode_cjson.lua FILE TIMES
require "spec.bench.lib.decode"(require "cjson".decode)
