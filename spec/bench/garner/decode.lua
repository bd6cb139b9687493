--- garner's decoder. decode.lua FILE TIMES
require "spec.bench.lib.decode"(require "garner".json.decode)
