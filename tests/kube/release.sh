# tests/kube/release.sh - sourced by the tests with real nodes: the volume of the coordinator, the values of a small cluster
release_volume() {              # a folder every node sees
	mkdir -m 777 "$KUBE_RUN/volume"
	k apply -f - >/dev/null <<-Y
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: state}
	spec: {capacity: {storage: 20Gi}, accessModes: [ReadWriteOnce], hostPath: {path: $KUBE_RUN/volume}, claimRef: {namespace: build, name: state-r-griddle-coordinator-0}}
	Y
}
# Requests are small, so that a machine of two cores has room for the pods; limits are what a task may need.
release_values() {              # prints them
	cat <<-'Y'
	coordinator:
	  image: &image {registry: localhost, pullPolicy: Never}
	  resources: {requests: {cpu: 100m, memory: 64Mi, ephemeral-storage: 64Mi}, limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 2Gi}}
	  config: {history: /var/lib/griddle/history}
	service: {type: NodePort, nodePort: 30420}
	kube: {pods: true, nodes: true}
	workerDefaults:
	  image: *image
	  graceSeconds: 20
	  stateSize: 1Gi
	  resources: {requests: {cpu: 100m, memory: 64Mi, ephemeral-storage: 64Mi}, limits: {cpu: "2", memory: 2Gi, ephemeral-storage: 4Gi}}
	workerPools: [{name: a, replicas: 3}]
	tests: {image: *image}
	Y
}
