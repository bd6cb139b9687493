# Which Debian packages the quick start and the specs need, and how the missing
# ones are installed. Sourced by examples/quickstart, spec/run and
# spec/bench/run (bash).
#
#   packages_for quickstart|spec|bench|dashboard|dashboard-spec   prints the packages
#   packages_ensure WHAT [no-install]
#       returns 0 when all are there (then apt was not called); otherwise says
#       what is missing and installs it (as root), or prints the command to type
#       and returns 2
#
# Must not: touch a package that is there, leave a service running or enabled
# that was not, or overwrite a file of the system's.

# "a|b": either will do, the first is what gets installed.
packages_build="gcc libc6-dev make cmake libcurl4-openssl-dev libssl-dev zlib1g-dev ca-certificates"
packages_simulator="nginx libnginx-mod-http-lua openssl"
packages_quickstart="$packages_build lua5.4 liblua5.4-dev $packages_simulator"
packages_dashboard="$packages_build
  luajit2|luajit libluajit2-5.1-dev|libluajit-5.1-dev $packages_simulator util-linux"
packages_spec="$packages_build
  lua5.1 liblua5.1-0-dev lua5.2 liblua5.2-dev lua5.3 liblua5.3-dev lua5.4 liblua5.4-dev
  luajit2|luajit libluajit2-5.1-dev|libluajit-5.1-dev
  lua-busted lua-check lua-cjson lua-socket lua-cqueues lua-luv lua-copas lua-luaossl luarocks libcmocka-dev curl
  pkgconf|pkg-config g++
  $packages_simulator"

# With the peers that Debian has; node, which other makers package too, is only
# compared with where it is there.
packages_bench="$packages_build lua5.4 liblua5.4-dev lua5.1
  luajit2|luajit libluajit2-5.1-dev|libluajit-5.1-dev $packages_simulator
  curl libcjson-dev lua-cjson lua-socket lua-cqueues lua-luaossl lua-curl lua-http
  python3 python3-requests python3-urllib3 python3-pycurl valgrind util-linux"

packages_for() {
  case $1 in
    quickstart) echo $packages_quickstart ;;
    spec) echo $packages_spec ;;
    bench) echo $packages_bench ;;
    dashboard) echo $packages_dashboard $(packages_npm) ;;
    dashboard-spec) echo $packages_dashboard $(packages_npm) chromium fonts-dejavu-core ;;
    *) echo "packages_for: unknown: '$1'" >&2; return 1 ;;
  esac
}

# By their commands: other makers' nodejs has npm in it.
packages_npm() {
  command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm
}

# The ones of "$@" that are not installed.
packages_missing() {
  local have names name found
  have=" $(dpkg-query -W -f '${Package}/${db:Status-Status} ' ${@//|/ } 2>/dev/null) "
  for names in "$@"; do
    found=no
    for name in ${names//|/ }; do
      case $have in *" $name/installed "*) found=yes ;; esac
    done
    [ $found = yes ] || printf '%s ' "${names%%|*}"
  done
}

packages_ensure() {
  local what=$1 mode=${2:-install} missing command
  if ! command -v dpkg-query >/dev/null; then
    echo "No dpkg here: this is not Debian, so nothing is installed or looked for."
    echo "What is needed, by its Debian names: $(packages_for "$what")"
    return 0
  fi
  missing=$(packages_missing $(packages_for "$what"))
  missing=${missing% }
  [ -z "$missing" ] && return 0

  command="apt-get update && apt-get install -y --no-install-recommends --no-remove $missing"
  if [ "$mode" = no-install ] || [ "$(id -u)" != 0 ]; then
    echo "These Debian packages are missing; as root, type:"
    echo "  $command"
    return 2
  fi
  echo "Installing these Debian packages: $missing"
  packages_install $missing || {
    echo "Could not install them. As root, type:"
    echo "  $command"
    return 2
  }
}

packages_install() {
  local log status guard=/usr/sbin/policy-rc.d guarded=no nginx_before=no nginx_pid=no
  local options="-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o APT::Cmd::Disable-Script-Warning=1"
  packages_nginx_service && nginx_before=yes
  [ -e /run/nginx.pid ] && nginx_pid=yes
  log=$(mktemp) || return 1

  # Debian starts a service as soon as it is installed, unless this file says
  # no. One that is there already is somebody else's and is left alone.
  if [ ! -e "$guard" ] && [ ! -L "$guard" ]; then
    (umask 022; printf '#!/bin/sh\n# made by garner while it installs packages\nexit 101\n' >"$guard") &&
      chmod 755 "$guard" && guarded=yes
  fi
  (
    [ "$guarded" = no ] || trap 'rm -f "$guard"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    export DEBIAN_FRONTEND=noninteractive
    apt-get $options update || echo "apt-get update failed; trying with the lists at hand" >&2
    apt-get $options install -y --no-install-recommends --no-remove "$@"
  ) </dev/null >"$log" 2>&1
  status=$?
  [ "$status" = 0 ] || tail -n 30 "$log" >&2
  rm -f "$log"

  case " $* " in
    *" nginx "*) [ "$nginx_before" = yes ] || packages_nginx_quiet $nginx_pid ;;
  esac
  return $status
}

# True if the system's own nginx service is enabled (systemd or SysV).
packages_nginx_service() {
  local link
  for link in /etc/systemd/system/*.wants/nginx.service /etc/rc[2345].d/S[0-9][0-9]nginx; do
    [ -L "$link" ] || [ -e "$link" ] && return 0
  done
  return 1
}

# The package came for its program alone: its service is neither enabled nor
# running afterwards. Only called when it was not enabled before.
packages_nginx_quiet() {
  local pid pid_before=$1
  if command -v systemctl >/dev/null; then
    systemctl disable nginx.service >/dev/null 2>&1
    [ -d /run/systemd/system ] && systemctl stop nginx.service >/dev/null 2>&1
  fi
  command -v update-rc.d >/dev/null && update-rc.d nginx disable >/dev/null 2>&1
  # Without a service manager to ask, the pid file is the service's own.
  if [ "$pid_before" = no ] && [ -s /run/nginx.pid ] && [ ! -d /run/systemd/system ]; then
    pid=$(cat /run/nginx.pid)
    case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in
      *"nginx: master process"*) kill "$pid" ;;
    esac
  fi
  if packages_nginx_service; then
    echo "The package nginx left its service enabled; to undo that: systemctl disable nginx" >&2
  fi
  return 0
}
