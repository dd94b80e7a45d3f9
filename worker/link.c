/*
 * link.c - the worker's messages
 *
 * What comes from the coordinator is decoded here and handed on; a malformed frame is the peer's fault and ends the
 * connection (lib/net makes a new one). The HELLO says what this worker is; a PING carries its signals.
 */
#include "worker/worker.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/load/runs.h"
#include "worker/command.h"

static json_t *toolchains_json(const struct gr_worker *w)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < w->tools.n; i++) {
		const struct gr_cc_toolchain *tc = w->tools.list[i].tc;
		char hex[GR_DIGEST_HEX];

		gr_digest_hex(&tc->digest, hex);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "digest", hex, "name", tc->name ? tc->name : "",
						      "version", tc->version ? tc->version : "", "target", tc->target ? tc->target : ""));
	}
	return list;
}

static json_t *sessions_json(struct gr_worker *w)
{
	json_t *list = json_array();

	GR_LIST_EACH(s, &w->session_list, struct gr_wsession, link) {
		char hex[17];

		snprintf(hex, sizeof(hex), "%016" PRIx64, s->id);
		json_array_append_new(list, json_pack("{s:s, s:I}", "session", hex, "n_records", (json_int_t)s->n_records));
	}
	return list;
}

static void set_str(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

static json_t *make_hello(void *ctx)
{
	struct gr_worker *w = ctx;
	json_t *o = gr_hello_json(GR_ROLE_WORKER, w->cfg->name);
	struct gr_buf boot = { 0 };
	struct statvfs fs;

	json_object_set_new(o, "slots", json_integer(w->n_use));
	json_object_set_new(o, "cpus", json_integer(w->n_cpus));
	json_object_set_new(o, "node_cpu_mcpu", json_integer((json_int_t)gr_cgroup_node_cpus(w->cgroup) * 1000));
	json_object_set_new(o, "prefetch", json_integer(w->cfg->prefetch));
	json_object_set_new(o, "tier", json_string(gr_tier_name(w->tier)));
	json_object_set_new(o, "toolchains", toolchains_json(w));
	json_object_set_new(o, "sessions", sessions_json(w));
	json_object_set_new(o, "mem_bytes", json_integer((json_int_t)w->limits.mem_bytes));
	json_object_set_new(o, "quota_mcpu", json_integer((json_int_t)w->limits.quota_mcpu));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "draining", json_boolean(w->is_draining));
	json_object_set_new(o, "stress_ng", json_boolean(gr_runs_can_burn()));
	if (statvfs(".", &fs) == 0)
		json_object_set_new(o, "disk_bytes", json_integer((json_int_t)(fs.f_bavail * fs.f_frsize)));
	gr_commands_hello(w->commands, o);
	set_str(o, "node", w->cfg->node);
	set_str(o, "zone", w->cfg->zone);
	set_str(o, "pod", w->cfg->pod);
	set_str(o, "pod_uid", w->cfg->pod_uid);
	set_str(o, "namespace", w->cfg->namespace);
	set_str(o, "qos", w->cfg->qos);
	if (gr_file_read("/proc/sys/kernel/random/boot_id", 64, &boot, NULL) == 0) {
		((char *)boot.p)[strcspn(gr_buf_str(&boot), "\n")] = 0;
		set_str(o, "boot_id", (const char *)boot.p);
	}
	gr_buf_fini(&boot);
	return o;
}

/* The helper that stayed as it was at the start writes it: the folder may be one only root may write. */
static void say_ready(struct gr_worker *w)
{
	json_t *o;
	char *text;

	if (w->is_ready_said)
		return;
	w->is_ready_said = true;
	if (w->start.ready_fd < 0)
		return;
	o = json_pack("{s:s, s:i, s:s, s:i, s:o}", "name", w->cfg->name, "pid", (int)getpid(), "tier", gr_tier_name(w->tier),
		      "slots", (int)w->n_slots, "toolchains", toolchains_json(w));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text && gr_write_all(w->start.ready_fd, text, strlen(text)) < 0)
		gr_warn("link", "the ready file cannot be written");
	close(w->start.ready_fd);
	w->start.ready_fd = -1;
	free(text);
}

static void send_drain(struct gr_worker *w)
{
	struct gr_buf frame = { 0 };

	gr_drain_encode(&frame, (uint32_t)w->cfg->grace_ms);
	if (gr_link_send(w->link, &frame) < 0)
		gr_warn("link", "the coordinator could not be told of the drain");
	gr_buf_fini(&frame);
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct gr_worker *w = ctx;

	(void)welcome;
	gr_report_reset(&w->report);
	gr_session_doubt(w);
	gr_info("link", "connected to %s", w->cfg->coordinator);
	say_ready(w);
	if (w->is_draining)
		send_drain(w);
	gr_result_send_all(w, true);
	gr_commands_up(w->commands);
	gr_fetch_ask_again(w->fetch);
	gr_worker_pump(w);
}

static void on_down(void *ctx, int code, const char *why)
{
	struct gr_worker *w = ctx;

	gr_warn("link", "%s: %s; %u tasks go on, results are kept", w->cfg->coordinator, why ? why : gr_err_text(code), w->n_running);
	gr_runs_down(w->runs);
	gr_worker_check_drained(w);
}

static int on_session_open(struct gr_worker *w, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_wsession *s;
	json_t *o;
	uint64_t id;
	const char *hex;
	char *end;
	int rc = gr_json_decode(body, &o, NULL);

	if (rc < 0)
		return rc;
	hex = json_string_value(json_object_get(o, "session"));
	id = hex ? strtoull(hex, &end, 16) : 0;
	if (!hex || strlen(hex) != 16 || *end) {
		json_decref(o);
		return GR_EPROTO;
	}
	json_decref(o);
	s = gr_session_get(w, id);
	if (!s) {
		gr_warn("link", "too many sessions");
		return 0;
	}
	s->is_closed = false;
	s->doubtful_ns = 0;
	gr_session_encode(&frame, GR_MSG_SESSION_OK, id, s->n_records);
	if (gr_link_send(w->link, &frame) < 0)
		gr_debug("link", "SESSION_OK not sent");
	gr_buf_fini(&frame);
	return 0;
}

static int on_session_close(struct gr_worker *w, struct gr_slice body)
{
	struct gr_wsession *s;
	uint32_t n_records;
	uint64_t id;
	int rc = gr_session_decode(body, &id, &n_records);

	if (rc < 0)
		return rc;
	if (id <= GR_WIRE_MAX_JOB) {
		gr_jobs_close(w->commands, id);
		return 0;
	}
	s = gr_session_find(w, id);
	if (!s)
		return 0;
	gr_task_cancel(w, id, 0, 0);
	s->is_closed = true;
	if (!s->n_tasks)
		gr_session_close(&s);
	return 0;
}

static int on_log(struct gr_worker *w, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_wsession *s;
	struct gr_log_msg m;
	int rc = gr_log_decode(body, &m);

	if (rc < 0)
		return rc;
	s = gr_session_get(w, m.session);
	if (s && gr_session_add(s, &m) == GR_ESTATE) {
		gr_session_encode(&frame, GR_MSG_SESSION_OK, s->id, s->n_records);
		if (gr_link_send(w->link, &frame) < 0)
			gr_debug("link", "SESSION_OK not sent");
		gr_buf_fini(&frame);
	}
	gr_worker_pump(w);
	return 0;
}

static int on_taskref(struct gr_worker *w, int type, struct gr_slice body)
{
	uint64_t session, task;
	uint32_t attempt;
	int rc = gr_taskref_decode(body, &session, &task, &attempt);

	if (rc < 0)
		return rc;
	if (type == GR_MSG_CANCEL) {
		gr_task_cancel(w, session, task, attempt);
	} else if (session <= GR_WIRE_MAX_JOB) {
		gr_commands_acked(w->commands, session, task, attempt);
	} else {
		gr_result_acked(w, session, task, attempt);
		gr_result_send_all(w, false);
	}
	gr_worker_pump(w);
	return 0;
}

static int on_blob(struct gr_worker *w, struct gr_slice body)
{
	struct gr_blob_msg m;
	int rc = gr_blob_decode(body, &m);

	if (rc < 0)
		return rc;
	gr_fetch_blob(w->fetch, &m);
	gr_worker_pump(w);
	return 0;
}

static int on_missing(struct gr_worker *w, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	gr_fetch_missing(w->fetch, &m);
	gr_worker_pump(w);
	return 0;
}

/* Nothing is asked of a worker yet that it could answer; a request gets an answer all the same. */
static int on_ctl(struct gr_worker *w, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	json_t *o, *reply;
	int rc = gr_json_decode(body, &o, NULL);

	if (rc < 0)
		return rc;
	reply = json_pack("{s:s}", "error", "not supported by a worker");
	if (json_object_get(o, "id"))
		json_object_set(reply, "id", json_object_get(o, "id"));
	json_decref(o);
	gr_json_encode(&frame, GR_MSG_CTL_REP, reply);
	json_decref(reply);
	if (gr_link_send(w->link, &frame) < 0)
		gr_debug("link", "CTL_REP not sent");
	gr_buf_fini(&frame);
	return 0;
}

static int on_command(struct gr_worker *w, int (*fn)(struct gr_commands *, struct gr_slice), struct gr_slice body)
{
	int rc = fn(w->commands, body);

	gr_worker_pump(w);
	return rc;
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct gr_worker *w = ctx;

	switch (type) {
	case GR_MSG_SESSION_OPEN: return on_session_open(w, body);
	case GR_MSG_SESSION_CLOSE: return on_session_close(w, body);
	case GR_MSG_LOG: return on_log(w, body);
	case GR_MSG_TASK: gr_task_receive(w, body); return 0;
	case GR_MSG_CANCEL:
	case GR_MSG_RESULT_ACK: return on_taskref(w, type, body);
	case GR_MSG_BLOB: return on_blob(w, body);
	case GR_MSG_MISSING: return on_missing(w, body);
	case GR_MSG_FETCH: return gr_commands_fetch(w->commands, body);
	case GR_MSG_SPEC: return gr_commands_spec(w->commands, body);
	case GR_MSG_COMMAND: return on_command(w, gr_commands_receive, body);
	case GR_MSG_STOP: return on_command(w, gr_commands_stop, body);
	case GR_MSG_FOLLOW: return gr_commands_follow(w->commands, body);
	case GR_MSG_CTL_REQ: return on_ctl(w, body);
	case GR_MSG_LOAD_PREPARE:
	case GR_MSG_LOAD_START:
	case GR_MSG_LOAD_STOP:
	case GR_MSG_LOAD_CLOCK:
	case GR_MSG_LOAD_SHARE: return gr_runs_message(w->runs, type, body);
	case GR_MSG_CLUSTER: return 0;
	default: return 0;
	}
}

static void fill_ping(void *ctx, struct gr_ping *p)
{
	struct gr_worker *w = ctx;
	struct gr_cas_stats cs;
	struct gr_pressure pr;
	struct statvfs fs;
	uint64_t now_ns = gr_loop_now_ns(w->loop);

	gr_cgroup_pressure(w->cgroup, now_ns, &pr);
	gr_worker_look_at_limits(w);
	gr_cas_stats(w->cas, &cs);
	const struct { enum gr_signal key; uint64_t value; } now[] = {
		{ GR_SIGNAL_CPU_QUOTA_MCPU, w->limits.quota_mcpu }, { GR_SIGNAL_CPU_THROTTLED_PERMILLE, pr.throttled },
		{ GR_SIGNAL_CPU_STEAL_PERMILLE, pr.steal }, { GR_SIGNAL_CPU_PSI_PERMILLE, pr.cpu },
		{ GR_SIGNAL_MEM_LIMIT_BYTES, w->limits.mem_bytes }, { GR_SIGNAL_MEM_USED_BYTES, pr.mem_used_bytes },
		{ GR_SIGNAL_MEM_PSI_PERMILLE, pr.mem }, { GR_SIGNAL_IO_PSI_PERMILLE, pr.io },
		{ GR_SIGNAL_SLOTS, w->is_draining ? 0 : w->n_use }, { GR_SIGNAL_RUNNING, w->n_running + w->commands->n[GR_CS_RUNNING] },
		{ GR_SIGNAL_QUEUED, w->n_queued + gr_commands_n_waiting(w->commands) }, { GR_SIGNAL_CACHE_BYTES, cs.bytes }, { GR_SIGNAL_CPU_USED_MCPU, pr.used_mcpu },
		{ GR_SIGNAL_NODE_BUSY_MCPU, pr.node_busy_mcpu }, { GR_SIGNAL_MEM_PEAK_BYTES, pr.mem_peak_bytes },
		{ GR_SIGNAL_OOM_KILLS, pr.oom_kills }, { GR_SIGNAL_NODE_CPU_PSI_PERMILLE, pr.node_cpu },
		{ GR_SIGNAL_NODE_MEM_PSI_PERMILLE, pr.node_mem }, { GR_SIGNAL_NODE_IO_PSI_PERMILLE, pr.node_io },
	};

	for (size_t i = 0; i < GR_LEN(now); i++)
		gr_report_add(&w->report, now_ns, now[i].key, now[i].value, p);
	if (statvfs(".", &fs) == 0)
		gr_report_add(&w->report, now_ns, GR_SIGNAL_DISK_FREE_BYTES, (uint64_t)fs.f_bavail * fs.f_frsize, p);
}

static void before_send(void *ctx)
{
	struct gr_worker *w = ctx;

	if (w->commands)                       /* else they were closed before the link, and wrote it */
		gr_commands_before_send(w->commands);
}

int gr_worker_connect(struct gr_worker *w, struct gr_err *err)
{
	static const struct gr_link_ops ops = {
		.make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg, .fill_ping = fill_ping,
		.before_send = before_send,
	};
	struct gr_link_config cfg = {
		.endpoint = w->cfg->coordinator, .keys = w->start.has_keys ? &w->start.keys : NULL, .server_key = w->cfg->server_key,
	};

	return gr_link_new(w->loop, &cfg, &ops, w, &w->link, err);
}
