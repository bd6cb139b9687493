--- The start of a script: require, and the first client.
local garner = require "garner"
local client = garner.client { base_url = "https://api.example.com", token = "t" }
assert(client)
