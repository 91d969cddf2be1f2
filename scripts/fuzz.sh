#!/bin/sh
# Runs every fuzz target of the module for the given time, one after the other.
set -eu
time=${1:-10s}
found=0
for file in $(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz'); do
	dir=./$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		found=$((found + 1))
		echo "fuzz $dir $target $time"
		"${GO:-go}" test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time"
	done
done
if [ "$found" = 0 ]; then
	echo "fuzz.sh: no fuzz target found" >&2
	exit 1
fi
