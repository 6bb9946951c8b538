# shellcheck shell=bash disable=SC2034,SC2154
# What tools/up, tools/down and the demonstration share: where a stack lives, as whom it runs, what of it is alive.
# Sourced by bash; $tree is set by the caller.

fail() {
	echo "${0##*/}: $1" >&2
	exit "${2:-1}"
}

# Called by root the stack runs as this account. Every Debian has it, and it owns nothing of the machine; the price
# is that other programs run by it could reach the stack's files: good for development and tests, not for service.
unprivileged=nobody

if ((EUID == 0)); then account=$unprivileged; else account=$(id -un); fi

# as_account COMMAND...: with a clean environment, because any VESTAL_* of the caller's would override a setting.
# STACK_OF marks the processes of one stack for stack_leftovers. In place of a function, where a process id counts:
# "${as_account[@]}" COMMAND &. $owner and $group are what makes install create something for it.
set_as_account() {
	as_account=(env -i -C / PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$1" LC_ALL=C.UTF-8 TZ=UTC
		STACK_OF="$1" VESTAL_CONF="$1/vestal.conf" VESTAL_LOG_DIR="$1/log"
		PGHOST="$1/sock" PGPORT="${port-}" PGDATABASE=vestal PGUSER=vestal_dba)
	owner=() group=()
	if ((EUID == 0)); then
		owner=(-o "$account" -g "$(id -gn "$account")") group=("${owner[@]:2}")
		as_account+=(setpriv --reuid="$account" --regid="$(id -gn "$account")" --clear-groups --no-new-privs --)
	fi
}

postgres_bin() {
	local folder
	folder=$(compgen -G '/usr/lib/postgresql/1[5-9]/bin' | sort -V | tail -n 1)
	[[ -n $folder ]] || fail "no PostgreSQL 15 or later"
	echo "$folder"
}

# $dir/stack remembers what was started there: data, runtime, port, workers.
load_stack() {
	data='' runtime='' port='' workers=''
	[[ ! -f $dir/stack ]] || source "$dir/stack"
	set_as_account "$data"
}

save_stack() {
	printf '%s=%s\n' data "${data@Q}" runtime "${runtime@Q}" port "$port" workers "$workers" >"$dir/stack.new"
	mv "$dir/stack.new" "$dir/stack"
}

# alive PIDFILE WORD: the process of that file runs, and its command line holds the word: a number may be another's by now.
alive() {
	local pid
	[[ -f $1 ]] || return 1
	read -r pid <"$1" || return 1
	[[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2"
}

nginx_alive() { alive "$data/run/nginx.pid" "$data/nginx/nginx.conf"; }
postgres_alive() { alive "$data/pg/postmaster.pid" "$data/pg"; }
supervisor_alive() { [[ -f $data/run/leader.lock ]] && ! flock --nonblock "$data/run/leader.lock" true; }

# The ids of whatever of this stack still lives. nginx and PostgreSQL write over their environment; what their master
# left behind is known by its open files.
stack_leftovers() {
	{
		grep -lzxF "STACK_OF=$data" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3
		find /proc/[0-9]*/fd -lname "$data/*" 2>/dev/null | cut -d / -f 3 | sort -u |
			while read -r pid; do [[ $(cat "/proc/$pid/comm" 2>/dev/null) != @(nginx|postgres) ]] || echo "$pid"; done
	} | sort -u | grep -vx "$$" || true
}
