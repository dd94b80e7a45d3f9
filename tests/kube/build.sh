#!/bin/bash
# build.sh [PROGRAM...] - a Kubernetes control plane and node, built as Go modules, kept outside the clone under its version
#
# `go install` refuses k8s.io/kubernetes, whose go.mod replaces every staging module by a folder of its own. A module of
# ours that requires it and replaces each staging module by its published version builds all programs, and etcd with them.
# Prints the folder with the programs on stdout, everything else on stderr. Needs Go 1.26 and the Go module proxy.
# Once built (20 to 60 minutes, 1.5 GB of build cache that may go) nothing is fetched or built again.
set -eu
K8S=${K8S_VERSION:-1.36.3} CONTAINERD=2.2.9 COREDNS=1.14.6
[ $# -gt 0 ] || set -- etcd kube-apiserver kube-controller-manager kube-scheduler kubectl
CACHE=${GRIDDLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/griddle-tests}
OUT=$CACHE/kubernetes-$K8S
command -v go >/dev/null || { echo "build: no go" >&2; exit 2; }
mkdir -p "$OUT/src"
exec 9>"$OUT/lock"
flock 9
missing=
for p; do [ -x "$OUT/$p" ] || missing="$missing $p"; done
[ -n "$missing" ] || { echo "$OUT"; exit 0; }
cd "$OUT/src"
export GOFLAGS=-mod=mod CGO_ENABLED=0 GOTOOLCHAIN=local
if [ ! -f go.mod ]; then
	mod=$(go mod download -json "k8s.io/kubernetes@v$K8S" | sed -n 's/.*"GoMod": "\(.*\)",\?$/\1/p')
	{
		echo "module griddle.test/kubernetes"
		sed -n 's/^go .*/&/p' "$mod"
		echo "require k8s.io/kubernetes v$K8S"
		echo "require go.etcd.io/etcd/server/v3 $(sed -n 's,.*go.etcd.io/etcd/server/v3 \(v[^ ]*\).*,\1,p' "$mod")"
		sed -n 's,^\s*\(k8s.io/[a-z0-9-]*\) => ./staging/.*,\1,p' "$mod" | sort -u | while read -r m; do
			echo "replace $m => $m v0.${K8S#1.}"
		done
	} > go.mod
	mkdir -p etcd
	printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' > etcd/main.go
	printf '//go:build tools\n\npackage tools\n\nimport (\n\t_ "k8s.io/kubernetes/cmd/kube-apiserver/app"\n)\n' > tools.go
fi
# One package's link wants 1-2 GB; two at once is what two cores can feed.
# containerd and CoreDNS are modules of their own, with dependencies of their own. Debian's containerd is too old for this kubelet
# (no RuntimeConfig call), and CoreDNS is not in Debian; of its plugins only those that a test needs are built in.
other() {                       # other PROGRAM VERSION: builds one of them to $OUT/PROGRAM.new
	mkdir -p "$OUT/src-$1"; cd "$OUT/src-$1"
	case $1 in
	coredns)
		[ -f go.mod ] || printf 'module griddle.test/coredns\n\ngo 1.26\n' > go.mod
		cat > main.go <<-'GO'
		package main

		import (
			"github.com/coredns/coredns/core/dnsserver"
			"github.com/coredns/coredns/coremain"
			_ "github.com/coredns/coredns/plugin/errors"
			_ "github.com/coredns/coredns/plugin/kubernetes"
			_ "github.com/coredns/coredns/plugin/ready"
		)

		func init() { dnsserver.Directives = []string{"errors", "ready", "kubernetes"} }

		func main() { coremain.Run() }
		GO
		go get "github.com/coredns/coredns@v$2" && nice -n "${NICE:-10}" go build -trimpath -ldflags "-s -w" -o "$OUT/$1.new" . ;;
	*)
		printf 'module griddle.test/containerd\n\ngo 1.26\n\nrequire github.com/containerd/containerd/v2 v%s\n' "$2" > go.mod
		nice -n "${NICE:-10}" go build -trimpath -tags "no_btrfs no_devmapper no_zfs" -ldflags "-s -w" -o "$OUT/$1.new" "github.com/containerd/containerd/v2/cmd/$1" ;;
	esac
}
flags="-s -w -X k8s.io/component-base/version.gitVersion=v$K8S -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(echo "$K8S" | cut -d. -f2)"
for p in $missing; do
	case $p in
	containerd | containerd-shim-runc-v2 | ctr) (other "$p" "$CONTAINERD") >&2; mv "$OUT/$p.new" "$OUT/$p"; continue ;;
	coredns) (other "$p" "$COREDNS") >&2; mv "$OUT/$p.new" "$OUT/$p"; continue ;;
	etcd) pkg=./etcd ;;
	*) pkg=k8s.io/kubernetes/cmd/$p ;;
	esac
	echo "build: $p" >&2
	nice -n "${NICE:-10}" go build -trimpath -ldflags "$flags" -o "$OUT/$p.new" "$pkg" >&2
	mv "$OUT/$p.new" "$OUT/$p"
done
echo "$OUT"
