/* agent_control_test.c - an agent that answers late: the answer is not taken for the next one's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/agent/control.h"
#include "client/agent/proto.h"

struct world { char dir[64], path[96]; int listener, fd; struct gr_control *c; };

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct gr_err err = { 0 };

	strcpy(w->dir, "/tmp/griddle-control-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	strcpy(sa.sun_path, w->path);
	w->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (bind(w->listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(w->listener, 1) < 0 || gr_control_connect(w->path, &w->c, &err) < 0)
		return -1;
	w->fd = accept(w->listener, NULL, NULL);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_control_close(&w->c);
	close(w->fd);
	close(w->listener);
	unlink(w->path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void answer(const struct world *w, const char *text)
{
	struct gr_agent_head head = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_CONTROL, .n_body = (uint32_t)strlen(text) };
	char packet[256];

	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), text, strlen(text));
	assert_int_equal(send(w->fd, packet, sizeof(head) + strlen(text), 0), (int)(sizeof(head) + strlen(text)));
}

static void a_late_answer_is_not_the_next_ones(void **state)
{
	struct world *w = *state;
	struct gr_control_progress p = { 0 };
	struct gr_err err = { 0 };
	json_t *s = NULL;

	assert_int_equal(gr_control_progress(w->c, &p, &err), GR_ETIME);
	assert_int_equal(gr_control_progress(w->c, &p, &err), GR_ETIME);      /* at once: the first is owed still */
	answer(w, "{\"remote\": 1}");
	answer(w, "{\"remote\": 7}");
	assert_int_equal(gr_control_summary(w->c, &s, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(s, "remote")), 7);
	json_decref(s);
	answer(w, "{\"remote\": 8}");
	assert_int_equal(gr_control_progress(w->c, &p, &err), 0);
	assert_int_equal(p.remote, 8);
}

static void an_agent_that_went_away_is_said(void **state)
{
	struct world *w = *state;
	struct gr_control_progress p = { 0 };
	struct gr_err err = { 0 };

	assert_int_equal(gr_control_progress(w->c, &p, &err), GR_ETIME);
	shutdown(w->fd, SHUT_RDWR);
	assert_int_equal(gr_control_progress(w->c, &p, &err), GR_EUNREACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_late_answer_is_not_the_next_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_agent_that_went_away_is_said, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
