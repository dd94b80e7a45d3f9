{{- define "griddle.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Room for the longest suffix, "-coordinator-headless". */}}
{{- define "griddle.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "griddle.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An object of the whole cluster bears the namespace, so that releases of one name do not meet; a long one ends with a hash of all of it. */}}
{{- define "griddle.clusterName" -}}
{{- $n := printf "%s-%s" .Release.Namespace (include "griddle.fullname" .) -}}
{{- if gt (len $n) 57 }}{{ $n = printf "%s-%s" (trunc 48 $n | trimSuffix "-") (sha256sum $n | trunc 8) }}{{ end -}}
{{- $n -}}
{{- end -}}

{{- define "griddle.selector" -}}
app.kubernetes.io/name: {{ include "griddle.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
griddle.dev/pool: {{ . }}
{{- end }}
{{- end -}}

{{- define "griddle.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "griddle.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: griddle
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* root, component, pool, annotations: name and namespace are the caller's */}}
{{- define "griddle.meta" -}}
labels: {{- include "griddle.labels" . | nindent 2 }}
{{- $a := merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
{{- with $a }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "griddle.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{- define "griddle.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "griddle.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What a pod passes through. root, v (the component's values), component, pool, class (default priority class) */}}
{{- define "griddle.podCommon" -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
enableServiceLinks: false
securityContext: {{- include "griddle.podSecurity" . | nindent 2 }}
{{- with .v.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- if not (kindIs "invalid" .v.hostUsers) }}
hostUsers: {{ .v.hostUsers }}
{{- end }}
{{- $class := default (ternary .class "" .root.Values.priorityClasses.create) .v.priorityClassName }}
{{- with $class }}
priorityClassName: {{ . }}
{{- end }}
{{- with .v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels: {{- include "griddle.selector" $ | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "griddle.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}

{{/* Bytes of a quantity. */}}
{{- define "griddle.bytes" -}}
{{- $of := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $of (regexFind "[KMGT]i?$" .)) | int64 -}}
{{- end -}}

{{/*
What caches may take of a volume (of, as a quantity; keys): 40 % each, two of them beside each other, and the rest for what has no limit.
An emptyDir that outgrows its size is the end of its pod, with all that is on it.
*/}}
{{- define "griddle.shares" -}}
{{- $share := max 67108864 (div (mul 2 (include "griddle.bytes" .of | int64)) 5) -}}
{{- $c := dict -}}
{{- range .keys }}{{ $_ := set $c . $share }}{{ end -}}
{{- toJson $c -}}
{{- end -}}

{{/*
resources, with room below the limit of ephemeral storage for what the emptyDirs may hold (dirs: quantities): a kubelet counts them
in, and evicts a pod that takes more, whatever the emptyDirs' own limits say.
*/}}
{{- define "griddle.resources" -}}
{{- $r := deepCopy .resources -}}
{{- $need := 67108864 -}}
{{- range .dirs }}{{ $need = add $need (include "griddle.bytes" . | int64) }}{{ end -}}
{{- $limit := dig "limits" "ephemeral-storage" "" $r -}}
{{- if kindIs "float64" $limit }}{{ $limit = int64 $limit }}{{ end -}}
{{- $limit = toString $limit -}}
{{- if $limit -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([KMGT]i?)?$" $limit) -}}
{{- fail (printf "resources.limits.ephemeral-storage: %q is no number of bytes (12Gi)" $limit) -}}
{{- end -}}
{{- if lt (include "griddle.bytes" $limit | int64) (int64 $need) -}}
{{- $_ := set $r.limits "ephemeral-storage" (printf "%dMi" (div (add $need 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $r -}}
{{- end -}}

{{- define "griddle.secretName" -}}
{{- default (printf "%s-%s-keys" (include "griddle.fullname" .root) .which) (get .root.Values.keys (printf "%sSecret" .which)) -}}
{{- end -}}

{{/* The pools, each over the defaults, as YAML of {pools: [...]}. */}}
{{- define "griddle.pools" -}}
{{- $seen := dict -}}
{{- $pools := list -}}
{{- range .Values.workerPools -}}
{{- if hasKey $seen .name -}}{{- fail (printf "workerPools: two pools are called %q" .name) -}}{{- end -}}
{{- $_ := set $seen .name true -}}
{{- $p := mustMergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy .) -}}
{{- if and (eq $p.kind "DaemonSet") (ne $p.autoscaling.mode "off") -}}
{{- fail (printf "workerPools: pool %q is a DaemonSet, which nothing scales: set autoscaling.mode to off" .name) -}}
{{- end -}}
{{- if gt (int $p.autoscaling.minReplicas) (int $p.autoscaling.maxReplicas) -}}
{{- fail (printf "workerPools: pool %q: minReplicas is above maxReplicas" .name) -}}
{{- end -}}
{{- if and (eq $p.autoscaling.mode "hpa") (lt (int $p.autoscaling.minReplicas) 1) -}}
{{- fail (printf "workerPools: pool %q: hpa does not scale to zero; keda does" .name) -}}
{{- end -}}
{{- if and (eq (toString $p.maxSurge | trimSuffix "%") "0") (eq (toString $p.maxUnavailable | trimSuffix "%") "0") -}}
{{- fail (printf "workerPools: pool %q: maxSurge and maxUnavailable are both 0: nothing could ever be replaced" .name) -}}
{{- end -}}
{{- if and $p.spot (not (hasKey . "graceSeconds")) -}}
{{- $_ := set $p "graceSeconds" 15 -}}
{{- if not (hasKey . "graceExtraSeconds") }}{{ $_ := set $p "graceExtraSeconds" 5 }}{{ end -}}
{{- end -}}
{{- if $p.spot -}}
{{- range list (dict "key" "cloud.google.com/gke-spot" "value" "true") (dict "key" "kubernetes.azure.com/scalesetpriority" "value" "spot") -}}
{{- $_ := set $p "tolerations" (append $p.tolerations (merge . (dict "operator" "Equal" "effect" "NoSchedule"))) -}}
{{- end -}}
{{- end -}}
{{- $pools = append $pools $p -}}
{{- end -}}
{{- toYaml (dict "pools" $pools) -}}
{{- end -}}

{{/* "NAME=MIN..MAX,..." of the pools that the coordinator scales; empty without. */}}
{{- define "griddle.scaled" -}}
{{- $list := list -}}
{{- range (include "griddle.pools" . | fromYaml).pools -}}
{{- if eq .autoscaling.mode "builtin" -}}
{{- $list = append $list (printf "%s=%d..%d" (include "griddle.poolName" (dict "root" $ "pool" .)) (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- join "," $list -}}
{{- end -}}

{{- define "griddle.poolName" -}}
{{- printf "%s-worker-%s" (include "griddle.fullname" .root) .pool.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Whether the coordinator uses the cluster's API at all; empty: no. */}}
{{- define "griddle.usesApi" -}}
{{- if or .Values.kube.pods .Values.kube.nodes (include "griddle.scaled" .) }}yes{{ end -}}
{{- end -}}

{{/* The token as a volume: no other pod gets one. */}}
{{- define "griddle.account" -}}
- name: account
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}
{{- end -}}

{{- define "griddle.coordinatorConfig" -}}
{{- $c := dict "listen" "tcp://*:7420" "http" "*:7421" "http-anywhere" true "state" "/var/lib/griddle/coordinator" "keys" "/etc/griddle/keys/coordinator.key" "allow" "/etc/griddle/keys/allow" -}}
{{- $_ := set $c "work-target" .Values.workTarget -}}
{{- $scaled := include "griddle.scaled" . -}}
{{- if or .Values.kube.pods $scaled -}}
{{- $_ := set $c "kube-pods" (printf "app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s,app.kubernetes.io/component=worker" (include "griddle.name" .) .Release.Name) -}}
{{- end -}}
{{- if .Values.kube.nodes -}}
{{- $_ := set $c "kube-nodes" true -}}
{{- end -}}
{{- if $scaled -}}
{{- $down := 1 -}}
{{- range (include "griddle.pools" . | fromYaml).pools -}}
{{- if eq .autoscaling.mode "builtin" -}}{{- $down = max $down (int .autoscaling.scaleDownSeconds) -}}{{- end -}}
{{- end -}}
{{- $_ := set $c "kube-scale" $scaled -}}
{{- $_ := set $c "kube-scale-down" (printf "%ds" $down) -}}
{{- end -}}
{{- $size := ternary .Values.coordinator.persistence.size .Values.coordinator.emptyDirSize .Values.coordinator.persistence.enabled -}}
{{- $c = merge $c (include "griddle.shares" (dict "of" $size "keys" (list "cache-bytes" "job-bytes" "keep-bytes")) | fromJson) -}}
{{- toPrettyJson (mergeOverwrite $c (deepCopy .Values.coordinator.config)) -}}
{{- end -}}

{{- define "griddle.workerConfig" -}}
{{- $c := dict "coordinator" (printf "tcp://%s-coordinator-headless.%s.svc.%s:7420" (include "griddle.fullname" .root) .root.Release.Namespace .root.Values.clusterDomain) "state" "/var/lib/griddle/worker" "keys" "/etc/griddle/keys/worker.key" "probe" "*:7422" "grace" (printf "%ds" (int .pool.graceSeconds)) "sandbox" .pool.sandbox "require-sandbox" .pool.requireSandbox "toolchains" .pool.toolchains -}}
{{- $c = merge $c (include "griddle.shares" (dict "of" .pool.stateSize "keys" (list "cache-bytes" "tree-bytes")) | fromJson) -}}
{{- $c = mergeOverwrite $c (deepCopy .pool.config) -}}
{{- if .pool.spot }}{{ $_ := set $c "labels" (list (get $c "labels") "spot=true" | compact | join ",") }}{{ end -}}
{{- toPrettyJson $c -}}
{{- end -}}
