/*
 * commands.c - all commands of a worker: opened with what an earlier life left, told to a coordinator, closed
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/remove.h"
#include "worker/command.h"

static int open_folder(const char *name, struct gr_err *err)
{
	int fd, rc = gr_remove_at(AT_FDCWD, name);

	if (rc < 0)
		gr_warn("command", "%s: what was left there cannot be removed", name);
	if (mkdir(name, 0711) < 0 && errno != EEXIST)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", name, strerror(errno));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? gr_err_set(err, gr_err_errno(errno), "%s: %s", name, strerror(errno)) : fd;
}

static void restore(void *ctx, struct gr_slice frame)
{
	gr_command_restore(ctx, frame);
}

int gr_commands_new(struct gr_worker *w, struct gr_commands **out, struct gr_err *err)
{
	struct gr_err why = { 0 };
	struct gr_commands *c;
	int rc = 0, fd;

	GR_NEW(c);
	c->w = w;
	c->spare.size = sizeof(struct gr_wcommand);
	c->stagefd = c->outfd = c->logfd = -1;
	gr_list_init(&c->jobs);
	for (int i = 0; i < GR_N_COMMAND_STATES; i++)
		gr_list_init(&c->lists[i]);
	c->by_key.seed = gr_rng_u64(gr_loop_rng(w->loop));
	c->tell_timer = gr_timer_new(w->loop, gr_command_on_tell, c);
	c->sends = gr_sends_new(w);
	snprintf(c->start_id, sizeof(c->start_id), "%016" PRIx64, gr_rng_u64(gr_loop_rng(w->loop)));
	*out = c;
	fd = rc = open_folder("runs", err);
	if (fd >= 0)
		close(fd);
	if (rc >= 0)
		rc = c->stagefd = open_folder("stage", err);
	if (rc >= 0)
		rc = c->outfd = open_folder("outs", err);
	if (rc >= 0)
		rc = c->logfd = open_folder("logs", err);
	if (rc >= 0)
		rc = gr_journal_open("ended", restore, c, &c->journal, err);
	if (rc < 0)
		return rc;
	if (c->n[GR_CS_HELD])
		gr_info("command", "%u results of an earlier run are offered again", c->n[GR_CS_HELD]);
	if (w->cfg->commands == GR_COMMANDS_OFF) {
		snprintf(c->why_none, sizeof(c->why_none), "--commands off");
		return 0;
	}
	c->runners = gr_runners_new(w, &gr_command_runners_ops, c, &why);
	if (!c->runners) {
		snprintf(c->why_none, sizeof(c->why_none), "%.250s", why.text);
		gr_warn("command", "no commands are run here: %s", c->why_none);
	} else {
		gr_info("command", "commands run in tier %s", gr_tier_name(gr_runners_tier(c->runners)));
	}
	return 0;
}

void gr_commands_settle(struct gr_commands *c)
{
	static const enum gr_command_state in_thread[] = { GR_CS_STAGE, GR_CS_TAKING };

	for (size_t i = 0; c && i < GR_LEN(in_thread); i++)
		while (c->n[in_thread[i]])
			uv_run(gr_loop_uv(c->w->loop), UV_RUN_ONCE);
	while (c && c->n_walks)
		uv_run(gr_loop_uv(c->w->loop), UV_RUN_ONCE);
}

void gr_commands_free(struct gr_commands **cp)
{
	struct gr_commands *c = *cp;

	if (!c)
		return;
	gr_timer_stop(&c->begun_timer);
	gr_timer_stop(&c->tell_timer);
	gr_runners_free(&c->runners);
	for (int st = 0; st < GR_N_COMMAND_STATES; st++)
		GR_LIST_EACH_SAFE(t, &c->lists[st], struct gr_wcommand, link)
			gr_command_free(t);
	gr_map_fini(&c->by_key);
	gr_pool_fini(&c->spare);
	while (c->n_frames)
		gr_buf_fini(&c->frames[--c->n_frames]);
	free(c->frames);
	gr_jobs_fini(c);
	gr_sends_free(&c->sends);
	gr_journal_close(&c->journal);
	if (c->stagefd >= 0)
		close(c->stagefd);
	if (c->outfd >= 0)
		close(c->outfd);
	if (c->logfd >= 0)
		close(c->logfd);
	free(c);
	*cp = NULL;
}

/* ---- the connection ---- */

static void add_labels(struct gr_commands *c, json_t *hello)
{
	json_t *labels = json_object();
	struct utsname u;
	char *text = gr_xstrdup(c->w->cfg->labels ? c->w->cfg->labels : ""), *save, *word;

	if (uname(&u) == 0) {
		json_object_set_new(labels, "arch", json_string(u.machine));
		json_object_set_new(labels, "os", json_string("linux"));
	}
	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(word, '=');

		if (eq)
			*eq = 0;
		if (*word && json_object_size(labels) < 32)
			json_object_set_new(labels, word, json_string(eq ? eq + 1 : ""));
	}
	free(text);
	json_object_set_new(hello, "labels", labels);
}

void gr_commands_hello(struct gr_commands *c, json_t *hello)
{
	json_t *list = json_array();

	for (int st = 0; st < GR_CS_TAKING; st++)
		GR_LIST_EACH(t, &c->lists[st], struct gr_wcommand, link)
			json_array_append_new(list, json_pack("[I, I, I, i]", (json_int_t)t->key.job, (json_int_t)t->key.task,
							      (json_int_t)t->key.attempt, st == GR_CS_RUNNING));
	GR_LIST_EACH(t, &c->lists[GR_CS_TAKING], struct gr_wcommand, link)
		json_array_append_new(list, json_pack("[I, I, I, i]", (json_int_t)t->key.job, (json_int_t)t->key.task,
						      (json_int_t)t->key.attempt, 1));
	json_object_set_new(hello, "attempts", list);
	json_object_set_new(hello, "commands", json_boolean(c->runners));
	json_object_set_new(hello, "start_id", json_string(c->start_id));
	json_object_set_new(hello, "gpu_milli", json_integer(c->w->cfg->gpu_milli));
	add_labels(c, hello);
}

void gr_commands_up(struct gr_commands *c)
{
	gr_sends_forget(c->sends);     /* what was asked for on the old connection is asked for anew */
	GR_LIST_EACH(t, &c->lists[GR_CS_RUNNING], struct gr_wcommand, link)
		t->is_said_begun = true;   /* the HELLO said so */
	gr_command_send_all(c, true);
}

void gr_commands_before_send(struct gr_commands *c) { gr_journal_write(c->journal); }

int gr_commands_follow(struct gr_commands *c, struct gr_slice body)
{
	struct gr_follow_msg m;
	struct gr_wcommand *t;
	int rc = gr_follow_decode(body, &m);

	if (rc < 0)
		return rc;
	t = gr_commands_find(c, m.job, m.task, m.attempt);
	if (!t || t->state == GR_CS_HELD)
		return 0;              /* its whole output is in its ENDED */
	t->is_followed = m.is_on;
	t->logs[0].n_sent = m.out < t->logs[0].n ? m.out : t->logs[0].n;
	t->logs[1].n_sent = m.err < t->logs[1].n ? m.err : t->logs[1].n;
	gr_command_log_send(t);
	return 0;
}

int gr_commands_spec(struct gr_commands *c, struct gr_slice body)
{
	struct gr_err err = { 0 };
	int rc = gr_jobs_add(c, body, &err);

	if (rc < 0)
		gr_warn("command", "%s", err.text);
	return 0;                      /* its commands are handed back with the reason; the link is not to blame */
}

int gr_commands_fetch(struct gr_commands *c, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);

		gr_sends_add(c->sends, m.session, &d);
	}
	gr_sends_pump(c->sends);
	return 0;
}
