# Sourced by ./quickstart and ./check: what both need. Installs the packages that are missing and chooses how many
# compilers run at once. Safe to run again.

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "want root or sudo to install packages: $*"
  fi
}

# packages SECTION: the names under [SECTION] of packages.txt.
packages() {
  sed -n "/^\[$1\]/,/^\[/p" "$root/scripts/packages.txt" | grep -v '^[[#]' || true
}

install_missing() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || fail "want Debian 12 (apt-get); install what scripts/packages.txt lists by hand"
  local missing=() name
  for name in "$@"; do
    # A tool that is there from elsewhere (node, cmake, git) is as good as the package.
    case $name in
      nodejs) command -v node >/dev/null && continue ;;
      npm|cmake|git|curl|chromium|ccache|mold) command -v "$name" >/dev/null && continue ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing: ${missing[*]}"
  as_root apt-get update -q >/dev/null || fail "apt-get update failed"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null \
    || fail "apt-get could not install: ${missing[*]}"
}

# One compiler a core, but no more than memory allows: a libtorch file takes over 1 GB.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1600000)}' /proc/meminfo)
  [ "$memory" -lt "$cores" ] && cores=$memory
  [ "$cores" -lt 1 ] && cores=1
  echo "$cores"
}
