-- Lua-cURLv3: one easy handle.
local curl = require "lcurl"

--- Makes a client: get(url) -> body, after a 200 whose headers and body were kept.
return function()
  local easy = curl.easy()
  return function(url)
    local headers, body = {}, {}
    easy:setopt {
      url = url, accept_encoding = "", nosignal = true,
      headerfunction = function(data) headers[#headers + 1] = data end,
      writefunction = function(data) body[#body + 1] = data end,
    }
    easy:perform()
    assert(easy:getinfo_response_code() == 200, "not a 200")
    return table.concat(body)
  end
end
