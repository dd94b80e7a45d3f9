# tests/kube/node.sh - sourced after control-plane.sh, inside own-machine.sh: a real node (containerd, runc, kubelet, kube-proxy,
# CNI bridge) and cluster DNS. kn_start NAME; its processes end with the others of KP_PIDS. Needs $KUBE_RUN, $KUBE_CGROUP.
# kn_second NAME starts another one, in network and mount namespaces of its own, with a cgroup of its own, at the other end of the wire.
#
# A node wants much of a machine that a container or a small virtual machine does not give it: without CAP_SYS_RESOURCE no
# oom_score_adj below its own and no higher limit of open files; cgroup v1, which the kubelet refuses by default.
KP_ADDRESS=10.200.0.1
# Of the node that is being started:
KN_ADDRESS=$KP_ADDRESS KN_PODS=10.201.0.0/24 KN_ZONE=z1 KN_RUN=${KUBE_RUN:-} KN_CGROUP=${KUBE_CGROUP:-}
CNI_BIN=/usr/lib/cni
KN_PROGRAMS="kubelet kube-proxy containerd containerd-shim-runc-v2 ctr coredns"
kn_missing() {                  # prints what the node lacks of Debian
	for _t in runc:runc iptables:iptables conntrack:conntrack; do command -v "${_t%:*}" >/dev/null || echo "${_t#*:}"; done
	[ -x $CNI_BIN/bridge ] || echo containernetworking-plugins
}
kn_network() {
	ip link add node0 type veth peer name node1
	ip addr add $KP_ADDRESS/24 dev node0
	ip link set node0 up; ip link set node1 up
	ip route add default dev node0
	echo 1 >/proc/sys/net/ipv4/ip_forward           # this namespace's own
}
kn_containerd() {
	mkdir -p "$KN_RUN/net.d"
	cat >"$KN_RUN/net.d/10-bridge.conflist" <<-J
	{"cniVersion": "0.4.0", "name": "pods", "plugins": [
	  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
	   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$KN_PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	J
	cat >"$KN_RUN/containerd.toml" <<-T
	version = 3
	root = "$KN_RUN/containerd"
	state = "/run/containerd"
	[grpc]
	  address = "/run/containerd.sock"
	[plugins.'io.containerd.cri.v1.runtime']
	  restrict_oom_score_adj = true
	  [plugins.'io.containerd.cri.v1.runtime'.cni]
	    bin_dirs = ["$CNI_BIN"]
	    conf_dir = "$KN_RUN/net.d"
	  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
	    runtime_type = "io.containerd.runc.v2"
	    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
	      SystemdCgroup = false
	[plugins.'io.containerd.cri.v1.images'.pinned_images]
	  sandbox = "localhost/pause:1"
	T
	PATH=$K8S:/usr/sbin:$PATH kp_run containerd -c "$KN_RUN/containerd.toml"
	wait_for 60 ctr version
}
ctr() { ${KP_IN:-} "$K8S/ctr" -a /run/containerd.sock -n k8s.io "$@"; }
# The pause container's program waits for signals; ours, as nothing can be pulled.
kn_pause() {
	cat >"$KN_RUN/pause.c" <<-'C'
	#include <signal.h>
	#include <sys/wait.h>
	#include <unistd.h>
	static void end(int sig) { (void)sig; _exit(0); }
	static void reap(int sig) { (void)sig; while (waitpid(-1, 0, WNOHANG) > 0) ; }
	int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
	C
	mkdir -p "$KN_RUN/pause" && gcc -static -Os -o "$KN_RUN/pause/pause" "$KN_RUN/pause.c" || return 1
	(
		cd "$KN_RUN/pause" && tar -cf layer.tar pause || exit 1
		echo '{"architecture": "'"$(dpkg --print-architecture)"'", "os": "linux", "config": {"Entrypoint": ["/pause"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:'"$(sha256sum layer.tar | cut -d' ' -f1)"'"]}}' >config.json
		echo '[{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]' >manifest.json
		tar -cf ../pause.tar manifest.json config.json layer.tar
	) && ctr images import "$KN_RUN/pause.tar" >/dev/null
}
kn_kubelet() {                  # kn_kubelet NAME
	kp_cert "$1" "/O=system:nodes/CN=system:node:$1"
	kp_kubeconfig "$1" >"$KN_RUN/$1.kubeconfig"
	: >"$KN_RUN/resolv.conf"
	cat >"$KN_RUN/kubelet.yaml" <<-Y
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	address: $KN_ADDRESS
	authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $T/kp/ca.crt}}
	authorization: {mode: Webhook}
	containerRuntimeEndpoint: unix:///run/containerd.sock
	cgroupDriver: cgroupfs
	cgroupRoot: $KN_CGROUP
	failCgroupV1: false
	failSwapOn: false
	oomScoreAdj: 0
	maxOpenFiles: 16384
	clusterDNS: [$KP_ADDRESS]
	clusterDomain: cluster.local
	resolvConf: $KN_RUN/resolv.conf
	podLogsDir: $KN_RUN/logs
	imageGCHighThresholdPercent: 100
	evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
	Y
	kp_run kubelet --config="$KN_RUN/kubelet.yaml" --kubeconfig="$KN_RUN/$1.kubeconfig" --root-dir="$KN_RUN/kubelet" --cert-dir="$KN_RUN/kubelet/pki" \
		--node-ip=$KN_ADDRESS --hostname-override="$1" --node-labels=topology.kubernetes.io/zone=$KN_ZONE
}
kn_proxy() {                    # kn_proxy NAME
	kp_cert proxy /CN=system:kube-proxy
	kp_kubeconfig proxy >"$KN_RUN/proxy.kubeconfig"
	kp_run kube-proxy --kubeconfig="$KN_RUN/proxy.kubeconfig" --bind-address=$KN_ADDRESS --hostname-override="$1" --proxy-mode=iptables --cluster-cidr=10.201.0.0/16 \
		--healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249 --oom-score-adj=0 --conntrack-max-per-core=0 --conntrack-min=0 \
		--conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}
kn_dns() {                      # on the first node's address
	printf '.:53 {\n\terrors\n\tready 127.0.0.1:8181\n\tkubernetes cluster.local {\n\t\tkubeconfig %s\n\t\tttl 5\n\t}\n}\n' "$KUBECONFIG" >"$KN_RUN/Corefile"
	kp_run coredns -conf "$KN_RUN/Corefile"
	wait_for 60 curl -fs http://127.0.0.1:8181/ready
}
kn_ready() { [ "$(k get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
kn_start() {                    # kn_start NAME: after kp_start; the node is Ready
	kn_containerd && kn_pause && kn_kubelet "$1" && kn_proxy "$1" && kn_dns && wait_for 180 kn_ready "$1"
}
# kn_in COMMAND...: runs one of the functions above, or ctr, for the second node
kn_in() {
	local KN_ADDRESS=10.200.0.2 KN_PODS=10.201.1.0/24 KN_ZONE=z2 KN_RUN=$KUBE_RUN/second KN_CGROUP=$KUBE_CGROUP/second KP_LOG=-second
	local KP_IN="nsenter --net=/proc/$KN_HOLDER/ns/net --mount=/proc/$KN_HOLDER/ns/mnt"
	"$@"
}
kn_second() {                   # kn_second NAME: after kn_start; that node is Ready as well
	mkdir -p "$KUBE_RUN/second/cni"
	for _c in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ ! -d "$_c$KUBE_CGROUP" ] || mkdir "$_c$KUBE_CGROUP/second"
		for _f in cpuset.cpus cpuset.mems; do [ ! -f "$_c$KUBE_CGROUP/$_f" ] || cat "$_c$KUBE_CGROUP/$_f" >"$_c$KUBE_CGROUP/second/$_f"; done
	done 2>/dev/null
	unshare --net --mount --propagation private sh -c 'ip link set lo up && mount -t tmpfs -o mode=755 tmpfs /run && mount --bind "$0" /var/lib/cni && : >/run/up && exec sleep 100000' "$KUBE_RUN/second/cni" &
	KN_HOLDER=$! KP_PIDS="$KP_PIDS $!"
	wait_for 30 test -f "/proc/$KN_HOLDER/root/run/up" || return 1
	ip link set node1 netns "$KN_HOLDER"
	ip route add 10.201.1.0/24 via 10.200.0.2 dev node0 onlink
	kn_in eval '$KP_IN sh -c "ip addr add $KN_ADDRESS/24 dev node1 && ip link set node1 up && ip route add default via $KP_ADDRESS && echo 1 >/proc/sys/net/ipv4/ip_forward"' &&
		kn_in kn_containerd && kn_in kn_pause && kn_in kn_kubelet "$1" && kn_in kn_proxy "$1" && wait_for 180 kn_ready "$1"
}
