/* net_curve_test.c - the same with keys: who gets in, as what, and what the others are told */
#include "tests/unit/net_fixture.h"

#include <unistd.h>

static const struct gr_server_config quick = { .heartbeat_ms = 50, .dead_ms = 10000 };

struct curve {
	struct world w;
	struct gr_keypair server, client, worker, stranger;
	struct gr_allow *allow;
	struct gr_server_config cfg;
	char dir[64], path[96];
};

static int set_up(void **state)
{
	struct curve *c = gr_xalloc(sizeof(*c));
	struct gr_err err;

	strcpy(c->dir, "/tmp/griddle-curve-XXXXXX");
	if (!mkdtemp(c->dir))
		return -1;
	snprintf(c->path, sizeof(c->path), "%s/allow", c->dir);
	if (gr_keypair_make(&c->server, &err) < 0 || gr_keypair_make(&c->client, &err) < 0 ||
	    gr_keypair_make(&c->worker, &err) < 0 || gr_keypair_make(&c->stranger, &err) < 0)
		return -1;
	if (gr_allow_add(c->path, c->client.public_key, GR_ROLE_CLIENT | GR_ROLE_ADMIN, "anna", &err) < 0 ||
	    gr_allow_add(c->path, c->worker.public_key, GR_ROLE_WORKER, "rack-1", &err) < 0)
		return -1;
	c->allow = gr_allow_open(c->path, &err);
	c->cfg = quick;
	c->cfg.keys = &c->server;
	c->cfg.allow = c->allow;
	fx_open(&c->w, "tcp://127.0.0.1:0", &c->cfg);
	*state = c;
	return 0;
}

static int tear_down(void **state)
{
	struct curve *c = *state;

	fx_close(&c->w);
	gr_allow_free(&c->allow);
	unlink(c->path);
	rmdir(c->dir);
	free(c);
	return 0;
}

static void a_listed_key_gets_in_under_its_name(void **state)
{
	struct curve *c = *state;
	struct seen_link cl = { .role = GR_ROLE_CLIENT, .name = "laptop" }, wk = { .role = GR_ROLE_WORKER, .name = "w-1" };

	fx_link(&c->w, &cl, &c->client, c->server.public_key);
	RUN_UNTIL(&c->w, cl.n_up == 1 && c->w.peer);
	assert_string_equal(gr_peer_key_name(c->w.peer), "anna");
	assert_string_equal(gr_peer_name(c->w.peer), "laptop");
	fx_link(&c->w, &wk, &c->worker, c->server.public_key);
	RUN_UNTIL(&c->w, wk.n_up == 1 && c->w.n_hello == 2);
	assert_string_equal(gr_peer_key_name(c->w.peer), "rack-1");
	gr_link_close(&cl.link);
	gr_link_close(&wk.link);
}

static void an_unknown_key_is_told_so(void **state)
{
	struct curve *c = *state;
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "x" };

	fx_link(&c->w, &s, &c->stranger, c->server.public_key);
	RUN_UNTIL(&c->w, s.n_down == 1);
	assert_int_equal(s.code, GR_EAUTH);
	assert_string_equal(s.why, "key not authorised");          /* who asked names the endpoint */
	assert_int_equal(c->w.n_hello, 0);
	gr_link_close(&s.link);
}

static void a_key_is_held_to_its_role(void **state)
{
	struct curve *c = *state;
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "x" };

	fx_link(&c->w, &s, &c->client, c->server.public_key);
	RUN_UNTIL(&c->w, s.n_down == 1);
	assert_int_equal(s.code, GR_EROLE);
	assert_non_null(strstr(s.why, "\"anna\" is not allowed as worker"));
	assert_int_equal(c->w.n_hello, 0);
	gr_link_close(&s.link);
}

static void a_link_without_keys_is_told_what_it_lacks(void **state)
{
	struct curve *c = *state;
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "x" };

	fx_link(&c->w, &s, NULL, NULL);
	RUN_UNTIL(&c->w, s.n_down == 1);
	assert_int_equal(s.code, GR_EAUTH);
	assert_non_null(strstr(s.why, "encryption"));
	gr_link_close(&s.link);
}

static void a_link_with_keys_does_not_talk_to_a_plain_server(void **state)
{
	struct curve *c = *state;
	struct world plain = { 0 };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "x" };

	fx_open(&plain, "tcp://127.0.0.1:0", &quick);
	fx_link(&plain, &s, &c->client, c->server.public_key);
	RUN_UNTIL(&plain, s.n_down == 1);
	assert_int_equal(s.code, GR_EAUTH);
	assert_non_null(strstr(s.why, "no keys"));
	assert_int_equal(plain.n_hello, 0);
	gr_link_close(&s.link);
	fx_close(&plain);
}

static void a_server_with_another_key_is_not_believed(void **state)
{
	struct curve *c = *state;
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "x" };

	fx_link(&c->w, &s, &c->client, c->stranger.public_key);
	RUN_UNTIL(&c->w, s.n_down == 1);
	assert_int_equal(s.n_up, 0);
	assert_non_null(strstr(s.why, "server key"));
	gr_link_close(&s.link);
}

static void a_key_that_is_added_gets_in_without_a_restart(void **state)
{
	struct curve *c = *state;
	struct seen_link before = { .role = GR_ROLE_WORKER, .name = "x" }, after = before;
	struct gr_err err;

	fx_link(&c->w, &before, &c->stranger, c->server.public_key);
	RUN_UNTIL(&c->w, before.n_down == 1);
	gr_link_close(&before.link);
	assert_int_equal(gr_allow_add(c->path, c->stranger.public_key, GR_ROLE_WORKER, "new", &err), 0);
	fx_link(&c->w, &after, &c->stranger, c->server.public_key);
	RUN_UNTIL(&c->w, after.n_up == 1);
	gr_link_close(&after.link);
}

static void a_key_that_is_taken_off_the_list_is_dropped(void **state)
{
	struct curve *c = *state;
	struct seen_link gone = { .role = GR_ROLE_WORKER, .name = "x" }, stays = { .role = GR_ROLE_CLIENT, .name = "y" };
	struct gr_err err;
	FILE *f;

	fx_link(&c->w, &gone, &c->worker, c->server.public_key);
	fx_link(&c->w, &stays, &c->client, c->server.public_key);
	RUN_UNTIL(&c->w, gone.n_up == 1 && stays.n_up == 1);
	f = fopen(c->path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(gr_allow_add(c->path, c->client.public_key, GR_ROLE_CLIENT, "anna", &err), 0);
	RUN_UNTIL(&c->w, gone.n_down == 1);
	assert_int_equal(gone.code, GR_EAUTH);
	assert_int_equal(c->w.n_gone, 1);
	assert_string_equal(c->w.gone_name, "x");
	assert_int_equal(stays.n_down, 0);
	gr_link_close(&gone.link);
	gr_link_close(&stays.link);
}

static void a_stranger_does_not_disturb_the_others(void **state)
{
	struct curve *c = *state;
	struct seen_link good = { .role = GR_ROLE_WORKER, .name = "good" }, bad[8];
	struct gr_buf f = { 0 };

	fx_link(&c->w, &good, &c->worker, c->server.public_key);
	RUN_UNTIL(&c->w, good.n_up == 1);
	for (size_t i = 0; i < GR_LEN(bad); i++) {
		bad[i] = (struct seen_link){ .role = GR_ROLE_WORKER, .name = "bad" };
		fx_link(&c->w, &bad[i], &c->stranger, c->server.public_key);
	}
	for (size_t i = 0; i < GR_LEN(bad); i++)
		RUN_UNTIL(&c->w, bad[i].n_down >= 1);
	gr_drain_encode(&f, 1);
	assert_int_equal(gr_link_send(good.link, &f), 0);
	RUN_UNTIL(&c->w, c->w.n_msgs == 1);
	assert_int_equal(good.n_down, 0);
	for (size_t i = 0; i < GR_LEN(bad); i++)
		gr_link_close(&bad[i].link);
	gr_link_close(&good.link);
}

static void a_result_of_the_largest_size_travels(void **state)
{
	struct curve *c = *state;
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "big" };
	struct gr_buf f = { 0 };
	size_t at;

	fx_link(&c->w, &s, &c->worker, c->server.public_key);
	RUN_UNTIL(&c->w, s.n_up == 1);
	at = gr_frame_begin(&f, GR_MSG_RESULT);
	gr_buf_reserve(&f, GR_WIRE_MAX_FRAME_BYTES);
	memset(f.p + f.n, 3, GR_WIRE_MAX_FRAME_BYTES);
	f.n += GR_WIRE_MAX_FRAME_BYTES;
	gr_frame_end(&f, at);
	assert_int_equal(gr_link_send(s.link, &f), 0);
	RUN_UNTIL(&c->w, c->w.n_msgs == 1);
	assert_int_equal(c->w.last_type, GR_MSG_RESULT);
	assert_int_equal(s.n_down, 0);
	gr_link_close(&s.link);
}

static void keys_without_a_list_do_not_bind(void **state)
{
	struct curve *c = *state;
	struct gr_server_config cfg = { .keys = &c->server };
	struct gr_server *s = gr_server_new(c->w.loop, &cfg, &fx_server_ops, &c->w);
	struct gr_err err;

	assert_int_equal(gr_server_bind(s, "tcp://127.0.0.1:0", NULL, &err), GR_EAUTH);
	gr_server_close(&s);
}

static void the_handler_is_there_before_a_second_server_could_do_without(void **state)
{
	struct curve *c = *state;
	struct gr_server *s = gr_server_new(c->w.loop, &c->cfg, &fx_server_ops, &c->w);
	struct gr_err err;

	assert_int_equal(gr_server_bind(s, "tcp://127.0.0.1:0", NULL, &err), GR_EEXIST);
	gr_server_close(&s);
}

#define CURVE_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CURVE_TEST(a_listed_key_gets_in_under_its_name),
		CURVE_TEST(an_unknown_key_is_told_so),
		CURVE_TEST(a_key_is_held_to_its_role),
		CURVE_TEST(a_link_without_keys_is_told_what_it_lacks),
		CURVE_TEST(a_link_with_keys_does_not_talk_to_a_plain_server),
		CURVE_TEST(a_server_with_another_key_is_not_believed),
		CURVE_TEST(a_key_that_is_added_gets_in_without_a_restart),
		CURVE_TEST(a_key_that_is_taken_off_the_list_is_dropped),
		CURVE_TEST(a_stranger_does_not_disturb_the_others),
		CURVE_TEST(a_result_of_the_largest_size_travels),
		CURVE_TEST(keys_without_a_list_do_not_bind),
		CURVE_TEST(the_handler_is_there_before_a_second_server_could_do_without),
	};

	gr_log_init("net_curve_test", GR_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
