# tests/kube/control-plane.sh - sourced: a real control plane on loopback, without nodes. Needs $T, $K8S (folder of the programs).
# kp_start sets KUBECONFIG, KP_PIDS and the ports KP_PORT and KP_ETCD; kp_stop ends exactly those. Ports are chosen by the kernel just
# before. A node's script sets KP_ADDRESS first, an address that pods reach the API server at (in a network namespace of its own).
KP_PIDS= KP_ADDRESS=
KP_PROGRAMS="etcd kube-apiserver kube-controller-manager kube-scheduler kubectl"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
kp_cert() {                     # kp_cert NAME SUBJECT [SAN]
	openssl req -new -newkey rsa:2048 -nodes -keyout "$T/kp/$1.key" -subj "$2" -out "$T/kp/$1.csr" 2>/dev/null
	openssl x509 -req -in "$T/kp/$1.csr" -CA "$T/kp/ca.crt" -CAkey "$T/kp/ca.key" -CAcreateserial -days 2 -out "$T/kp/$1.crt" \
		-extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}") 2>/dev/null
}
kp_kubeconfig() {               # kp_kubeconfig CERTIFICATE
	cat <<-Y
	apiVersion: v1
	kind: Config
	clusters: [{name: t, cluster: {server: "https://${KP_ADDRESS:-127.0.0.1}:$KP_PORT", certificate-authority: $T/kp/ca.crt}}]
	users: [{name: $1, user: {client-certificate: $T/kp/$1.crt, client-key: $T/kp/$1.key}}]
	contexts: [{name: t, context: {cluster: t, user: $1}}]
	current-context: t
	Y
}
# $KP_IN: words before the program (nsenter of a second node); $KP_LOG after its name.
kp_run() { _n=$1; shift; ${KP_IN:-} "$K8S/$_n" "$@" >"$T/kp/$_n${KP_LOG:-}.log" 2>&1 & KP_PIDS="$! $KP_PIDS"; }
kp_start() {
	mkdir -p "$T/kp"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/kp/ca.key" -subj /CN=test-ca -days 2 -out "$T/kp/ca.crt" 2>/dev/null
	kp_cert apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes.default.svc${KP_ADDRESS:+,IP:$KP_ADDRESS}"
	kp_cert admin /O=system:masters/CN=admin
	openssl genrsa -out "$T/kp/sa.key" 2048 2>/dev/null; openssl rsa -in "$T/kp/sa.key" -pubout -out "$T/kp/sa.pub" 2>/dev/null
	KP_ETCD=$(free_port) _p=$(free_port) KP_PORT=$(free_port)
	kp_run etcd --data-dir "$T/kp/etcd" --listen-client-urls "http://127.0.0.1:$KP_ETCD" --advertise-client-urls "http://127.0.0.1:$KP_ETCD" \
		--listen-peer-urls "http://127.0.0.1:$_p" --initial-advertise-peer-urls "http://127.0.0.1:$_p" --initial-cluster "default=http://127.0.0.1:$_p" --unsafe-no-fsync
	_a="--bind-address=127.0.0.1 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none"
	[ -z "$KP_ADDRESS" ] || _a="--bind-address=0.0.0.0 --advertise-address=$KP_ADDRESS --kubelet-preferred-address-types=InternalIP
		--kubelet-client-certificate=$T/kp/admin.crt --kubelet-client-key=$T/kp/admin.key"
	kp_run kube-apiserver $_a --etcd-servers="http://127.0.0.1:$KP_ETCD" --secure-port="$KP_PORT" \
		--client-ca-file="$T/kp/ca.crt" --tls-cert-file="$T/kp/apiserver.crt" --tls-private-key-file="$T/kp/apiserver.key" \
		--service-account-key-file="$T/kp/sa.pub" --service-account-signing-key-file="$T/kp/sa.key" --service-account-issuer="https://127.0.0.1:$KP_PORT" \
		--service-cluster-ip-range=10.96.0.0/24 --authorization-mode=Node,RBAC
	export KUBECONFIG=$T/kp/kubeconfig
	kp_kubeconfig admin >"$KUBECONFIG"
	wait_for 120 k get --raw /readyz || return 1
	_c="--kubeconfig=$KUBECONFIG --bind-address=127.0.0.1 --leader-elect=false"
	kp_run kube-controller-manager $_c --secure-port="$(free_port)" --service-account-private-key-file="$T/kp/sa.key" --root-ca-file="$T/kp/ca.crt"
	kp_run kube-scheduler $_c --secure-port="$(free_port)"
}
# In the order of their start backwards; one that does not end in 10 s is killed: its data goes with the folder.
kp_stop() {
	for _q in $KP_PIDS; do
		kill "$_q" 2>/dev/null
		wait_for 10 eval "! kill -0 $_q" || kill -KILL "$_q" 2>/dev/null
		wait "$_q" 2>/dev/null
	done
	KP_PIDS=
}
k() { "$K8S/kubectl" "$@"; }
