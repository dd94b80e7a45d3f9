#!/bin/bash
# 70-systemd.t - the systemd units: known to systemd word by word, hardened, and in agreement with the programs
. "$(dirname "$0")/cluster.sh"
command -v systemd-analyze >/dev/null || skip_all "systemd-analyze is not installed"
U=$TOP/packaging/systemd
exposed() { systemd-analyze security --offline=true --threshold="$1" "$2" >"$T/out" 2>&1 || { tail -n 1 "$T/out" | diag; return 1; }; }
for p in coordinator:20 worker:35; do
	n=griddle-${p%:*} limit=${p#*:}
	mkdir -p "$T/u"; sed "s|/usr/bin/|$BIN/|" "$U/$n.service" >"$T/u/$n.service"
	systemd-analyze verify --man=no "$T/u/$n.service" >"$T/out" 2>&1; grep -F "$n.service" "$T/out" >"$T/said"
	check "$n: systemd finds nothing to say" [ ! -s "$T/said" ]
	[ ! -s "$T/said" ] || diag <"$T/said"
	check "$n: exposed no more than $limit tenths" exposed "$limit" "$T/u/$n.service"
	printf '{"log-level": "debug"}' >"$T/ok.json"; printf '{"log-levle": "debug"}' >"$T/bad.json"
	pre=$(sed -n "s|^ExecStartPre=/usr/bin/|$BIN/|p" "$U/$n.service")
	check "$n: good settings pass the check before the start" [ "$(${pre% *} "$T/ok.json" 2>&1)" = ok ]
	${pre% *} "$T/bad.json" >"$T/out" 2>&1; rc=$?
	check "$n: bad ones end it with 2" [ $rc = 2 ]
	check "$n: and are named" grep -q 'log-levle' "$T/out"
	check "$n: the state folder it names is the one systemd makes" grep -q "^StateDirectory=$n$" "$U/$n.service"
	check "$n: and the program is told" grep -q "^ExecStart=/usr/bin/$n --state /var/lib/$n --config" "$U/$n.service"
done
printf 'ExecStart=/bin/true\nNoSuchWord=yes\n[Service]\nNoSuchWord=yes\nExecStart=/bin/true\n' >"$T/u/wrong.service"
check "a wrong word would have been found" eval 'systemd-analyze verify --man=no "$T/u/wrong.service" 2>&1 | grep -q NoSuchWord'
done_testing
