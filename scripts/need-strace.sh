#!/bin/sh
# Installs strace from Debian's packages when it is missing and we are root: one
# test counts with it the syncs between writes and their answers.
set -u
if ! command -v strace >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy strace; } >&2
fi
if ! command -v strace >/dev/null 2>&1; then
	echo "need-strace.sh: no strace: the test of the syncs is skipped, and in CI it fails" >&2
fi
