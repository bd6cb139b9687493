-- BlendVision's errors (google.rpc.Status in JSON) and the checks that both of its parts
-- share: credential, organization. Knows no endpoint.
local credential = require "sim.credential"
local http = require "sim.http"
local json = require "sim.json"

local M = {}

local STATUS = { [3] = 400, [5] = 404, [7] = 403, [8] = 429, [12] = 501, [13] = 500, [14] = 503,
  [16] = 401 }

---An error answer; `violations` is a list of { field, description }.
function M.error(code, message, violations)
  local details = json.array()
  if violations then
    local list = json.array()
    for i, v in ipairs(violations) do list[i] = { field = v[1], description = v[2] } end
    details[1] = {
      ["@type"] = "type.googleapis.com/google.rpc.BadRequest", field_violations = list,
    }
  end
  local headers = code == 16 and { ["WWW-Authenticate"] = message } or nil
  return http.json(STATUS[code], { code = code, message = message, details = details }, headers)
end

---Invalid argument: one field and what is wrong with it.
function M.invalid(field, description)
  return M.error(3, ("invalid argument: %s: %s"):format(field, description),
    { { field, description } })
end

---nil, or the answer to a caller who may not do this.
function M.refuse(req, scope)
  local token = credential.bearer(req)
  if not token then
    return M.error(16, "header authorization missing or unidentified")
  end
  local org = req.headers["x-bv-org-id"]
  if type(token) == "table" and token.login then org = org or "sim-org" end
  if not org or org == "" then
    return M.invalid("x-bv-org-id", "the header is required when calling with an api token")
  end
  if not org:find("^sim%-org[%w-]*$") or scope.settings.forbidden then
    return M.error(7, "insufficient permission to access organization " .. org)
  end
end

return M
