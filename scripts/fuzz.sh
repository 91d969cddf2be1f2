#!/bin/sh
# Runs every fuzz target of the module for the given time, one after the other.
#
# When the time ends while an input is being tried, the Go tool at times says
# "context deadline exceeded" and fails without a failing input: then, and only
# then, the target is run again.
set -eu
time=${1:-10s}
found=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# run TARGET DIR
run() {
	code=0
	"${GO:-go}" test "$2" -run '^$' -fuzz "^$1\$" -fuzztime "$time" >"$log" 2>&1 || code=$?
	cat "$log"
	return "$code"
}
deadline() {
	grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"
}
for file in $(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz'); do
	dir=./$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		found=$((found + 1))
		tries=1
		echo "fuzz $dir $target $time"
		until run "$target" "$dir"; do
			if ! deadline || [ "$tries" -ge 4 ]; then
				exit 1
			fi
			tries=$((tries + 1))
			echo "fuzz.sh: the time ended in the middle of an input: again"
		done
	done
done
if [ "$found" = 0 ]; then
	echo "fuzz.sh: no fuzz target found" >&2
	exit 1
fi
