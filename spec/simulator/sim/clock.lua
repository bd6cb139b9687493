-- The simulator's dates: civil days, RFC 3339 instants and the naive times of Shoplazza.
-- Everything is seconds since 1970 in UTC; nothing here knows a time zone's name.
local M = {}

local floor = math.floor

---Days since 1970-01-01 of a civil date (proleptic Gregorian).
function M.days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = floor(y / 400)
  local yoe = y - era * 400
  local doy = floor((153 * (m + (m > 2 and -3 or 9)) + 2) / 5) + d - 1
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

---The civil date of a day number: year, month, day.
function M.civil(days)
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local m = mp + (mp < 10 and 3 or -9)
  return yoe + era * 400 + (m <= 2 and 1 or 0), m, doy - floor((153 * mp + 2) / 5) + 1
end

local function valid_day(y, m, d)
  if m < 1 or m > 12 or d < 1 then return nil end
  local days = M.days(y, m, d)
  local yy, mm, dd = M.civil(days)
  return yy == y and mm == m and dd == d and days or nil
end

---Day number of "YYYY-MM-DD", or nil.
function M.parse_date(text)
  local y, m, d = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  return y and valid_day(tonumber(y), tonumber(m), tonumber(d))
end

---Epoch of "YYYY-MM-DDTHH:MM:SS" read as UTC, or nil.
function M.parse_naive(text)
  local date, h, mi, s = text:match("^(%d%d%d%d%-%d%d%-%d%d)T(%d%d):(%d%d):(%d%d)$")
  local days = date and M.parse_date(date)
  h, mi, s = tonumber(h), tonumber(mi), tonumber(s)
  if not days or h > 24 or mi > 59 or s > 59 or (h == 24 and mi + s > 0) then return nil end
  return days * 86400 + h * 3600 + mi * 60 + s
end

---Epoch (with fraction) of an RFC 3339 instant, or nil.
function M.parse_instant(text)
  local naive, fraction, zone = text:match("^(.-T%d%d:%d%d:%d%d)(%.?%d*)([Zz+-].*)$")
  local epoch = naive and M.parse_naive(naive)
  if not epoch or fraction == "." or #fraction > 10 then return nil end
  if fraction ~= "" and fraction:sub(1, 1) ~= "." then return nil end
  if zone ~= "Z" then
    local sign, h, m = zone:match("^([+-])(%d%d):(%d%d)$")
    if not sign or tonumber(h) > 23 or tonumber(m) > 59 then return nil end
    epoch = epoch - (sign == "-" and -1 or 1) * (tonumber(h) * 3600 + tonumber(m) * 60)
  end
  return epoch + (fraction ~= "" and tonumber("0" .. fraction) or 0)
end

function M.format_date(days)
  return ("%04d-%02d-%02d"):format(M.civil(days))
end

function M.format_naive(epoch)
  local days = floor(epoch / 86400)
  local s = epoch - days * 86400
  return ("%sT%02d:%02d:%02d"):format(M.format_date(days), floor(s / 3600), floor(s / 60) % 60,
    s % 60)
end

function M.format_instant(epoch)
  return M.format_naive(epoch) .. "Z"
end

function M.now()
  return ngx.time()
end

---Day number of today in UTC.
function M.today()
  return floor(ngx.time() / 86400)
end

return M
