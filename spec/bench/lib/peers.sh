# The clients and decoders that garner is compared with: which are here, how they
# are run, their versions; for the others the reason. Sourced by spec/bench/run.
# Must not: install anything.

declare -A peer_command=() peer_version=() peer_reason=()
peer_names=()

# A peer is there if a line of its own language can load it and tell its version.
peer_find() { # name command package line
  local name=$1 command=$2 package=$3 line=$4 words version
  peer_names+=("$name")
  words=($command)
  if ! command -v "${words[${#words[@]} - 1]}" >/dev/null; then
    peer_reason[$name]="${words[${#words[@]} - 1]} is not installed"
  elif version=$("${words[@]}" "$(peer_flag "${words[${#words[@]} - 1]}")" "$line" 2>/dev/null) &&
    [ -n "$version" ]; then
    peer_command[$name]=$command
    peer_version[$name]=$version
  else
    peer_reason[$name]="$package"
  fi
}

peer_flag() { case $1 in python3) printf %s -c ;; *) printf %s -e ;; esac; }

deb_version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo unknown; }

peers_find() {
  # Debian has lua-http's files for other Luas only; they are plain Lua.
  local http="env LUA_PATH=/usr/share/lua/5.4/?.lua;/usr/share/lua/5.2/?.lua;;"
  local lua
  peer_find lua-curl/jit luajit "Debian: lua-curl" \
    'require "socket" print("lua-curl '"$(deb_version lua-curl)"', " .. require "curl".version())'
  peer_find lua-curl/5.1 lua5.1 "Debian: lua-curl" \
    'require "socket" print("lua-curl '"$(deb_version lua-curl)"', " .. require "curl".version())'
  peer_find lcurl/5.4 lua5.4 "Lua-cURLv3 is in no Debian package; LuaRocks: Lua-cURL" \
    'require "socket" print("Lua-cURLv3, " .. require "lcurl".version())'
  peer_find lcurl/jit luajit "Lua-cURLv3 is in no Debian package; LuaRocks: Lua-cURL" \
    'require "socket" print("Lua-cURLv3, " .. require "lcurl".version())'
  peer_find lua-http/5.4 "$http lua5.4" "Debian: lua-http, and lua-cqueues, lua-luaossl for this Lua" \
    'require "socket" require "http.client" print("lua-http " .. require "http.version".version)'
  peer_find lua-http/jit luajit "Debian: lua-http" \
    'require "socket" require "http.client" print("lua-http " .. require "http.version".version)'
  for lua in lua5.4 luajit; do
    peer_find luasocket/${lua#lua} $lua "Debian: lua-socket" 'print(require "socket"._VERSION)'
    peer_find cjson/${lua#lua} $lua "Debian: lua-cjson" 'print("lua-cjson " .. require "cjson"._VERSION)'
  done
  peer_find requests python3 "Debian: python3-requests" \
    'import requests, urllib3; print("requests", requests.__version__, "on urllib3", urllib3.__version__)'
  peer_find urllib3 python3 "Debian: python3-urllib3" 'import urllib3; print("urllib3", urllib3.__version__)'
  peer_find pycurl python3 "Debian: python3-pycurl" 'import pycurl; print(pycurl.version)'
  peer_find python python3 "Debian: python3" 'import platform; print("python", platform.python_version())'
  peer_find node node "Debian: nodejs (18 or newer has fetch)" \
    'if (typeof fetch === "function") console.log("node " + process.version + ", undici " + process.versions.undici)'
}
