rockspec_format = "3.0"
package = "garner"
version = "scm-1"

-- For `luarocks make` in a checkout, which reads no source from anywhere else.
source = { url = "file://." }

description = {
  summary = "Pulls analytics reports and metrics out of web APIs",
  detailed = [[
garner fetches reports and metrics from web APIs: BlendVision, Google Workspace
entity usage, Shoplazza, and any other API that is described by a table. A C
core on libcurl does HTTP, credentials, retries, pagination and polling; Lua
plans the windows of time and gives the data back as tables.]],
  license = "MIT",
  labels = { "http", "curl", "analytics", "reports", "api" },
}

supported_platforms = { "unix" }

dependencies = {
  "lua >= 5.1, < 5.5",
}

-- Found by their libraries, not by a header: some systems keep curl's header
-- in a folder of the machine's architecture that only the compiler knows.
external_dependencies = {
  CURL = { library = "curl" },
  OPENSSL = { library = "crypto" },
  ZLIB = { library = "z" },
}

build = {
  type = "builtin",
  modules = {
    ["garner.core"] = {
      sources = {
        "src/core/address.c",
        "src/core/alloc.c",
        "src/core/attempt.c",
        "src/core/auth.c",
        "src/core/body.c",
        "src/core/buf.c",
        "src/core/call.c",
        "src/core/clock.c",
        "src/core/engine.c",
        "src/core/error.c",
        "src/core/exchange.c",
        "src/core/files.c",
        "src/core/framing.c",
        "src/core/inflate.c",
        "src/core/json.c",
        "src/core/json_pick.c",
        "src/core/jwt.c",
        "src/core/limiter.c",
        "src/core/mailbox.c",
        "src/core/oauth.c",
        "src/core/oauth_fetch.c",
        "src/core/oauth_grant.c",
        "src/core/pager.c",
        "src/core/policy.c",
        "src/core/poll_round.c",
        "src/core/poll_rules.c",
        "src/core/poller.c",
        "src/core/process.c",
        "src/core/request.c",
        "src/core/retry.c",
        "src/core/sink.c",
        "src/core/submit.c",
        "src/core/timer.c",
        "src/core/url.c",
        "src/core/url_parts.c",
        "src/lua/client.c",
        "src/lua/engine.c",
        "src/lua/json_decode.c",
        "src/lua/json_encode.c",
        "src/lua/module.c",
        "src/lua/request.c",
        "src/lua/result.c",
        "src/lua/urls.c",
        "src/lua/util.c",
        "src/lua/walk.c",
      },
      libraries = { "curl", "crypto", "z", "pthread" },
      incdirs = { "src", "src/core", "$(CURL_INCDIR)", "$(OPENSSL_INCDIR)", "$(ZLIB_INCDIR)" },
      libdirs = { "$(CURL_LIBDIR)", "$(OPENSSL_LIBDIR)", "$(ZLIB_LIBDIR)" },
    },
    ["garner.api"] = "lua/garner/api.lua",
    ["garner.api.answer"] = "lua/garner/api/answer.lua",
    ["garner.api.arguments"] = "lua/garner/api/arguments.lua",
    ["garner.api.describe"] = "lua/garner/api/describe.lua",
    ["garner.api.pace"] = "lua/garner/api/pace.lua",
    ["garner.api.range"] = "lua/garner/api/range.lua",
    ["garner.api.verbs"] = "lua/garner/api/verbs.lua",
    ["garner.arguments"] = "lua/garner/arguments.lua",
    ["garner.auth"] = "lua/garner/auth.lua",
    ["garner.blendvision"] = "lua/garner/blendvision.lua",
    ["garner.blendvision.metrics"] = "lua/garner/blendvision/metrics.lua",
    ["garner.blendvision.reports"] = "lua/garner/blendvision/reports.lua",
    ["garner.client"] = "lua/garner/client.lua",
    ["garner.compat"] = "lua/garner/compat.lua",
    ["garner.coverage"] = "lua/garner/coverage.lua",
    ["garner.csv"] = "lua/garner/csv.lua",
    ["garner.decimal"] = "lua/garner/decimal.lua",
    ["garner.driver"] = "lua/garner/driver.lua",
    ["garner.driver.block"] = "lua/garner/driver/block.lua",
    ["garner.endpoint"] = "lua/garner/endpoint.lua",
    ["garner.engine"] = "lua/garner/engine.lua",
    ["garner.enums"] = "lua/garner/enums.lua",
    ["garner.errors"] = "lua/garner/errors.lua",
    ["garner.failure"] = "lua/garner/failure.lua",
    ["garner.google_reports"] = "lua/garner/google_reports.lua",
    ["garner.google_reports.activities"] = "lua/garner/google_reports/activities.lua",
    ["garner.google_reports.arguments"] = "lua/garner/google_reports/arguments.lua",
    ["garner.google_reports.usage"] = "lua/garner/google_reports/usage.lua",
    ["garner.google_reports.values"] = "lua/garner/google_reports/values.lua",
    garner = "lua/garner/init.lua",
    ["garner.job"] = "lua/garner/job.lua",
    ["garner.json"] = "lua/garner/json.lua",
    ["garner.log"] = "lua/garner/log.lua",
    ["garner.options"] = "lua/garner/options.lua",
    ["garner.pages"] = "lua/garner/pages.lua",
    ["garner.plan"] = "lua/garner/plan.lua",
    ["garner.poll"] = "lua/garner/poll.lua",
    ["garner.progress"] = "lua/garner/progress.lua",
    ["garner.pull"] = "lua/garner/pull.lua",
    ["garner.pull.budget"] = "lua/garner/pull/budget.lua",
    ["garner.pull.patience"] = "lua/garner/pull/patience.lua",
    ["garner.pull.run"] = "lua/garner/pull/run.lua",
    ["garner.report"] = "lua/garner/report.lua",
    ["garner.request"] = "lua/garner/request.lua",
    ["garner.response"] = "lua/garner/response.lua",
    ["garner.rows"] = "lua/garner/rows.lua",
    ["garner.save"] = "lua/garner/save.lua",
    ["garner.script"] = "lua/garner/script.lua",
    ["garner.series"] = "lua/garner/series.lua",
    ["garner.shoplazza"] = "lua/garner/shoplazza.lua",
    ["garner.shoplazza.events"] = "lua/garner/shoplazza/events.lua",
    ["garner.shoplazza.tasks"] = "lua/garner/shoplazza/tasks.lua",
    ["garner.tasks"] = "lua/garner/tasks.lua",
    ["garner.time"] = "lua/garner/time.lua",
    ["garner.vendor"] = "lua/garner/vendor.lua",
    ["garner.wait"] = "lua/garner/wait.lua",
    ["garner.window"] = "lua/garner/window.lua",
    ["garner.zone"] = "lua/garner/zone.lua",
  },
  copy_directories = {},
}
