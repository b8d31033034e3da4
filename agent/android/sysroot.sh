#!/bin/bash
# Brings what an Android build of the agent is linked from into build/android: Debian's headers and static libraries of
# the ABI's architecture into <abi>/sysroot, and the source of libmosquitto, of which Debian has no static library, into
# mosquitto. Uses the host's apt sources and keys with a private state, so that the host's dpkg and apt stay as they are.
# Needs no root. Does nothing where all is there; remove build/android to have it fetched again.
set -euo pipefail

packages=(libc6-dev linux-libc-dev libssl-dev libjson-c-dev libconfig-dev libsqlite3-dev)

say() { printf '%s\n' "$*" >&2; }

die() {
	say "sysroot.sh: $1"
	shift
	for line in "$@"; do say "  $line"; done
	exit 1
}

case ${1-} in
arm64) architecture=arm64 ;;
armv7) architecture=armhf ;;
x86_64) architecture=amd64 ;;
*) die "usage: sysroot.sh arm64|armv7|x86_64" ;;
esac
abi=$1
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
base=$root/build/android
log=$base/$abi.log

# One-line sources.list files cannot be restricted to source packages by an option; deb822 ones can be rewritten.
sources_of() { # deb|deb-src, folder
	local file
	mkdir -p "$2"
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		awk -v RS= -v type="$1" '
			/(^|\n)Types:[^\n]*deb/ && /(^|\n)URIs:[^\n]*debian/ {
				sub(/Types:[^\n]*/, "Types: " type); gsub(/\nArchitectures:[^\n]*/, ""); print $0 "\n" }
		' "$file" >"$2/$(basename "$file")"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed -nE "/debian/s/^[[:space:]]*deb[[:space:]]+/$1 /p" "$file" >"$2/$(basename "$file")"
	done
}

apt_get() { # apt-get with the state in $state
	apt-get -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
		-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state/sources" -o APT::Architecture="$architecture" \
		-o APT::Architectures="$architecture" -o APT::Sandbox::User= -o APT::Update::Post-Invoke-Success= \
		-o APT::Update::Post-Invoke= "$@" >>"$log" 2>&1 </dev/null
}

make_state() { # deb|deb-src
	state=$base/$abi/apt-$1
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	: >"$state/status"
	sources_of "$1" "$state/sources"
	local try
	for try in 1 2 3; do
		apt_get update && return 0
		sleep "$try"
	done
	return 1
}

make_sysroot() {
	local new=$base/$abi/sysroot.new file behind=0
	rm -rf "$new" "$base/$abi/debs"
	mkdir -p "$new" "$base/$abi/debs"
	make_state deb || behind=1
	if ! (cd "$base/$abi/debs" && apt_get download "${packages[@]}"); then
		[ ! -e "$base/$abi/sysroot/packages" ] || return 0 # that of an earlier run, which was behind
		die "Debian's packages for $architecture could not be fetched: ${packages[*]}" "log:  $log" \
			"next: see that apt-get update works on this machine, then run this again"
	fi
	if [ "$behind" = 1 ]; then
		say "sysroot.sh: WARNING: a package index for $architecture could not be verified (mostly a mirror that is changing)."
		say "  The libraries come from the indexes that could be: security updates may be missing."
		say "  Give this build to no device; the next configure tries again. log: $log"
		echo "a package index could not be verified: security updates may be missing" >"$new/behind"
	fi
	for file in "$base/$abi"/debs/*.deb; do
		dpkg-deb --extract "$file" "$new"
		basename "$file" >>"$new/packages"
	done
	rm -rf "$base/$abi/debs" "$state" "$base/$abi/sysroot"
	mv "$new" "$base/$abi/sysroot"
}

make_mosquitto() {
	local new=$base/mosquitto.new
	rm -rf "$new"
	mkdir -p "$new"
	make_state deb-src || true # signatures and sums are checked all the same
	(cd "$new" && apt_get source mosquitto) || die "Debian's source of mosquitto could not be fetched" "log:  $log"
	rm -rf "$state" "$base/mosquitto"
	mv "$new"/mosquitto-*/ "$base/mosquitto"
	rm -rf "$new"
}

mkdir -p "$base/$abi"
exec 9>"$base/.lock"
flock 9
: >"$log"
if [ ! -e "$base/$abi/sysroot/packages" ] || [ -e "$base/$abi/sysroot/behind" ]; then
	say "fetching Debian's libraries for $architecture"
	make_sysroot
fi
if [ ! -e "$base/mosquitto/lib/mosquitto.c" ]; then
	say "fetching Debian's source of libmosquitto"
	make_mosquitto
fi
