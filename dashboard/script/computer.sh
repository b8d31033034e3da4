#!/bin/bash
# Enrols Android devices that are attached to this computer by adb. Made by Muster @VERSION@.
#
# Needs adb and curl. A device makes its key itself and keeps it; only this computer has to reach the bridge.
# May be run again: it repairs what is missing, and otherwise says "already enrolled".
set -u
umask 077

bridge=@BRIDGE@
token=@TOKEN@
authority=@AUTHORITY@
configuration=@CONFIGURATION@
packages=@PACKAGES@ # a line each: ABI, name, SHA-256
faults=@FAULTS@
device_script=@DEVICE_SCRIPT@
home=/data/local/tmp/muster

usage() {
	cat <<'USAGE'
usage: muster-enroll.sh [--all | --serial SERIAL] [--device ID] [--token-file FILE] [--anew] [--wait SECONDS]

  --all              every attached device, all at once
  --serial SERIAL    the one that adb devices lists so; needed when there are several
  --device ID        the name to ask for, for one device; otherwise the token's, or the server chooses
  --token-file FILE  file with the enrolment token, in place of the one in this script
  --anew             wipe the device's key and what was not yet stored, and enrol it once more
  --wait SECONDS     for a stored heartbeat (60)

Exit codes: 0 all are enrolled and heard, 1 none, 2 wrong usage, 7 some.
USAGE
}

wrong_usage() {
	printf 'muster-enroll: %s\n' "$1" >&2
	usage >&2
	exit 2
}

all='' only='' wish='' token_file='' mode=keep seconds=60
while [ $# -gt 0 ]; do
	case $1 in
	--all) all=1 ;;
	--anew) mode=anew ;;
	--serial | --device | --token-file | --wait)
		[ -n "${2-}" ] || wrong_usage "$1 needs a value"
		case $1 in
		--serial) only=$2 ;;
		--device) wish=$2 ;;
		--token-file) token_file=$2 ;;
		*) seconds=$2 ;;
		esac
		shift
		;;
	--help | -h)
		usage
		exit 0
		;;
	*) wrong_usage "it does not know $1" ;;
	esac
	shift
done
[ -z "$all" ] || [ -z "$only$wish" ] || wrong_usage "--all goes without --serial and --device"
case $wish in *[!a-z0-9-]* | -*) wrong_usage "--device takes 1 to 63 of a-z, 0-9 and -" ;; esac
case $seconds in '' | *[!0-9]* | ?????*) wrong_usage "--wait takes seconds" ;; esac
for program in adb curl; do
	command -v "$program" >/dev/null || wrong_usage "$program is not installed (Debian: apt install $program)"
done
if [ -n "$token_file" ]; then
	token=$(head -n 1 -- "$token_file") || exit 2
	token=${token%$'\r'}
elif [ -z "$token" ] && [ -t 0 ]; then
	read -rsp 'enrolment token (none if all are enrolled already): ' token
	echo
fi
if [ -n "$token" ] && { [ ${#token} != 43 ] || [[ $token == *[!A-Za-z0-9_-]* ]]; }; then
	wrong_usage "that is no enrolment token: one has 43 characters"
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2046 # process ids
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM
printf '%s' "$authority" >"$work/authority.pem"
printf '%s' "$configuration" >"$work/muster-agent.conf.new"
printf '%s\n' "$device_script" >"$work/enroll.sh"

# ---- one device: in a process of its own, with $serial and $mine ----

say() { printf '%s: %s\n' "$serial" "$1"; }

finished() { # result, ID, what, cure
	printf '%s\t%s\t%s\t%s\t%s\n' "$serial" "$1" "$2" "$3" "${4-}" >"$mine/row"
	say "$1${3:+: $3}"
}

fail() { # fault, detail
	local name what cure detail=${2-}
	detail=${detail//$'\t'/ }
	while IFS='|' read -r name what cure; do
		[ "$name" != "$1" ] || break
	done <<<"$faults"
	finished failed - "$what${detail:+ ($detail)}" "$cure"
	exit 1
}

# adb itself failed: because of the device's storage, for another reason that it tells, or since the device has gone.
adb_failed() { # what adb said
	case $1 in
	*"No space left"*) fail storage "${1##*$'\n'}" ;;
	*unauthorized*) fail unauthorized ;;
	*remote*) fail adb "${1##*$'\n'}" ;;
	*) fail unplugged "${1##*$'\n'}" ;;
	esac
}

# What a device says is shown to people: nothing in it may steer their terminal.
adb_says() { # words
	adb -s "$serial" "$@" 2>&1 </dev/null | LC_ALL=C tr -d '\000-\010\013-\037\177-\377'
	return "${PIPESTATUS[0]}"
}

push() { # file, where to
	local output
	output=$(adb_says push "$1" "$2") || adb_failed "$output"
}

on_device() { # words for enroll.sh: its answer is in $answer
	local output code=0
	output=$(adb_says shell "sh $home/enroll.sh $*") || code=$?
	answer=${output##*$'\n'}
	if [[ $answer == "fault "* ]]; then
		answer=${answer#fault }
		fail "${answer%% *}" "${answer#* }"
	fi
	[ "$code" = 0 ] || adb_failed "$output"
}

sha256_of() {
	if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -c 1-64
}

# The first that needs a package fetches it for all.
fetch() { # name, SHA-256
	local folder=$work/$2 problem
	if mkdir "$folder" 2>/dev/null; then
		if ! problem=$(curl -sS --fail --cacert "$work/authority.pem" --max-time 300 -o "$folder/part" \
			"$bridge/v1/agents/$1" 2>&1); then
			printf '%s\n' "${problem%%$'\n'*}" >"$folder/problem"
		elif [ "$(sha256_of "$folder/part")" != "$2" ]; then
			echo "what came is not what this script was made for" >"$folder/problem"
		else
			mv "$folder/part" "$folder/package.tar.gz" || echo "it can't be kept in $folder" >"$folder/problem"
		fi
	fi
	until [ -e "$folder/package.tar.gz" ] || [ -e "$folder/problem" ]; do sleep 0.2; done
	[ -e "$folder/package.tar.gz" ] || fail download "$(cat "$folder/problem")"
}

ask_bridge() { # the device's request: the bridge's answer goes into answer.json
	local status problem tries=0
	[ -n "$token" ] || fail no-token
	while :; do
		# Standard input and builtins only, so that the token is in no program's arguments.
		status=$(printf '{"token":"%s",%s' "$token" "${1#\{}" |
			curl -sS --cacert "$work/authority.pem" --max-time 60 -H 'Content-Type: application/json' --data-binary @- \
				-o "$mine/answer.json" -w '%{http_code}' "$bridge/v1/enroll" 2>"$mine/problem") ||
			fail bridge "$(head -n 1 "$mine/problem")"
		tries=$((tries + 1))
		if [ "$status" != 503 ] || [ "$tries" -ge 6 ]; then break; fi
		sleep 5
	done
	problem=$(sed -n 's/.*"detail":"\([^"]*\)".*/\1/p' "$mine/answer.json")
	case $status in
	200 | 201) ;;
	403) fail token ;;
	409) fail taken "$wish" ;;
	429) fail limit "$problem" ;;
	*) fail answer "HTTP $status: $problem" ;;
	esac
}

enroll() {
	local abi installed name sum at result='already enrolled'
	push "$work/enroll.sh" "$home/enroll.sh"
	on_device probe
	read -r _ abi installed _ <<<"$answer"
	name='' sum=''
	while read -r at name sum; do
		[ "$at" != "$abi" ] || break
		name='' sum=''
	done <<<"$packages"
	[ -n "$name" ] || fail abi "$abi"
	if [ "$installed" != "$sum" ]; then
		say 'fetching the agent'
		fetch "$name" "$sum"
		say 'installing the agent'
		push "$work/$sum/package.tar.gz" "$home/package.tar.gz"
		result=repaired
	fi
	push "$work/muster-agent.conf.new" "$home/muster-agent.conf.new"
	on_device prepare "$sum" "$mode" "$wish"
	if [[ $answer == "request "* ]]; then
		say 'enrolling'
		ask_bridge "${answer#request }"
		push "$mine/answer.json" "$home/answer.json"
		result=enrolled
	fi
	say 'waiting for a stored heartbeat'
	on_device finish "$seconds"
	read -r _ name at <<<"$answer"
	if [ "$at" = started ] && [ "$result" = 'already enrolled' ]; then result=repaired; fi
	finished "$result" "$name" ''
}

start() { # serial, state as adb devices tells it, number
	serial=$1
	mine=$work/device-$3
	mkdir "$mine"
	case $2 in
	device) enroll ;;
	unauthorized | authorizing) fail unauthorized ;;
	missing) fail unplugged ;;
	*permissions*) fail adb "$2" ;;
	*) fail offline "$2" ;;
	esac
}

# ---- all of them ----

listing=$(adb devices) || exit 1
serials=() states=()
while IFS=$'\t' read -r at state; do
	if [ -n "${state-}" ] && { [ -z "$only" ] || [ "$at" = "$only" ]; }; then
		serials+=("$at")
		states+=("${state%$'\r'}")
	fi
done <<<"$listing"
if [ -n "$only" ] && [ ${#serials[@]} = 0 ]; then
	serials=("$only")
	states=(missing)
fi
if [ ${#serials[@]} = 0 ]; then
	echo 'muster-enroll: no device is attached' >&2
	echo '  next: plug one in with USB debugging on (settings, developer options); adb devices must list it' >&2
	exit 1
fi
if [ ${#serials[@]} -gt 1 ] && [ -z "$all" ]; then
	wrong_usage "several devices are attached (${serials[*]}): choose one with --serial, or take --all"
fi

for ((number = 0; number < ${#serials[@]}; number++)); do
	start "${serials[number]}" "${states[number]}" "$number" &
done
wait

failed=0
printf '\n%-24s %-18s %s\n' DEVICE RESULT NAME
for ((number = 0; number < ${#serials[@]}; number++)); do
	row=$(cat "$work/device-$number/row" 2>/dev/null) ||
		row="${serials[number]}"$'\tfailed\t-\tit was interrupted\trun this again'
	IFS=$'\t' read -r serial result name what cure <<<"$row"
	printf '%-24s %-18s %s\n' "$serial" "$result" "$name"
	if [ "$result" = failed ]; then
		failed=$((failed + 1))
		printf '  why:  %s\n  next: %s\n' "$what" "$cure"
	fi
done
[ "$failed" -gt 0 ] || exit 0
[ "$failed" -lt ${#serials[@]} ] || exit 1
exit 7
