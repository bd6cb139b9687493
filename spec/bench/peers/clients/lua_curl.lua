-- lua-curl, Debian's binding of libcurl: one easy handle.
local curl = require "curl"

--- Makes a client: get(url) -> body, after a 200 whose headers and body were kept.
return function()
  local easy = curl.easy_init()
  return function(url)
    local headers, body = {}, {}
    easy:setopt(curl.OPT_URL, url)
    easy:setopt(curl.OPT_ACCEPT_ENCODING, "")
    easy:setopt(curl.OPT_NOSIGNAL, 1)
    easy:setopt(curl.OPT_HEADERFUNCTION, function(data)
      headers[#headers + 1] = data
      return #data
    end)
    easy:setopt(curl.OPT_WRITEFUNCTION, function(data)
      body[#body + 1] = data
      return #data
    end)
    assert(easy:perform())
    assert(headers[1]:find " 200", "not a 200")
    return table.concat(body)
  end
end
