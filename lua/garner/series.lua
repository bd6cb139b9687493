-- Owns how metric points become series: one for each type and dimension, in
-- the order of their first points. It must not fetch.

local M = {}

local List = {}

function List:__tostring()
  local lines = {}
  for index, each in ipairs(self) do
    lines[index] = ("%s%s: %d points%s, %s .. %s"):format(each.type,
      each.dimension and " " .. each.dimension or "", #each.times,
      each.unit and " in " .. each.unit or "", tostring(each.times[1]),
      tostring(each.times[#each.times]))
  end
  return lines[1] and table.concat(lines, "\n") or "no series"
end

---@param next_row fun(): table|nil, garner.Error|nil
---@return table[]|nil series: type, dimension, unit, times, epochs, values, numbers
---@return garner.Error|nil
---@return table[]|nil partial the series of what did come, with an error
function M.collect(next_row)
  local out, by_name = setmetatable({}, List), {}
  while true do
    local row, err = next_row()
    if err then return nil, err, out end
    if row == nil then return out end
    -- A dimension that is nil is not the empty one.
    local name = row.type .. "\0" .. (row.dimension and "=" .. row.dimension or "")
    local series = by_name[name]
    if not series then
      series = { type = row.type, dimension = row.dimension, unit = row.unit, times = {},
        epochs = {}, values = {}, numbers = {} }
      by_name[name] = series
      out[#out + 1] = series
    end
    local at = #series.times + 1
    series.times[at], series.epochs[at] = row.time, row.epoch or false
    series.values[at], series.numbers[at] = row.value or false, row.number or false
  end
end

return M
