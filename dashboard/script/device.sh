#!/system/bin/sh
# The device's part of enrolment over adb; the script on the computer pushes it and calls it. Needs Android's own
# programs and no root. Its last line on standard output is the answer; "fault NAME DETAIL" has its cure in faults.
#
#   enroll.sh probe                        device ABI PACKAGE VERSION: PACKAGE is the SHA-256 of what is installed, or -
#   enroll.sh prepare PACKAGE anew|keep [ID]   enrolled ID, or request JSON: what the bridge is to be asked
#   enroll.sh finish SECONDS               stored ID kept|started: the agent runs, and a heartbeat is stored

home=/data/local/tmp/muster
agent=$home/muster-agent
config=$home/muster-agent.conf
log=$home/muster-agent.log
sdk_min=26 # Android 8
free_kb_min=32768

fault() { # name, detail
	case $2 in
	*"No space left"*) set -- storage "$2" ;;
	esac
	printf 'fault %s %s\n' "$1" "$(printf %s "$2" | tr '\n\r\t' '   ')"
	exit 1
}

is_running() { sh "$home/service.sh" status >/dev/null 2>&1; }

stop_agent() {
	[ ! -f "$home/service.sh" ] || sh "$home/service.sh" stop >/dev/null 2>"$home/error" ||
		fault agent "$(cat "$home/error")"
}

# What muster-agent check says: its exit code; the text in $home/check.
check() { "$agent" check --config "$config" >"$home/check" 2>"$home/error"; }
finding() { sed -n "s/^$1  *$2  *//p" "$home/check" | head -n 1; } # name, state

probe() {
	sdk=$(getprop ro.build.version.sdk)
	release=$(getprop ro.build.version.release)
	case $sdk in
	'' | *[!0-9]*) fault android "it says $release" ;;
	esac
	[ "$sdk" -ge "$sdk_min" ] || fault android "it has Android $release"
	installed=-
	if [ -x "$agent" ] && [ -f "$home/package" ]; then
		read -r installed <"$home/package"
	else
		# shellcheck disable=SC2046 # in columns
		set -- $(df -k "$home" | tail -n 1)
		case ${4-} in
		'' | *[!0-9]*) ;;
		*) [ "$4" -ge "$free_kb_min" ] || fault storage "$4 kB are free" ;;
		esac
	fi
	printf 'device %s %s %s\n' "$(getprop ro.product.cpu.abi)" "$installed" "$release"
}

unpack() { # SHA-256
	sum=$(sha256sum <package.tar.gz)
	[ "${sum%% *}" = "$1" ] || fault adb "the package did not arrive whole"
	rm -rf new
	mkdir new || fault storage "a folder can't be made"
	{ gzip -dc package.tar.gz | (cd new && tar -xf -); } 2>error || fault adb "$(cat error)"
	set -- "$1" new/*
	if [ ! -f "$2/muster-agent" ] || [ ! -f "$2/service.sh" ]; then
		fault storage "the package can't be unpacked: $(cat error)"
	fi
	stop_agent
	mv -f "$2"/* . || fault adb "the agent can't be put in its place"
	chmod 755 muster-agent
	rm -rf new package.tar.gz
	printf '%s\n' "$1" >package
}

prepare() { # SHA-256, anew or keep, ID
	cd "$home" || exit 1
	[ ! -f package.tar.gz ] || unpack "$1"
	if cmp -s muster-agent.conf.new "$config"; then
		rm -f muster-agent.conf.new
	else
		stop_agent
		mv -f muster-agent.conf.new "$config" || fault adb "the configuration can't be put in its place"
	fi
	"$agent" --version >/dev/null 2>error || fault agent "$(cat error)"
	if [ "$2" = anew ]; then
		stop_agent
		"$agent" unenroll --config "$config" >/dev/null 2>error || fault agent "$(cat error)"
	fi
	check
	code=$?
	id=$(finding identity ok | sed 's/^enrolled as //')
	if [ "$code" = 3 ]; then
		request=$("$agent" request --config "$config" ${3:+--device "$3"} 2>error) || fault agent "$(cat error)"
		printf 'request %s\n' "$request"
	elif [ -z "$id" ]; then
		fault agent "$(finding identity wrong)$(cat error)"
	else
		for name in certificate fingerprint; do
			wrong=$(finding "$name" wrong)
			[ -z "$wrong" ] || fault refused "$wrong"
		done
		printf 'enrolled %s\n' "$id"
	fi
}

# Of the outbox: how many messages wait, up to which number all are stored, and which is this run's first reading.
marks() {
	waiting=$(finding outbox ok | sed 's/ .*//')
	stored=$(sed -n 's/^stored .*messages up to \([0-9]*\);.*/\1/p' "$home/check")
	reading=$(sed -n 's/^stored .* the first reading .* is \([0-9]*\)$/\1/p' "$home/check")
	: "${waiting:=0}" "${stored:=0}" "${reading:=0}"
}

is_stored() { # a heartbeat of this run, and one that is new
	[ "$reading" -gt 0 ] && [ "$reading" -le "$stored" ] && [ "$stored" -gt "$before" ] &&
		{ [ "$how" = kept ] || [ "$reading" -gt "$before" ]; }
}

finish() { # seconds
	cd "$home" || exit 1
	if [ -f answer.json ]; then
		"$agent" install --config "$config" <answer.json >/dev/null 2>error || fault agent "$(cat error)"
		rm -f answer.json
	fi
	check
	marks
	before=$stored
	how=kept
	if ! is_running; then
		how=started
		sh service.sh start >/dev/null 2>error || fault agent "$(cat error)"
	fi
	end=$(($(date +%s) + $1))
	until is_stored || [ "$(date +%s)" -ge "$end" ]; do
		sleep 1
		check
		marks
	done
	id=$(finding identity ok | sed 's/^enrolled as //')
	# A device that reports seldom may have nothing to say in this time.
	wrong=$(finding broker wrong)
	if is_stored || { [ "$how$waiting$wrong" = kept0 ] && [ "$reading" -gt 0 ]; }; then
		rm -f check error enroll.sh
		printf 'stored %s %s\n' "$id" "$how"
		exit 0
	fi
	[ -z "$wrong" ] || fault broker "$wrong"
	# What the agent last said of its connection, since it was started.
	wrong=$(sed -n '/"event":"agent.started"/p; /"event":"broker.connect/p' "$log" | tail -n 1 |
		sed -n 's/.*"error":"\([^"]*\)".*/\1/p')
	case $wrong in
	*"ot authori"* | *"dministrative action"*) fault refused "$wrong" ;;
	esac
	fault heartbeat "${wrong:-$waiting messages wait}"
}

case ${1-} in
probe) probe ;;
prepare) prepare "$2" "$3" "${4-}" ;;
finish) finish "$2" ;;
*)
	echo "usage: sh enroll.sh probe | prepare PACKAGE anew|keep [ID] | finish SECONDS" >&2
	exit 2
	;;
esac
