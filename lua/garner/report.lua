-- Owns one downloadable part of a job: its status in both spellings, its
-- error, its download. It must not poll: the job does.

local compat = require "garner.compat"
local errors = require "garner.errors"
local methods = require "garner.methods"

local M = {}

---@class garner.report
---@field id? string the vendor's id; nil if the create failed
---@field event_id? string the event it is about, which the vendor does not return
---@field dimension? string friendly name, or the vendor's own where that is unknown
---@field group_by? string[] friendly names
---@field status string friendly, or the vendor's own text where that is unknown
---@field uri? string the download link; opaque, may expire
---@field error_info? table reason, domain, metadata, as the vendor sent them
---@field err? garner.Error why there is nothing to download
---@field raw? table the vendor's untouched object
---@field creates number how often it was created
---@field renewed? number how often a new link was asked for
---@field state string running, done, failed, unknown or lost; internal
---@field expired? boolean the file host refused the link; internal
local Report = {}
Report.__index = Report

function Report:__tostring()
  return ("report %s: %s"):format(M.name(self), tostring(self.status))
end

---@param fields table
---@return garner.report
function M.new(fields)
  return setmetatable(fields, Report)
end

---What a report is called in messages.
---@param report garner.report
---@return string
function M.name(report)
  local name = report.dimension or report.event or report.id or "?"
  if report.event_id then name = name .. " of event " .. report.event_id end
  return name
end

---Is there something to download?
---@return boolean
function Report:ready()
  return self.state == "done" and type(self.uri) == "string" and self.uri ~= ""
end

---Ended one way or the other, with a link that is not known to have expired?
---@return boolean
function Report:ended()
  return self:ready() and not self.expired or self.state == "failed" or self.state == "lost"
end

-- What object stores say of a signed link that is too old, under other statuses than 403.
local EXPIRED = { "ExpiredToken", "[Hh]as expired", "[Ii]s expired", "RequestExpired",
  "SecurityTokenExpired", "TokenExpired" }

local function is_expired(err)
  if err.status == 403 or err.status == 404 or err.status == 410 then return true end
  if err.status ~= 400 and err.status ~= 401 then return false end
  for _, pattern in ipairs(EXPIRED) do
    if type(err.body) == "string" and err.body:find(pattern) then return true end
  end
  return false
end

local function fetch(self, path, options)
  local call = { operation = "download", what = "report " .. M.name(self) }
  for name, value in pairs(options or {}) do call[name] = value end
  local file, err = self.client:download(self.uri, path, call)
  if not file then err.download = true end
  return file, err
end

-- A link that the file host refuses is asked for again, once.
local function fetch_fresh(self, path, options)
  local file, err = fetch(self, path, options)
  if file or not is_expired(err) or not self.job then return file, err end
  self.renewed = (self.renewed or 0) + 1
  if not require("garner.job").renew(self) then
    local why = self.err or err
    why.message = ("the link had expired, and there is no new one: %s"):format(why.message)
    return nil, why
  end
  file, err = fetch(self, path, options)
  if file or not is_expired(err) then return file, err end
  self.expired = true
  err.message = err.message .. " (a new link was refused too: it may have expired at once)"
  return nil, err
end

---Downloads the file. It appears under its name only when it is whole, and
---replaces what was there. Neither the credential nor a header of the client
---is sent to the file host. Where that says that the link has expired, a new one
---is asked for by itself, once; nothing is created for it unless the job may.
---@param path string
---@param options? table sha256, resume, progress, on_progress, timeout, max_body, attempts; see
--- `client:download`
---@return garner.File|nil path, size, verified, resumed, sha256
---@return garner.Error|nil
function Report:download(path, options)
  if type(path) ~= "string" or path == "" then errors.misuse "download: a file name expected" end
  if options ~= nil and type(options) ~= "table" then
    errors.misuse "download: options must be a table"
  end
  if not self:ready() then
    return nil, self.err or errors.new { kind = "not_ready",
      message = ("report %s is %s; wait for its job first"):format(M.name(self),
        tostring(self.status)) }
  end
  local file, err = fetch_fresh(self, path, options)
  if not file then return nil, err end
  self.file, self.expired = file, nil
  return file
end

---The rows of the file, CSV, JSON Lines or a JSON list, packed or not: see `garner.rows`. The
---file is downloaded first, to one without a name that goes when the rows are closed.
---@param options? table those of `download`, and format, csv: those of `garner.rows`
---@return garner.FileRows|nil rows
---@return garner.Error|nil
function Report:rows(options)
  local call, reading = {}, {}
  for name, value in pairs(options or {}) do
    local mine = name == "format" or name == "csv"
    if mine then reading[name] = value else call[name] = value end
  end
  call.resume = false
  local path = os.tmpname()
  local ok, saved, err = compat.guard(self.download, self, path, call)
  local file, message, number
  if ok and saved then file, message, number = io.open(path, "rb") end
  os.remove(path)
  self.file = nil
  if not ok then error(saved, 0) end
  if not saved then return nil, err end
  if not file then
    return nil, errors.new { kind = "file", code = compat.errno(number),
      message = "cannot read what was downloaded: " .. tostring(message) }
  end
  reading.file, reading.close = file, true
  local rows = require("garner.file_rows").new(reading, "report:rows")
  rows.size = saved.size
  return rows
end

methods.guard(Report, "report")

return M
