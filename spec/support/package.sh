# Tries what users do to get garner into a Lua: `cmake --install` and the rock,
# each into a temporary folder. Sourced by stages.sh; uses its check and $work.
# Must not: leave objects in the source tree.

# Prints where `require "garner"` and the C module are found below $1.
package_require() { # lua abi prefix
  env LUA_PATH="$3/share/lua/$2/?.lua;$3/share/lua/$2/?/init.lua" \
    LUA_CPATH="$3/lib/lua/$2/?.so" "$1" -e '
      local garner = require "garner"
      local versions = garner.versions()
      print(garner._VERSION, versions.garner, versions.libcurl)
      assert(versions.garner, "no version")
      local file = assert(io.open("src/core/version.h")):read "*a"
      assert(file:match "GN_VERSION \"(.-)\"" == versions.garner, "not this version")'
}

# The files below prefix $1 for ABI $2 must be the tree's own and no others.
package_compare() {
  { (cd "$root/lua" && find garner -name '*.lua') | sed "s,^,share/lua/$2/,"
    echo "lib/lua/$2/garner/core.so"
  } | sort >"$work/expected"
  (cd "$1" && find share/lua lib/lua -type f) | sort >"$work/installed"
  diff -u "$work/expected" "$work/installed"
}

package_exports() {
  build "for lua5.4" lua5.4 -DGARNER_LUA=5.4 &&
    check "core.so exports luaopen_garner_core alone" exports_one
}

exports_one() {
  nm -D --defined-only build/lua5.4/garner/core.so | tee "$work/exports"
  [ "$(awk '{ print $NF }' "$work/exports")" = luaopen_garner_core ]
}

package_install() {
  local prefix=$work/prefix
  check "cmake --install" cmake --install build/lua5.4 --prefix "$prefix" || return
  check "cmake --install: nothing outside the prefix" inside_prefix "$prefix"
  check "cmake --install: the files" package_compare "$prefix" 5.4
  check "cmake --install: require" package_require lua5.4 5.4 "$prefix"
}

inside_prefix() {
  ! grep -v "^$1/" build/lua5.4/install_manifest.txt
}

# luarocks compiles beside the sources, so it gets a copy.
package_rock() { # abi
  local copy=$work/rock-source-$1 tree=$work/rock-$1
  mkdir -p "$copy"
  check "copy for luarocks, $1" cp -r src lua rockspec LICENSE "$copy" || return
  check "luarocks make, $1" rock_make "$1" "$copy" "$tree" || return
  check "luarocks make, $1: the files" package_compare "$tree" "$1"
  check "luarocks make, $1: require" package_require "lua$1" "$1" "$tree"
}

rock_make() {
  (cd "$2" && luarocks --lua-version="$1" make --deps-mode=none --tree "$3" \
    rockspec/garner-scm-1.rockspec)
}
