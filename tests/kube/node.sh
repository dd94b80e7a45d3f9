# tests/kube/node.sh - sourced after control-plane.sh, inside own-machine.sh: one real node (containerd, runc, kubelet, kube-proxy,
# CNI bridge) and cluster DNS. kn_start NAME; its processes end with the others of KP_PIDS. Needs $KUBE_RUN, $KUBE_CGROUP.
#
# A node wants much of a machine that a container or a small virtual machine does not give it: without CAP_SYS_RESOURCE no
# oom_score_adj below its own and no higher limit of open files; cgroup v1, which the kubelet refuses by default.
KP_ADDRESS=10.200.0.1
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
	mkdir -p "$KUBE_RUN/net.d"
	cat >"$KUBE_RUN/net.d/10-bridge.conflist" <<-'J'
	{"cniVersion": "0.4.0", "name": "pods", "plugins": [
	  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
	   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.201.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	J
	cat >"$KUBE_RUN/containerd.toml" <<-T
	version = 3
	root = "$KUBE_RUN/containerd"
	state = "/run/containerd"
	[grpc]
	  address = "/run/containerd.sock"
	[plugins.'io.containerd.cri.v1.runtime']
	  restrict_oom_score_adj = true
	  [plugins.'io.containerd.cri.v1.runtime'.cni]
	    bin_dirs = ["$CNI_BIN"]
	    conf_dir = "$KUBE_RUN/net.d"
	  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
	    runtime_type = "io.containerd.runc.v2"
	    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
	      SystemdCgroup = false
	[plugins.'io.containerd.cri.v1.images'.pinned_images]
	  sandbox = "localhost/pause:1"
	T
	PATH=$K8S:/usr/sbin:$PATH kp_run containerd -c "$KUBE_RUN/containerd.toml"
	wait_for 60 ctr version
}
ctr() { "$K8S/ctr" -a /run/containerd.sock -n k8s.io "$@"; }
# The pause container's program waits for signals; ours, as nothing can be pulled.
kn_pause() {
	cat >"$KUBE_RUN/pause.c" <<-'C'
	#include <signal.h>
	#include <sys/wait.h>
	#include <unistd.h>
	static void end(int sig) { (void)sig; _exit(0); }
	static void reap(int sig) { (void)sig; while (waitpid(-1, 0, WNOHANG) > 0) ; }
	int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
	C
	mkdir -p "$KUBE_RUN/pause" && gcc -static -Os -o "$KUBE_RUN/pause/pause" "$KUBE_RUN/pause.c" || return 1
	(
		cd "$KUBE_RUN/pause" && tar -cf layer.tar pause || exit 1
		echo '{"architecture": "'"$(dpkg --print-architecture)"'", "os": "linux", "config": {"Entrypoint": ["/pause"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:'"$(sha256sum layer.tar | cut -d' ' -f1)"'"]}}' >config.json
		echo '[{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]' >manifest.json
		tar -cf ../pause.tar manifest.json config.json layer.tar
	) && ctr images import "$KUBE_RUN/pause.tar" >/dev/null
}
kn_kubelet() {                  # kn_kubelet NAME
	kp_cert "$1" "/O=system:nodes/CN=system:node:$1"
	kp_kubeconfig "$1" >"$KUBE_RUN/$1.kubeconfig"
	: >"$KUBE_RUN/resolv.conf"
	cat >"$KUBE_RUN/kubelet.yaml" <<-Y
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	address: $KP_ADDRESS
	authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $T/kp/ca.crt}}
	authorization: {mode: Webhook}
	containerRuntimeEndpoint: unix:///run/containerd.sock
	cgroupDriver: cgroupfs
	cgroupRoot: $KUBE_CGROUP
	failCgroupV1: false
	failSwapOn: false
	oomScoreAdj: 0
	maxOpenFiles: 16384
	clusterDNS: [$KP_ADDRESS]
	clusterDomain: cluster.local
	resolvConf: $KUBE_RUN/resolv.conf
	podLogsDir: $KUBE_RUN/logs
	imageGCHighThresholdPercent: 100
	evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
	Y
	kp_run kubelet --config="$KUBE_RUN/kubelet.yaml" --kubeconfig="$KUBE_RUN/$1.kubeconfig" --root-dir="$KUBE_RUN/kubelet" --cert-dir="$KUBE_RUN/kubelet/pki" \
		--node-ip=$KP_ADDRESS --hostname-override="$1" --node-labels=topology.kubernetes.io/zone=z1
}
kn_services() {                 # kn_services NAME: kube-proxy, and DNS on the node's address
	kp_cert proxy /CN=system:kube-proxy
	kp_kubeconfig proxy >"$KUBE_RUN/proxy.kubeconfig"
	kp_run kube-proxy --kubeconfig="$KUBE_RUN/proxy.kubeconfig" --bind-address=$KP_ADDRESS --hostname-override="$1" --proxy-mode=iptables --cluster-cidr=10.201.0.0/24 \
		--healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249 --oom-score-adj=0 --conntrack-max-per-core=0 --conntrack-min=0 \
		--conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
	printf '.:53 {\n\terrors\n\tready 127.0.0.1:8181\n\tkubernetes cluster.local {\n\t\tkubeconfig %s\n\t\tttl 5\n\t}\n}\n' "$KUBECONFIG" >"$KUBE_RUN/Corefile"
	kp_run coredns -conf "$KUBE_RUN/Corefile"
	wait_for 60 curl -fs http://127.0.0.1:8181/ready
}
kn_ready() { [ "$(k get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
kn_start() {                    # kn_start NAME: after kp_start; the node is Ready
	kn_containerd && kn_pause && kn_kubelet "$1" && kn_services "$1" && wait_for 180 kn_ready "$1"
}
