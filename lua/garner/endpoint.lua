-- Owns how a described endpoint becomes one request: the path template, the
-- verb, whether it may be sent again, and the words that errors use for it.
-- Endpoints are data; this file must not know any vendor.

local errors = require "garner.errors"
local failure = require "garner.failure"
local json = require "garner.json"
local options = require "garner.options"
local check_headers = require("garner.headers").list

local M = {}

local function headers_rule(value)
  if type(value) ~= "table" then return nil, "must be a table, got " .. options.show(value) end
  check_headers(value, "headers")
  return value
end

---@class garner.endpoint
---@field method string
---@field path string with "{name}" parts
---@field safe? boolean may be sent again (default: GET and HEAD)
---@field creates? boolean makes something on the server: never sent twice by accident
---@field scope? string the access scope that a 403 means
---@field operation string what errors call it

-- What a caller may set for one call of any raw verb.
M.CALL_OPTIONS = {
  timeout = options.duration, headers = headers_rule, attempts = options.integer(1),
  max_body = options.integer(1),
}

---The headers of a call with those of its endpoint, which win.
---@param given table|nil
---@param own table|nil
---@return table|nil
function M.headers(given, own)
  if not given or not own then return own or given end
  local headers = {}
  for name, value in pairs(given) do headers[name] = value end
  for name, value in pairs(own) do headers[name] = value end
  return headers
end

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
  request.headers = M.headers(request.headers, fields.headers)
  return request
end

---The JSON object of an answer.
---@param response garner.Response
---@return table|nil
---@return garner.Error|nil
function M.object(response)
  local body, err = response:json()
  if err then return nil, err end
  if type(body) == "table" and not json.is_array(body) then return body end
  return nil, M.bad_shape(response, "the answer is JSON, but no object")
end

---The error for an answer that is JSON and not what was documented.
---@param response garner.Response
---@param message string
---@return garner.Error
function M.bad_shape(response, message)
  return errors.from_response(response, { kind = "protocol", code = "shape", message = message })
end

---A list of an answer; one that is left out is empty, as such APIs do. What is
---no list, or a server's error under status 200, must not pass as "no data".
---@param body table
---@param name string
---@param response garner.Response
---@return table|nil
---@return garner.Error|nil
function M.list(body, name, response)
  local value = body[name]
  if value == nil or value == json.null then
    local said = failure.read(response.body or "", nil, errors.hider(response._context)).messages
    if not said[1] then return {} end
    return nil, M.bad_shape(response, ("the answer has no %s: %s"):format(name,
      table.concat(said, "; ")))
  end
  if type(value) == "table" and (json.is_array(value) or next(value) == nil) then return value end
  return nil, M.bad_shape(response, ("the answer's %s is no list"):format(name))
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
  body, err = M.object(response)
  return body, err, response
end

return M
