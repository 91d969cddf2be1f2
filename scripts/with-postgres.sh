#!/bin/sh
# with-postgres.sh COMMAND [ARGUMENT...]
#
# Runs COMMAND with ROSTER_TEST_POSTGRES set to the URL of a PostgreSQL server:
# the one it names already, or else a temporary one that is started on a Unix
# socket, and stopped and removed again when COMMAND ends. Exits with COMMAND's
# code. Where no PostgreSQL can be had, COMMAND runs without the variable, but in
# CI (CI=true) that is an error.
set -eu

if [ $# -eq 0 ]; then
	echo "usage: $0 COMMAND [ARGUMENT...]" >&2
	exit 64
fi
if [ -n "${ROSTER_TEST_POSTGRES:-}" ]; then
	exec "$@"
fi

# Prints the folder of initdb and postgres; of several the newest.
find_bin() {
	if command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1; then
		dirname "$(command -v initdb)"
		return
	fi
	for d in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
		if [ -x "$d/initdb" ] && [ -x "$d/postgres" ]; then
			echo "$d"
			return
		fi
	done
	return 1
}

# Installs Debian's package, without the cluster that it would create and start.
install_postgres() {
	[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
	echo "with-postgres: installing PostgreSQL with apt-get" >&2
	mkdir -p /etc/postgresql-common/createcluster.d
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/roster.conf
	{
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql
	} >&2
}

bin=$(find_bin) || { install_postgres && bin=$(find_bin); } || {
	if [ "${CI:-}" = true ]; then
		echo "with-postgres: no PostgreSQL (initdb, postgres) was found, and none could be installed" >&2
		exit 1
	fi
	echo "with-postgres: no PostgreSQL was found, and none could be installed: the tests that need it will be skipped" >&2
	exec "$@"
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/roster-postgres.XXXXXX")

# PostgreSQL refuses to run as root.
as_user=
if [ "$(id -u)" -eq 0 ]; then
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
	chown "$user" "$dir"
	as_user="runuser -u $user --"
fi
run() {
	# shellcheck disable=SC2086 # it is a command with its arguments, or nothing
	(cd "$dir" && exec $as_user "$@")
}

# shellcheck disable=SC2317,SC2329 # called by the trap
cleanup() {
	code=$?
	trap - EXIT
	[ ! -f "$dir/data/postmaster.pid" ] || run "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$dir"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if ! {
	run "$bin/initdb" -D "$dir/data" -U roster -A trust -E UTF8 --locale=C --no-instructions &&
		cat >>"$dir/data/postgresql.conf" <<-EOF &&
			listen_addresses = ''
			unix_socket_directories = '$dir'
			max_connections = 300
			shared_buffers = 128MB
			fsync = on
			synchronous_commit = on
			max_wal_size = 1GB
			autovacuum_naptime = 10s
		EOF
		run "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start
} >"$dir/start" 2>&1; then
	echo "with-postgres: the server in $bin does not start:" >&2
	cat "$dir/start" "$dir/log" >&2 2>/dev/null || true
	exit 1
fi

ROSTER_TEST_POSTGRES="postgres://roster@/postgres?host=$(printf %s "$dir" | sed 's|%|%25|g; s|/|%2F|g; s| |%20|g')"
export ROSTER_TEST_POSTGRES

# Not the last command with -e: its code is kept for cleanup.
code=0
"$@" || code=$?
exit "$code"
