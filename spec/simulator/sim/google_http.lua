-- How Google's APIs refuse: the error body of version 1 with google.rpc's names.
local http = require "sim.http"
local json = require "sim.json"

local M = {}

local STATUS_NAMES = { [400] = "INVALID_ARGUMENT", [401] = "UNAUTHENTICATED",
  [403] = "PERMISSION_DENIED", [404] = "NOT_FOUND", [405] = "INVALID_ARGUMENT" }

---An answer that refuses.
function M.failure(status, reason, message, extra)
  local item = { message = message, domain = "global", reason = reason }
  for name, value in pairs(extra or {}) do item[name] = value end
  return http.json(status, { error = {
    code = status, message = message, errors = json.array { item }, status = STATUS_NAMES[status],
  } })
end

---A 400 with the reason "invalid".
function M.invalid(message)
  return M.failure(400, "invalid", message)
end

---What a value that does not match its documented pattern is told.
function M.mismatch(value, pattern)
  return ("Invalid value '%s'. Values must match the following regular expression: '%s'"):format(
    value, pattern)
end

return M
