# Tries what users do to get garner into a Lua: `cmake --install` and the rock,
# and into a C program: find_package and pkg-config, each in a temporary folder.
# Sourced by stages.sh; uses its check and $work.
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
  build "for lua5.4" lua5.4 -DGARNER_LUA=5.4 -DGARNER_EMBED=ON &&
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

# Two Luas below one prefix, which is moved after they were installed.
package_embed() {
  local prefix=$work/moved abi
  for abi in 5.1 5.4; do
    build "for lua$abi" "lua$abi" -DGARNER_LUA="$abi" -DGARNER_EMBED=ON || return
    check "archive of lua$abi: nothing but garner's names" archive_names "$abi"
    check "cmake --install for C programs, lua$abi" \
      cmake --install "build/lua$abi" --prefix "$work/embed" || return
  done
  mv "$work/embed" "$prefix"
  check "garner.h alone, C11" header_alone gcc -std=c11 -x c "$prefix"
  check "garner.h alone, C++" header_alone g++ -std=c++11 -x c++ "$prefix"
  for abi in 5.1 5.4; do
    check "find_package, lua$abi" package_find "$abi" "$prefix" &&
      check "examples/embed, lua$abi" package_hosts "$abi"
    check "pkg-config garner-lua$abi, C" package_flags gcc "$abi" "$prefix" "garner-lua$abi"
    check "pkg-config garner-lua$abi, C++" package_flags "g++ -x c++" "$abi" "$prefix" \
      "garner-lua$abi"
  done
  check "pkg-config garner: the last one" package_flags gcc 5.4 "$prefix" garner
  check "a program with Lua's archive" package_flags gcc 5.4 "$prefix" garner -l:liblua5.4.a
  check "the program in the README" package_readme "$prefix"
  check "find_package: a Lua that is not there" package_find_none "$prefix"
}

archive_names() { # abi
  nm -g --defined-only "build/lua$1/libgarner-lua$1.a" | awk 'NF == 3 { print $3 }' |
    sort >"$work/names"
  printf '%s\n' garner_preload luaopen_garner_core | diff -u - "$work/names"
}

header_alone() { # compiler... prefix
  local prefix=${!#}
  echo '#include <garner.h>' >"$work/header"
  "${@:1:$#-1}" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$work/header"
}

# The example from an empty folder, against what is installed and nothing else.
package_find() { # abi prefix
  rm -rf "$work/example" "$work/hosts-$1"
  cp -r examples/embed "$work/example" &&
    cmake -S "$work/example" -B "$work/hosts-$1" -DCMAKE_PREFIX_PATH="$2" \
      -Dgarner_LUA_VERSION="$1" -DCMAKE_C_FLAGS=-Werror &&
    grep "garner_DIR:PATH=$2/lib/cmake/garner-lua$1\$" "$work/hosts-$1/CMakeCache.txt" &&
    cmake --build "$work/hosts-$1"
}

package_hosts() { # abi
  local program
  for program in embed-host embed-host-module; do
    (cd / && env BLENDVISION_TOKEN=sim-token BLENDVISION_ORG_ID=sim-org \
      "$work/hosts-$1/$program" --verbose "$work/example/fetch.lua") >"$work/fetched" || return
    cat "$work/fetched"
    grep -q '^[1-9][0-9]* points' "$work/fetched" && grep -q '^succeeded$' "$work/fetched" || return
  done
}

package_find_none() { # prefix
  ! cmake -S examples/embed -B "$work/hosts-none" -DCMAKE_PREFIX_PATH="$1" \
    -Dgarner_LUA_VERSION=5.3
}

package_flags() { # compiler abi prefix package [lua's library]
  package_compile "${@:1:4}" spec/support/consumer.c "${@:5}" &&
    ldd "$work/consumer" && (cd / && "$work/consumer")
}

package_compile() { # compiler abi prefix package source [lua's library]
  local compiler=$1 abi=$2 source=$5 flags lua
  lua=${6:-$(pkg-config --libs "lua$abi")}
  flags=$(PKG_CONFIG_PATH="$3/lib/pkgconfig" pkg-config --cflags --libs "$4") || return
  $compiler -Wall -Wextra -Werror "$source" -x none -o "$work/consumer" \
    $flags $(pkg-config --cflags "lua$abi") $lua
}

package_readme() { # prefix
  awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/readme.c"
  package_compile gcc 5.4 "$1" garner-lua5.4 "$work/readme.c" && (cd / && "$work/consumer")
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
