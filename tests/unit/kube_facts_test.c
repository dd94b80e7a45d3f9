/* kube_facts_test.c - Pods and Nodes as API servers send them, and as nobody should */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "coordinator/kube/facts.h"

static struct gr_kpod_facts pod(const char *text, bool want)
{
	json_t *o = json_loads(text, 0, NULL);
	struct gr_kpod_facts f;

	assert_non_null(o);
	assert_int_equal(gr_kpod_read(o, &f), want);
	json_decref(o);
	return f;
}

static struct gr_knode_facts node(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	struct gr_knode_facts f;

	assert_non_null(o);
	assert_true(gr_knode_read(o, &f));
	json_decref(o);
	return f;
}

static void a_pod_being_deleted_tells_its_grace(void **s)
{
	struct gr_kpod_facts f = pod("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"deletionTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionGracePeriodSeconds\":7,"
				     "\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"a-b-6f9c\"}],"
				     "\"annotations\":{\"controller.kubernetes.io/pod-deletion-cost\":\"-5\"}},"
				     "\"spec\":{\"nodeName\":\"n\",\"terminationGracePeriodSeconds\":30},\"status\":{\"phase\":\"Running\"}}", true);

	assert_true(f.deleted_s != 0);
	assert_int_equal(f.deleted_s, 1767323045);
	assert_int_equal(f.grace_s, 7);
	assert_int_equal(f.cost, -5);
	assert_string_equal(f.owner, "a-b");
	assert_string_equal(f.node, "n");
	assert_false(f.is_pending);
}

static void pods_of_odd_shapes_are_no_pods_or_say_little(void **s)
{
	struct gr_kpod_facts f;

	pod("{}", false);
	pod("{\"metadata\":{\"name\":3,\"uid\":[]}}", false);
	pod("[1]", false);
	f = pod("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"deletionTimestamp\":5,\"ownerReferences\":{},\"annotations\":[]},\"spec\":7,"
		"\"status\":{\"conditions\":[1,{\"type\":\"DisruptionTarget\",\"status\":\"False\"}]}}", true);
	assert_false(f.deleted_s || f.is_disrupted || f.is_unschedulable);
	f = pod("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"terminationGracePeriodSeconds\":-9}}", true);
	assert_int_equal(f.grace_s, 0);
	f = pod("{\"metadata\":{\"name\":\"p\",\"uid\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"},"
		"\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\",\"message\":\"no\\nnode\"}]}}", true);
	assert_int_equal(strlen(f.uid), sizeof(f.uid) - 1);
	assert_string_equal(f.why, "no?node");
}

static void the_soonest_of_leaving_taints_counts(void **s)
{
	struct gr_knode_facts f = node("{\"metadata\":{\"name\":\"n\",\"labels\":{\"topology.kubernetes.io/zone\":\"z\"}},\"spec\":{\"unschedulable\":true,\"taints\":["
				       "{\"key\":\"node.kubernetes.io/unschedulable\",\"effect\":\"NoSchedule\"},"
				       "{\"key\":\"ToBeDeletedByClusterAutoscaler\",\"effect\":\"NoSchedule\"},"
				       "{\"key\":\"cloud.google.com/impending-node-termination\",\"effect\":\"NoSchedule\"}]},"
				       "\"status\":{\"capacity\":{\"cpu\":\"3920m\"}}}");

	assert_true(f.is_cordoned);
	assert_int_equal(f.leaves_s, 25);
	assert_string_equal(f.why, "cloud.google.com/impending-node-termination");
	assert_string_equal(f.zone, "z");
	assert_int_equal(f.cpu_mcpu, 3920);
	f = node("{\"metadata\":{\"name\":\"n\"},\"spec\":{\"taints\":[{\"key\":\"karpenter.sh/disrupted\",\"effect\":\"PreferNoSchedule\"},{\"key\":\"gpu\"}]}}");
	assert_int_equal(f.leaves_s, 0);
	assert_false(f.is_cordoned);
}

static void times_and_amounts(void **s)
{
	assert_int_equal(gr_ktime_parse("1970-01-01T00:00:01.5Z"), 1);
	assert_int_equal(gr_ktime_parse("1970-01-01 00:00:01"), 0);
	assert_int_equal(gr_ktime_parse(NULL), 0);
	assert_int_equal(gr_kcpu_parse("4"), 4000);
	assert_int_equal(gr_kcpu_parse("4x"), 0);
	assert_int_equal(gr_kcpu_parse("-4"), 0);
	assert_int_equal(gr_kcpu_parse("99999999999999999999"), 0);
	assert_int_equal(gr_kcpu_parse(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_being_deleted_tells_its_grace),
		cmocka_unit_test(pods_of_odd_shapes_are_no_pods_or_say_little),
		cmocka_unit_test(the_soonest_of_leaving_taints_counts),
		cmocka_unit_test(times_and_amounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
