#!/bin/sh
# Prints -race where the race detector can be built: it needs a C compiler,
# which is installed from Debian's packages when it is missing and we are root.
set -u
have() { command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1; }
if ! have && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy gcc libc6-dev; } >&2
fi
if have; then
	echo -race
elif [ "${CI:-}" = true ]; then
	echo "race.sh: no C compiler, and CI needs the race detector" >&2
	echo -race # so that the build says so too
else
	echo "race.sh: no C compiler: the tests run without the race detector" >&2
fi
