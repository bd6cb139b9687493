-- Owns: one request as a command line of the curl program, to be tried by hand or sent
-- to a server's operator. Must not: show a secret; where one belongs there is a shell
-- variable for it.

local M = {}

local LONGEST_BODY = 65536 -- bytes

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- "access-token" -> ACCESS_TOKEN
local function variable(name)
  return (name:upper():gsub("%W", "_"))
end

local function header(name, value)
  if value == "" then
    return "-H " .. quote(name .. ";")
  end
  return "-H " .. quote(name .. ": " .. value)
end

local function secret_header(name, before)
  return "-H " .. quote(name .. ": " .. before) .. '"$' .. (before ~= "" and "TOKEN"
    or variable(name)) .. '"'
end

local function add_credential(out, wire)
  if wire.scheme == "bearer" then
    out[#out + 1] = secret_header("Authorization", "Bearer ")
  elseif wire.scheme == "header" then
    out[#out + 1] = secret_header(wire.header, "")
  elseif wire.scheme == "basic" then
    out[#out + 1] = '-u "$USER_AND_PASSWORD"'
  end
end

local function add_headers(out, list, given, redactor)
  for _, pair in ipairs(list) do
    local name, lower = pair[1], pair[1]:lower()
    if not given[lower] then
      given[lower] = true
      local value = redactor:header(name, pair[2])
      out[#out + 1] = value:find("***", 1, true) and secret_header(name, "") or header(name, value)
    end
  end
end

local function add_body(out, request, redactor)
  local body = request.body
  if not body then
    return
  elseif #body > LONGEST_BODY or body:find("%z") then
    out[#out + 1] = "--data-binary @body" -- too long, or nothing that a shell can carry
  else
    out[#out + 1] = "--data-binary " .. quote(redactor:text(body))
  end
end

local function add_settings(out, request, wire)
  if not request.download and not request.file then
    out[#out + 1] = "--compressed"
  end
  if request.file then
    out[#out + 1] = "-o " .. quote(request.file)
  end
  if wire.proxy then
    out[#out + 1] = "-x " .. quote((wire.proxy:gsub("//[^/@]*@", "//***@")))
  end
  if wire.ca_file then
    out[#out + 1] = "--cacert " .. quote(wire.ca_file)
  end
  if wire.insecure_tls then
    out[#out + 1] = "--insecure"
  end
end

--- The command line.
---@param request table { method, url, headers (list of { name, value }), body, file, download }
---@param wire table what the client adds: scheme, header (the credential's), headers, proxy,
--- ca_file, insecure_tls
---@param redactor garner.Redactor
---@return string
function M.text(request, wire, redactor)
  local out, given = { "curl" }, {}
  if request.method == "HEAD" then
    out[2] = "-I"
  elseif request.method ~= "GET" then
    out[2] = "-X " .. request.method
  end
  out[#out + 1] = quote(redactor:url(request.url))
  add_headers(out, request.headers or {}, given, redactor)
  if not request.download then
    if not given[(wire.header or "authorization"):lower()] then
      add_credential(out, wire)
    end
    add_headers(out, wire.headers or {}, given, redactor)
  end
  add_body(out, request, redactor)
  add_settings(out, request, wire)
  return table.concat(out, " ")
end

return M
