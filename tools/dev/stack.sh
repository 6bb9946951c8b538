# shellcheck shell=bash disable=SC2034,SC2154
# The steps of tools/up, in their order. Sourced by it; see lib.sh for what the variables mean.

# step TITLE COMMAND...: one line a step; what the command prints is only worth reading when it fails. The command is
# not run as a condition, which would let bash go on after an error within it: report_step is told by the EXIT trap.
# While it runs, and in the trap after it, output goes to a file; 3 and 4 are the terminal.
step_output=
exec 3>&1 4>&2
step() {
	local begun=$EPOCHREALTIME
	printf '  %-24s' "$1"
	step_open=1
	[[ -n $step_output ]] || step_output=$(mktemp)
	"${@:2}" >"$step_output" 2>&1 </dev/null
	step_open=
	printf '%6d ms\n' $(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))
}

report_step() {
	if [[ -n ${step_open-} ]]; then
		printf 'failed\n' >&3
		cat "$step_output" >&4
	fi
	[[ -z $step_output ]] || rm -f "$step_output"
}

can_listen() { # PORT [ADDRESS]: prints why not
	"${as_account[@]}" python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try: s.bind((sys.argv[2], int(sys.argv[1])))
except OSError as error: sys.exit(f"port {sys.argv[1]} on {sys.argv[2]}: {error.strerror}")' "$1" "${2-127.0.0.1}" 2>&1
}

# PostgreSQL's port is only a name within a folder of its own, so nginx's number serves it, too.
check_ports() {
	local why
	simulator_port=
	why=$(can_listen "$port") || fail "$why; choose another --port"
	addresses=(127.0.0.1)
	! can_listen 0 ::1 >/dev/null || addresses+=('[::1]')
	[[ -n $demo ]] || return 0
	# Far from where a second stack would likely be put, and where it was before, if it was.
	simulator_port=$(cat "$data/run/simulator.port" 2>/dev/null) || simulator_port=$((port < 40000 ? port + 20000 : port - 20000))
	while ! can_listen "$simulator_port" >/dev/null; do
		((++simulator_port < 65536)) || fail "no free port for the provider simulator"
	done
}

# Where the data goes: beside DIR/env unless the account cannot get there, or the path cannot stand in a socket
# address (108 bytes) or unquoted in the configuration of nginx, PostgreSQL and the workers. The folder itself and the
# programs stay the caller's: what runs as the account cannot replace what runs.
place_data() {
	local folder
	[[ -z $fresh ]] || new_folder
	set_as_account "$data"
	save_stack
	for folder in keys log nginx pg providers.d run sim sock state; do
		own_folder "$data/$folder"
	done
	[[ -d $runtime ]] || new_runtime # memory does not outlive a reboot
}

# put FILE: standard input, written by the account.
put() { "${as_account[@]}" tee "$1" >/dev/null; }

own_folder() { install -d -m 700 "${owner[@]}" -- "$1"; }

new_folder() {
	data=$dir/data
	if [[ ! $data =~ ^[A-Za-z0-9._/+-]{1,70}$ ]] || ! "${as_account[@]}" test -x "$dir" 2>/dev/null; then
		data=$(mktemp -d /var/tmp/vestal-XXXXXX)
	fi
	install -d -m 750 "${group[@]}" -- "$data"
}

new_runtime() {
	if [[ -w /dev/shm && $(stat -f -c %T /dev/shm) == tmpfs ]]; then
		runtime=$(mktemp -d /dev/shm/vestal-XXXXXX)
	else
		echo "  note: no memory-backed folder, environment files are on disk in $data/runtime"
		runtime=$data/runtime
	fi
	own_folder "$runtime"
	save_stack
}

# A start that failed before anything served leaves nothing running; a first one leaves nothing at all, but its logs.
on_exit() {
	report_step
	exec >&3 2>&4
	rmdir -- "$dir" 2>/dev/null || true
	(($1)) && [[ -n ${placed-} ]] || return 0
	exec 9<&-
	if [[ -n $fresh && ! -f $data/pg/PG_VERSION ]]; then
		"$tree/tools/down" --dir "$dir" --remove >/dev/null 2>&1 || true
	else
		"$tree/tools/down" --dir "$dir" >/dev/null || true
		echo "up: not started; the logs are in $data/log" >&2
	fi
	exit "$1"
}

install_programs() {
	rm -rf -- "${data:?}/inst" "${data:?}/dev"
	make -s -C "$tree/build" install DESTDIR="$data/inst" >/dev/null
	# The account may not reach the tree.
	mkdir -p "$data/dev/sim"
	cp "$tree/tools/dev/supervise.py" "$data/dev/"
	cp "$tree/nginx/render" "$tree"/nginx/*.conf "$tree"/nginx/*.conf.in "$data/dev/"
	[[ -z $demo ]] || cp "$tree"/tests/sim/*.py "$data/dev/sim/"
	chmod -R a+rX "$data/inst" "$data/dev"
}

find_installed() {
	bin=$(dirname "$(find "$data/inst" -type f -name vestalctl)")
	share=$(find "$data/inst" -type d -path '*/share/vestal')
	[[ -x $bin/vestalctl && -d $share/providers ]] || fail "make install left no vestalctl or no providers in $data/inst"
}

# What --set ever said is kept apart, because the rest is written anew at every start: folders and programs move.
write_settings() {
	install_programs
	find_installed
	local setting
	{
		cat "$data/settings" 2>/dev/null || true
		for setting in "${settings[@]}"; do
			printf '%s = %s\n' "${setting%%=*}" "${setting#*=}"
		done
	} >"$data/settings.new"
	{ default_settings && cat "$data/settings.new"; } >"$data/vestal.conf.new"
	chmod 644 "$data/vestal.conf.new"
	effective=$("${as_account[@]}" env VESTAL_CONF="$data/vestal.conf.new" "$bin/vestalctl" config --json)
	mv "$data/settings.new" "$data/settings"
	mv "$data/vestal.conf.new" "$data/vestal.conf"
	[[ -z $providers ]] || copy_providers "$providers"
}

default_settings() {
	cat <<-END
		# Written by tools/up. A later line wins.
		database = host=$data/sock port=$port dbname=vestal
		public_url = http://localhost:$port
		data_dir = $share
		provider_dir = $data/providers.d
		key_dir = $data/keys
		state_dir = $data/state
		runtime_dir = $runtime
	END
}

copy_providers() {
	local file copy
	for file in "$1"/*.json; do
		copy=$(effective provider_dir)/${file##*/}
		put "$copy" <"$file"
		"${as_account[@]}" "$bin/vestalctl" provider check "$copy"
	done
}

effective() { jq -er --arg name "$1" '.settings[] | select(.name == $name) | .value' <<<"$effective"; }

start_postgres() {
	local pg
	pg=$(postgres_bin)
	if [[ ! -f $data/pg/PG_VERSION ]]; then
		"${as_account[@]}" "$pg/initdb" -D "$data/pg" -U vestal_dba -E UTF8 --locale=C.UTF-8 -k --auth=peer --no-instructions
		echo "include 'vestal.conf'" | "${as_account[@]}" tee -a "$data/pg/postgresql.conf" >/dev/null
	fi
	postgres_settings | put "$data/pg/vestal.conf"
	echo 'local all all peer map=vestal' | put "$data/pg/pg_hba.conf"
	postgres_users | put "$data/pg/pg_ident.conf"
	"${as_account[@]}" "$pg/pg_ctl" -D "$data/pg" -l "$data/log/postgresql.log" -w -t 60 start 3>&- 4>&- 9<&- ||
		{ tail -n 20 "$data/log/postgresql.log"; return 1; }
}

postgres_settings() {
	cat <<-END
		listen_addresses = ''
		unix_socket_directories = '$data/sock'
		unix_socket_permissions = 0700
		port = $port
		max_connections = $((60 + 2 * workers))
		shared_buffers = 64MB
		dynamic_shared_memory_type = mmap # in the cluster, where --remove finds it
		idle_in_transaction_session_timeout = 60s
		# No value of a statement may reach the log: it could be a sealed token, a hash, a name.
		log_statement = none
		log_parameter_max_length = 0
		log_parameter_max_length_on_error = 0
		log_line_prefix = '%m [%p] %u@%d '
	END
}

# Peer authentication: one account may be every role here, and root, who could anyway.
postgres_users() {
	local user role
	for user in $(printf '%s\n' "$account" root | sort -u); do
		for role in vestal_dba vestal_worker vestal_refresher vestal_auditor vestal_operator vestal_sealer; do
			echo "vestal $user $role"
		done
	done
}

prepare_database() {
	local ring sql=("${as_account[@]}" psql -XqtA -v ON_ERROR_STOP=1)
	if [[ $("${sql[@]}" -d postgres -c "select count(*) from pg_database where datname = 'vestal'") == 0 ]]; then
		"${sql[@]}" -d postgres -c 'create database vestal'
	fi
	"${sql[@]}" <"$tree/sql/roles.sql"
	"${as_account[@]}" "$bin/vestalctl" migrate
	for ring in token app copy spool audit session; do
		"${as_account[@]}" "$bin/vestalctl" key list --json | jq -e --arg ring "$ring" 'any(.. | objects; .ring? == $ring)' ||
			"${as_account[@]}" "$bin/vestalctl" key add "$ring"
	done
}

# background NAME COMMAND...: as the account, in a session of its own, holding nothing of this terminal.
background() {
	local name=$1
	shift
	"${as_account[@]}" setsid bash -c 'exec "$@" >>"$0" 2>&1' "$data/log/$name.log" "$@" </dev/null >/dev/null 2>&1 3>&- 4>&- 9<&- &
	echo "$!" | put "$data/run/$name.pid"
}

start_simulator() {
	"${as_account[@]}" python3 "$data/dev/sim/zoho_sim.py" providers --port "$simulator_port" \
		--builtin "$share/providers" --out "$(effective provider_dir)"
	[[ -z $providers ]] || copy_providers "$providers" # the operator's own win
	echo "$simulator_port" | put "$data/run/simulator.port"
	background simulator python3 "$data/dev/sim/zoho_sim.py" serve --port "$simulator_port" --dir "$data/sim"
	wait_for 10 curl -s -o /dev/null "http://127.0.0.1:$simulator_port/" || { tail -n 5 "$data/log/simulator.log"; return 1; }
}

wait_for() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

start_supervisor() {
	local options=() pool sockets=$data/sock
	local slow=$((workers < 4 ? workers : 4)) flow=$((workers < 4 ? workers : 4))
	if [[ -n $demo && -x $bin/vestal-refresh ]]; then
		printf '#!/bin/bash\n%q --due >/dev/null\nVESTAL_LOG_LEVEL=info exec %q audit seal >/dev/null\n' \
			"$bin/vestal-refresh" "$bin/vestalctl" | put "$data/run/minutely"
		"${as_account[@]}" chmod 755 "$data/run/minutely"
		options=(--minutely "$data/run/minutely")
	fi
	"${as_account[@]}" rm -f "$sockets"/{fast,provider,flow}.sock # of the last run: the new ones are waited for
	background supervise python3 "$data/dev/supervise.py" --run "$data/run" --log "$data/log/worker.log" --patience "$((2 * $(effective provider_timeout_s) + 20))" "${options[@]}" \
		"fast=$workers=$sockets/fast.sock" "provider=$slow=$sockets/provider.sock" "flow=$flow=$sockets/flow.sock" \
		-- "$bin/vestal-fcgi"
	for pool in fast provider flow; do
		wait_for 10 test -S "$sockets/$pool.sock" || { tail -n 5 "$data/log/supervise.log"; return 1; }
	done
}

render_nginx() {
	local listen='' proxies='' network
	for network in "${addresses[@]}"; do
		listen+="listen $network:$port default_server;"$'\n\t'
	done
	for network in $(effective trusted_proxies | tr ',' ' '); do
		proxies+="set_real_ip_from $network;"$'\n'
	done
	[[ -z $proxies ]] || proxies+=$'real_ip_header X-Forwarded-For;\nreal_ip_recursive on;'
	"$data/dev/render" "$data/dev/vestal.conf.in" "LISTEN=$listen" "TRUSTED_PROXIES=$proxies" \
		"SOCKETS=$data/sock" "LOGS=$data/log" "HTML=$share/html" \
		"RATE_PER_KEY=$(effective rate_per_key)" "RATE_PER_ADDRESS=$(effective rate_per_address)" \
		"WAIT_SLOW=$((3 * $(effective provider_timeout_s) + 15))s" # a callback asks more than once
}

start_nginx() {
	"${as_account[@]}" mkdir -p "$data"/nginx/{tmp,vestal}
	render_nginx | put "$data/nginx/vestal.conf"
	"$data/dev/render" "$data/dev/nginx.conf.in" "DATA=$data" "LOGS=$data/log" | put "$data/nginx/nginx.conf"
	"${as_account[@]}" cp "$data"/dev/*.conf "$data/nginx/vestal/"
	"${as_account[@]}" /usr/sbin/nginx -e "$data/log/nginx.log" -p "$data/nginx" -c "$data/nginx/nginx.conf" 3>&- 4>&- 9<&-
	wait_for 10 nginx_alive
}

wait_ready() {
	wait_for 20 curl -sf -m 2 -o /dev/null "http://localhost:$port/readyz" && return
	curl -s -m 2 "http://localhost:$port/readyz" || true
	tail -n 10 "$data/log/worker.log" "$data/log/supervise.log"
	return 1
}

# DIR/env stays the caller's and is read by nobody else: it holds the administrator's key.
write_env() {
	local key=''
	[[ ! -f $dir/env ]] || key=$(source "$dir/env" && echo "${VESTAL_ADMIN_KEY-}")
	[[ -n $key ]] || key=$("${as_account[@]}" "$bin/vestalctl" api-key create --role admin --name tools-up --all-clients --json | jq -er .key)
	local sockets=$data/sock
	local -A value=(
		[VESTAL_URL]=http://localhost:$port [VESTAL_ADMIN_KEY]=$key [VESTAL_CONF]=$data/vestal.conf [VESTAL_BIN]=$bin
		[VESTAL_LOG_DIR]=$data/log [VESTAL_STATE_DIR]=$(effective state_dir) [VESTAL_RUNTIME_DIR]=$(effective runtime_dir)
		[VESTAL_SOCKETS]="$sockets/fast.sock $sockets/provider.sock $sockets/flow.sock"
		[VESTAL_SIM_URL]=${simulator_port:+http://127.0.0.1:$simulator_port}
		[PGHOST]=$sockets [PGPORT]=$port [PGDATABASE]=vestal [PGUSER]=vestal_dba
	)
	local name
	(
		umask 077
		for name in $(printf '%s\n' "${!value[@]}" | sort); do
			echo "export $name=${value[$name]@Q}"
		done >"$dir/env.new"
	)
	mv "$dir/env.new" "$dir/env"
}
