/**
 * pod - what Kubernetes says of the pod a worker is in, without its API
 *
 * Settings win. What they leave open comes from a folder of the downward API: one file a fact, named as the setting
 * (node, zone, pod, pod-uid, namespace, qos). The QoS class is in no downward API; the kernel's oom_score_adj tells it,
 * which the kubelet sets by class.
 */
#pragma once
#include "lib/base/err.h"

/**
 * gr_pod_fact - the first line of DIR/NAME
 * Return: heap text of 1..253 bytes; NULL when there is none, or it holds control characters or nothing.
 */
char *gr_pod_fact(const char *dir, const char *name);
/* "Guaranteed", "Burstable", "BestEffort" by @root/proc/self/oom_score_adj; "" when it is none of the kubelet's. */
const char *gr_pod_qos(const char *root);
