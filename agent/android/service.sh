#!/system/bin/sh
# Keeps the agent running on an Android device, from the folder that holds this file, muster-agent and muster-agent.conf.
# An adb shell may end; after a restart of the device it has to be started again. Nothing here needs root.
#
#   sh service.sh start | stop | status
#
# Exit codes: 0 done, or running; 1 it did not work; 2 usage; 3 not running.

case $0 in
*/*) cd "${0%/*}" || exit 1 ;;
esac
folder=$(pwd)
log=$folder/muster-agent.log
log_max_bytes=1048576
restart_s=5

pid_of() { # the process that keeps the agent running: its number, if it is still the one that wrote it down
	[ -f "$folder/service.pid" ] || return 1
	read -r pid <"$folder/service.pid" || return 1
	[ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "service.sh keep" && echo "$pid"
}

keep() {
	echo $$ >"$folder/service.pid"
	trap 'kill "$agent" 2>/dev/null; wait "$agent"; rm -f "$folder/service.pid"; exit 0' TERM INT
	trap '' HUP
	while :; do
		if [ -f "$log" ] && [ "$(wc -c <"$log")" -gt "$log_max_bytes" ]; then
			mv "$log" "$log.1"
		fi
		"$folder/muster-agent" run --config "$folder/muster-agent.conf" >>"$log" 2>&1 </dev/null &
		agent=$!
		wait "$agent"
		sleep "$restart_s" &
		agent=$!
		wait "$agent"
	done
}

case ${1-} in
start)
	if pid=$(pid_of); then
		echo "muster-agent is already kept running by process $pid"
		exit 0
	fi
	umask 077
	setsid sh "$folder/service.sh" keep >/dev/null 2>&1 </dev/null &
	tries=0
	until pid_of >/dev/null; do
		tries=$((tries + 1))
		if [ "$tries" -gt 50 ]; then
			echo "service.sh: nothing was started; see $log" >&2
			exit 1
		fi
		sleep 0.1
	done
	echo "muster-agent is kept running by process $(pid_of)"
	;;
keep) keep ;;
stop)
	pid=$(pid_of) || {
		echo "muster-agent is not running"
		exit 0
	}
	kill "$pid"
	tries=0
	while pid_of >/dev/null; do
		tries=$((tries + 1))
		if [ "$tries" -gt 100 ]; then
			echo "service.sh: process $pid does not end" >&2
			exit 1
		fi
		sleep 0.1
	done
	echo "muster-agent is stopped"
	;;
status)
	if pid=$(pid_of); then
		echo "muster-agent is kept running by process $pid"
		exit 0
	fi
	echo "muster-agent is not running"
	exit 3
	;;
*)
	echo "usage: sh service.sh start | stop | status" >&2
	exit 2
	;;
esac
