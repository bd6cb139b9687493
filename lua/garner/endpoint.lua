-- Owns how a described endpoint becomes one request: the path template, the
-- verb, whether it may be sent again, and the words that errors use for it.
-- Endpoints are data; this file must not know any vendor.

local errors = require "garner.errors"
local options = require "garner.options"

local M = {}

---@class garner.endpoint
---@field method string
---@field path string with "{name}" parts
---@field safe? boolean may be sent again (default: GET and HEAD)
---@field creates? boolean makes something on the server: never sent twice by accident
---@field scope? string the access scope that a 403 means
---@field operation string what errors call it

-- What a caller may set for one call of any raw verb.
M.CALL_OPTIONS = {
  timeout = options.duration, headers = options.table, attempts = options.integer(1),
  max_body = options.integer(1),
}

---The options of one request to `endpoint`.
---@param endpoint garner.endpoint
---@param fields table params, query, json, headers; operation and what, for errors
---@param call? table the caller's options (timeout, headers, attempts, max_body)
---@return table
function M.request(endpoint, fields, call)
  local request = {
    method = endpoint.method, path = endpoint.path,
    params = fields.params, query = fields.query, json = fields.json,
    safe = endpoint.safe, creates = endpoint.creates,
    operation = fields.operation or endpoint.operation, what = fields.what,
    scope = endpoint.scope,
  }
  for name in pairs(M.CALL_OPTIONS) do
    if call then request[name] = call[name] end
  end
  if fields.headers then
    local headers = {}
    for name, value in pairs(request.headers or {}) do headers[name] = value end
    for name, value in pairs(fields.headers) do headers[name] = value end
    request.headers = headers
  end
  return request
end

---The JSON object of an answer.
---@param response garner.Response
---@param operation string
---@return table|nil
---@return garner.Error|nil
function M.object(response, operation)
  local body, err = response:json()
  if err then return nil, err end
  if type(body) == "table" then return body end
  return nil, errors.new { kind = "protocol", code = "shape", status = response.status,
    operation = operation, request_id = response.request_id, body = response.body,
    message = "the answer is JSON, but no object" }
end

---One request whose answer is a JSON object.
---@param client garner.Client
---@param endpoint garner.endpoint
---@param fields table
---@param call? table
---@return table|nil body
---@return garner.Error|nil
---@return garner.Response|nil
function M.json(client, endpoint, fields, call)
  local response, err = client:request(M.request(endpoint, fields, call))
  if not response then return nil, err end
  local body
  body, err = M.object(response, endpoint.operation)
  return body, err, response
end

return M
