/* pod.c - see pod.h */
#include "worker/signals/pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define MAX_FACT 253

char *gr_pod_fact(const char *dir, const char *name)
{
	struct gr_buf b = { 0 };
	char path[4352], *text = NULL;
	size_t n;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) || gr_file_read(path, 4096, &b, NULL) < 0) {
		gr_buf_fini(&b);
		return NULL;
	}
	n = strcspn(gr_buf_str(&b), "\n");
	if (n && n <= MAX_FACT && n == strcspn(gr_buf_str(&b), "\n\t\r\033\177"))
		text = gr_xstrndup(gr_buf_str(&b), n);
	for (size_t i = 0; text && i < n; i++)
		if ((unsigned char)text[i] < ' ') {
			free(text);
			text = NULL;
		}
	gr_buf_fini(&b);
	return text;
}

/* kubelet, pkg/kubelet/qos/policy.go: Guaranteed -997, BestEffort 1000, Burstable 3 to 999 by its request of memory. */
const char *gr_pod_qos(const char *root)
{
	char path[4352], *end;
	struct gr_buf b = { 0 };
	const char *qos = "";
	long v;

	if (snprintf(path, sizeof(path), "%s/proc/self/oom_score_adj", root) < (int)sizeof(path) && gr_file_read(path, 64, &b, NULL) == 0) {
		v = strtol(gr_buf_str(&b), &end, 10);
		if (end != gr_buf_str(&b))
			qos = v == -997 ? "Guaranteed" : v == 1000 ? "BestEffort" : v >= 2 && v <= 999 ? "Burstable" : "";
	}
	gr_buf_fini(&b);
	return qos;
}
