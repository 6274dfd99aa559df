#!/usr/bin/env bash
# Unmodified tracking clients against servers of their own: run.sh PERENNIAL [delivery]. With "delivery" also over a bad
# network and from a browser (delivery.test.mjs). Exit code 77 (skipped) where npm cannot install the clients.
set -euo pipefail
program=$1
cd "$(dirname "$0")"
# Not `npm ci`: it refuses a lock file without download addresses where a package is optional on other platforms.
[ -d node_modules/@segment/analytics-next ] || npm install --no-save --omit=optional --no-audit --no-fund || exit 77
if [ "${2:-}" = delivery ]; then
  PERENNIAL_PROGRAM=$program exec node --test delivery.test.mjs
fi
shop=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null; wait "$server" || true; fi; rm -rf "$shop"' EXIT
"$program" init "$shop/shop" >/dev/null
"$program" serve --shop "$shop/shop" --listen 127.0.0.1:0 >"$shop/said" &
server=$!
url=
for _ in $(seq 100); do  # ten seconds at most
  url=$(grep -o 'http://127[^/ ]*' "$shop/said" | head -n 1) && [ -n "$url" ] && break
  sleep 0.1
done
[ -n "$url" ] || { echo "the server said no address"; exit 1; }
PERENNIAL_URL=$url node --test clients.test.mjs
