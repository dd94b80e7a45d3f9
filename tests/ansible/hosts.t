#!/bin/bash
# hosts.t - packaging/ansible against two hosts: chroots of a fresh Debian, each with its own sshd on loopback
# systemd does not run in a chroot: the units are enabled there, and what their ExecStart says is started here by hand, as
# their users. Needs root, ansible-core, debootstrap and Debian's mirror; the Debian root is kept in the tests' cache.
. "$(dirname "$0")/../e2e/cluster.sh"
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
CACHE=${GRIDDLE_TEST_CACHE:-${XDG_CACHE_HOME:-$REAL_HOME/.cache}/griddle-tests}
A=$TOP/packaging/ansible
for t in ansible-playbook debootstrap ssh-keygen; do command -v $t >/dev/null || skip_all "$t is not installed"; done
[ "$(id -u)" = 0 ] || skip_all "chroots need root"
TARBALL=$(find "$TOP/build" -maxdepth 1 -name 'griddle-*-linux-*.tar.gz' | head -n 1)
[ -n "$TARBALL" ] || skip_all "no tarball: make dist"
ROOT=$CACHE/debian-host.tar
if [ ! -s "$ROOT" ]; then
	mkdir -p "$CACHE"
	debootstrap --variant=minbase --include=python3,python3-apt,openssh-server,systemd bookworm "$T/root" "${MIRROR:-http://deb.debian.org/debian}" >"$T/out" 2>&1 ||
		skip_all "debootstrap failed (no mirror?): $(tail -n 1 "$T/out")"
	tar -C "$T/root" -cf "$ROOT.new" . && mv "$ROOT.new" "$ROOT"; rm -rf "$T/root"
fi
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ssh-keygen -q -t ed25519 -N '' -f "$T/id"
# A mount namespace for each host: /proc and /dev of its own go with its last process, whatever ends it.
host() {                        # host NAME: a root in $T/NAME and an sshd there; sets NAME_PORT
	mkdir "$T/$1" && tar -C "$T/$1" -xf "$ROOT"
	mkdir -p -m 700 "$T/$1/root/.ssh"; mkdir -p "$T/$1/run/sshd"; cp "$T/id.pub" "$T/$1/root/.ssh/authorized_keys"
	cp /etc/resolv.conf "$T/$1/etc/resolv.conf"
	[ ! -d /etc/apt/apt.conf.d ] || cp /etc/apt/apt.conf.d/*proxy* "$T/$1/etc/apt/apt.conf.d/" 2>/dev/null
	_port=$(free_port); eval "$1_PORT=$_port"
	unshare --mount --propagation private sh -c 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" /usr/sbin/sshd -D -e -p "$2" -o ListenAddress=127.0.0.1 -o UsePAM=no -o PidFile=none' \
		host "$T/$1" "$_port" >"$T/$1.log" 2>&1 &
	CL_PIDS="$CL_PIDS $!"; eval "$1_PID=$!"
	wait_for 30 ssh-keyscan -p "$_port" 127.0.0.1
}
host one && host two || { echo "Bail out! no hosts"; cat "$T"/*.log | diag; exit 1; }
PORT=$(free_port)
cat >"$T/inventory.ini" <<I
[griddle_coordinator]
one ansible_port=$one_PORT
[griddle_worker]
two ansible_port=$two_PORT
[all:vars]
ansible_host=127.0.0.1
ansible_user=root
ansible_ssh_private_key_file=$T/id
ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
ansible_python_interpreter=/usr/bin/python3
I
printf '{"griddle_worker_settings": {"slots": 2}, "griddle_coordinator_settings": {"http": "127.0.0.1:0"}, "griddle_packages": ["gcc", "libc6-dev"]}' >"$T/extra.json"
mkdir -p "$T/ansible"
play() {
	ANSIBLE_HOME=$T/ansible ANSIBLE_NOCOLOR=1 ANSIBLE_RETRY_FILES_ENABLED=0 ANSIBLE_LOCALHOST_WARNING=0 ansible-playbook -i "$T/inventory.ini" "$A/site.yml" -e "griddle_tarball=$TARBALL" \
		-e "griddle_keys=$T/keys" -e "griddle_program=$BIN/griddle" -e "griddle_port=$PORT" -e griddle_address=127.0.0.1 -e "@$T/extra.json" "$@" >"$T/play" 2>&1
	rc=$?; [ $rc = 0 ] || tail -n 25 "$T/play" | diag; return $rc
}
recap() { sed -n '/^PLAY RECAP/,$p' "$T/play"; }
check "the playbook runs" play
recap | diag
check "it changed both hosts" [ "$(recap | grep -cE '^(one|two) .*changed=([1-9])')" = 2 ]
check "a second run changes nothing" play
recap | diag
check "on no host" [ "$(recap | grep -c 'changed=0')" = 3 ]
for u in one:coordinator two:worker; do
	h=${u%:*} p=${u#*:}
	check "griddle-$p is enabled on $h" [ -L "$T/$h/etc/systemd/system/multi-user.target.wants/griddle-$p.service" ]
	check "its key is its user's alone" [ "$(stat -c %a:%u "$T/$h/etc/griddle/$p.key")" = "400:$(awk -F: -v n=griddle-$p '$1 == n { print $3 }' "$T/$h/etc/passwd")" ]
done
check "a worker has no key but its own" [ "$(ls "$T/two/etc/griddle")" = "worker.json
worker.key" ]
# As the unit says: user, state folder, command
start() {                       # start HOST PROGRAM
	_x=$(sed -n 's/^ExecStart=//p' "$T/$1/usr/lib/systemd/system/$2.service")
	_u=$(awk -F: -v n="$2" '$1 == n { print $3 ":" $4 }' "$T/$1/etc/passwd")
	install -d -m 711 -o "${_u%:*}" -g "${_u#*:}" "$T/$1/var/lib/$2"
	nsenter --mount --target "$(eval "echo \$$1_PID")" chroot --userspec="$_u" "$T/$1" $_x >"$T/$2.log" 2>&1 &
	CL_PIDS="$! $CL_PIDS"
}
start one griddle-coordinator; start two griddle-worker
export GRIDDLE_COORDINATOR=tcp://127.0.0.1:$PORT GRIDDLE_KEYS=$T/keys/client.key
GRIDDLE_SERVER_KEY=$(cat "$T/keys/server.pub"); export GRIDDLE_SERVER_KEY
check "what the units start forms a cluster" "$BIN/griddle" status --wait 60s
tail -n 2 "$T"/griddle-*.log | diag
check "which runs a command on the second host" [ "$("$BIN/griddle" run -- grep -c ^griddle-worker: /etc/passwd 2>"$T/err")" = 1 ]
diag <"$T/err"
sed -i 's/"slots": 2/"slots": 3/' "$T/extra.json"
check "a changed setting" play
check "reaches the workers alone" [ "$(recap | grep -cE '^two .*changed=1')$(recap | grep -cE '^(one|localhost) .*changed=0')" = 12 ]
sed -i 's/"slots": 3/"slits": 3/' "$T/extra.json"
check "a mistaken one" eval '! play >/dev/null'
check "is refused by name before it is written" eval 'grep -q slits "$T/play" && ! grep -q slits "$T/two/etc/griddle/worker.json"'
done_testing
