#!/bin/bash
# clang-tidy over every C source of the project, the largest first, on each processor what others leave of it.
# The analyzer looks at every function; it gives one up after 75,000 states in place of 225,000, which take three times as long.
# Usage: tidy.sh <build folder with compile_commands.json>
set -u
build=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1
[ -f "$build/compile_commands.json" ] || { echo "no $build/compile_commands.json: configure the build first"; exit 1; }
log=$(mktemp "$build/tidy.XXXXXX")
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2016 # the inner shell expands them
git ls-files -co --exclude-standard -- 'common/*.c' 'agent/*.c' 'broker-conf/*.c' 'ingest/*.c' 'commander/*.c' \
	'bridge/*.c' 'dashboard/*.c' 'tools/*.c' |
	xargs ls -S |
	nice -n 10 xargs -n 1 -P "$(nproc)" sh -c '
		clang-tidy-14 --quiet -p "$0" --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang \
			--extra-arg=max-nodes=75000 "$1" 2>/dev/null && exit 0
		code=$?
		[ "$code" -le 128 ] || echo "$1: error: clang-tidy-14 crashed on it (exit code $code): write it another way"
		exit 1 # xargs goes on with the others, as it does not when one dies by a signal
	' "$build" >"$log"
status=$?
grep -E '(warning|error):' "$log" | sort -u
[ "$status" -eq 0 ] && echo "clang-tidy is clean"
exit "$status"
