-- Owns `garner.api`: a table that describes an API becomes a constructor of
-- clients with that API's verbs. The vendors that come with garner are made
-- here too. It must not send anything and knows no API.

local auth = require "garner.auth"
local describe = require "garner.api.describe"
local vendor = require "garner.vendor"
local verbs = require "garner.api.verbs"

local M = {}

local function class_of(api)
  local class, jobs = {}, {}
  for name, verb in pairs(api.verbs) do
    if type(verb) ~= "table" or verb.name == nil then
      class[name] = verb
    else
      class[name] = verbs.pull(verb)
      if verb.raw and api.verbs[verb.raw] == nil then class[verb.raw] = verbs.raw(verb) end
      if verb.job then jobs[name] = verb end
    end
  end
  if next(jobs) and not class.resume_job then
    class.resume_job = require("garner.api.jobs").resume(jobs)
  end
  return class
end

-- What a verb does not say for itself, its API says.
local function inherit(api)
  for _, verb in pairs(api.verbs) do
    if type(verb) == "table" and verb.name then
      verb.scope, verb.errors = verb.scope or api.scope, verb.errors or api.errors
      verb.operation = verb.name
    end
  end
end

---@class garner.api.argument_field
---@field [1] string|function the rule: "id", "text", "texts", "integer", "number", "boolean",
---  "duration", "table", "any", or function(value) -> value | nil, message
---@field default? any
---@field required? boolean (what stands in the path is, unless it has a default)
---@field alias? string another name for callers
---@field query? string|false its name in the query (its own); false: only functions read it
---@field body? string its name in the JSON body (a POST's default: its own)
---@field header? string the header that it is
---@field enum? string[]|garner.enums friendly names; the API's are prefix .. NAME
---@field prefix? string
---@field list? boolean the enum takes several
---@field join? string a list goes as one text with this between
---@field min? number of "integer"
---@field max? number

---@class garner.api.window_field
---@field kind? string "instant" (default), "naive" (times without an offset), "date"
---@field from? string the name of the window's begin in the request: a {name} of the path, else in
---  the query (a POST's body); with dates the first one
---@field to? string of its end; with dates the last one, or with edges "[)" the day after
---@field date? string of dates, instead: one day a request
---@field max? number|string|fun(given: table): number the longest window
---@field edges? string which ends belong to a window: "[)" (default), "[]", "(]", "()"
---@field granularity? number|string the API's smallest step (1 s)
---@field format? string|fun(epoch: number): any "rfc3339" (default, UTC), "epoch", "epoch_ms"
---@field place? string "query" or "body"
---@field zone? string the zone that instants are written in (UTC)
---@field zone_name? string what a plan says of naive times and dates
---@field default? { from: string, to: string } where the caller gives none

---@class garner.api.rows_field
---@field each? fun(item: table, ctx: table): table|nil a row of an item; nil: none
---@field all? fun(body: table, ctx: table): table[], string[]|nil rows of a page; what it lacks
---@field time? string|fun(row: table): number|nil where a row's time is: windows share instants
---@field key? string[]|fun(row: table): string|nil fields of which there is one row each
---@field identity? fun(row: table): string equal for equal rows
---@field sort? boolean oldest first, within a window
---@field columns? string[] of `save`, in order
---@field record? fun(row: table): table, string[]|nil what `save` writes of a row
---@field records? fun(row: table): table[] the same as several lines: { record, columns }
---@field points? boolean rows are points of series (type, dimension, value)
---@field format? string of a job's file where its first bytes would mislead: "csv", "jsonl", "json"

---@class garner.api.job_field
---@field id string JSON path of the id in the create's answer
---@field poll table get = "/jobs/{id}", or get and query (the id's name there), or post, body (the
---  key of the list of ids), items (JSON path of the answer's list), batch (100) and entry =
---  function(report) -> what stands for one id ({ id = id }); id: JSON path ("id")
---@field status string JSON path in an element
---@field states table<string, string> the server's words -> "done", "failed", "running"
---@field uri string JSON path of the file's URL
---@field error? string JSON path of why it failed: a text, or reason, domain, metadata
---@field wait? table timeout, first, factor, cap of a pull's polls, where the caller says nothing
---@field recreate? number|table creates in all, or { max =, pause = }, where a job failed

---@class garner.api.verb
---@field get? string the path; or post; or method and path
---@field arguments? table<string, string|function|garner.api.argument_field>
---@field query? table constant parameters
---@field body? table|fun(given: table, ctx: table): table constant fields of the JSON body
---@field headers? table<string, string>
---@field window? garner.api.window_field without one the verb asks for everything there is
---@field items? string JSON path of the list in an answer
---@field pages? table next (as client:pages takes it), max_pages, max_bytes
---@field rows? garner.api.rows_field
---@field warnings? string|fun(body: table, ctx: table): table[]
---@field not_ready? fun(answer: table, ctx: table): any, any true (or a state) and why (text
---  or error), of an answer { rows, warnings, body }
---@field errors? fun(err: garner.Error, ctx: table): garner.Error what an error means here
---@field lag? number|string how late data settles
---@field retention? number|string how long it is kept
---@field rate? table of its own: per_second, burst, when (function(given): is it meant?)
---@field job? garner.api.job_field
---@field check? fun(given: table, window: table|nil): string|nil what is wrong with all of it
---@field title? string|function of a plan: "readings of {station}"
---@field what? string|function of a 404: "station {station}"
---@field scope? string access scope, for a 403 and for OAuth
---@field notes? string[]|fun(given: table): string[] further lines of a plan
---@field safe? boolean may be sent again (GET: yes, unless it creates)
---@field creates? boolean makes something (with a job: yes)
---@field raw? string|false the name of the verb that makes one request (get_NAME, create_NAME)

---Describes an API. Each verb is a pull over a range of time (or over all
---there is), with a second verb that makes one request; a function is taken as
---a verb as it is. `ctx` is { client, given, window, page }. A wrong
---description raises at the caller's line.
---@param description { name: string, base_url: string|fun(settings: table): string, auth:
---  (fun(token: any): garner.auth)|false|nil, token_env: string|string[]|nil, headers: table|nil,
---  options: table|nil, rate: number|nil, burst: number|nil, scope: string|nil, errors:
---  function|nil, credentials: table|nil, verbs: table<string, garner.api.verb|function> } auth:
---  what a token becomes (bearer), false: none is needed; headers: texts, or { option, env, what }
---  that the constructor must be given; options: further options of the constructor, rules as in
---  arguments; what it says of scope and errors holds for verbs that say nothing
---@return fun(given: table|nil): garner.Client constructor: token, base_url, concurrency, the
---  description's own options, and every option of garner.client
function M.new(description)
  local api = describe.check(description)
  inherit(api)
  local class = class_of(api)
  local token_env = api.token_env
  if type(token_env) == "string" then token_env = { token_env } end
  return function(given)
    return vendor.new(class, given, {
      name = api.name, base_url = api.base_url, auth = api.auth or auth.bearer,
      token_env = token_env, needs_token = not api.open, headers = api.headers,
      options = api.options, rate = api.rate, burst = api.burst, scope = api.scope,
      credentials = api.credentials,
    })
  end
end

return M
