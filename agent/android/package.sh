#!/bin/bash
# package.sh <program> <strip> <package> <sysroot> <version> <version of libmosquitto>: makes the folder <package>,
# <package>.tar.gz and its SHA-256. The same input gives the same bytes. Devices get the archive; there is none when the
# libraries could not be verified to be Debian's latest: the folder then serves tests only.
set -euo pipefail

program=$1 strip=$2 package=$3 sysroot=$4 version=$5 mosquitto=$6
name=$(basename "$package")

rm -rf "$package" "$package.tar.gz" "$package.tar.gz.sha256"
complete=true
[ ! -e "$sysroot/behind" ] || complete=false
mkdir -p "$package"
"$strip" -o "$package/muster-agent" "$program"
install -m 0755 "$(dirname "$(readlink -f "$0")")/service.sh" "$package/service.sh"

# What an operator must know to tell whether a security update is in there.
{
	printf '{"abi":"%s","version":"%s","sha256":"%s","libmosquitto":"%s","libraries":[' "${name##*-android-}" "$version" \
		"$(sha256sum <"$package/muster-agent" | cut -d ' ' -f 1)" "$mosquitto"
	sed 's/.*/"&"/; $!s/$/,/' "$sysroot/packages" | tr -d '\n'
	printf '],"complete":%s}\n' "$complete"
} >"$package/manifest.json"

if [ "$complete" = false ]; then
	echo "package.sh: no archive for devices: the libraries could not be verified as complete ($sysroot/behind)" >&2
	exit 0
fi
tar --directory "$(dirname "$package")" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$name" |
	gzip -9n >"$package.tar.gz"
(cd "$(dirname "$package")" && sha256sum "$name.tar.gz") >"$package.tar.gz.sha256"
