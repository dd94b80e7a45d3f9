/* The agent's session log: ids, changed facts, resending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "client/agent/session.h"

static struct gr_rng rng = { 42 };

struct sink {
	uint32_t next, n_frames;
	int fail_at;
};

static int take_log(void *ctx, struct gr_buf *frame)
{
	struct sink *s = ctx;
	struct gr_slice body;
	struct gr_log_msg m;

	if (s->fail_at >= 0 && (int)s->n_frames == s->fail_at)
		return GR_EUNREACH;
	assert_int_equal(gr_frame_open(gr_buf_slice(frame), &body), GR_MSG_LOG);
	assert_int_equal(gr_log_decode(body, &m), 0);
	assert_int_equal(m.first, s->next);
	s->next += m.n;
	s->n_frames++;
	return 0;
}

static struct gr_fact reg(const char *path, uint8_t content)
{
	struct gr_fact f = { .path = gr_slice_str(path), .kind = GR_FILE_REG, .size = content };

	f.digest.b[0] = content;
	return f;
}

static void the_same_string_has_one_id(void **state)
{
	struct gr_session *s = gr_session_new(&rng);

	assert_int_equal(gr_session_str(s, gr_slice_str("-c")), 0);
	assert_int_equal(gr_session_str(s, gr_slice_str("-O2")), 1);
	assert_int_equal(gr_session_str(s, gr_slice_str("-c")), 0);
	assert_int_equal(gr_session_str(s, gr_slice_str("")), 2);
	assert_int_equal(gr_session_n_records(s), 3);
	gr_session_free(&s);
}

static void a_string_over_the_limit_has_none(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_buf b = { 0 };

	gr_buf_reserve(&b, GR_WIRE_MAX_STR_BYTES + 1);
	b.n = GR_WIRE_MAX_STR_BYTES + 1;
	assert_int_equal(gr_session_str(s, gr_buf_slice(&b)), GR_SESSION_NO_ID);
	gr_buf_fini(&b);
	gr_session_free(&s);
}

static void a_changed_file_is_a_new_record_for_the_same_path(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_fact f = reg("/a/b.h", 1), g = reg("/a/b.h", 2);
	uint32_t first = gr_session_fact(s, &f), second;

	assert_int_equal(gr_session_fact(s, &f), first);
	second = gr_session_fact(s, &g);
	assert_int_equal(second, first + 1);
	assert_int_equal(gr_session_fact(s, &f), second + 1);
	gr_session_free(&s);
}

static void a_path_that_goes_away_is_told(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_fact f = reg("/a/b.h", 1);

	gr_session_fact(s, &f);
	assert_true(gr_session_knows(s, gr_slice_str("/a/b.h")));
	assert_false(gr_session_knows(s, gr_slice_str("/a/c.h")));
	f.kind = GR_FILE_ABSENT;
	assert_int_not_equal(gr_session_fact(s, &f), GR_SESSION_NO_ID);
	gr_session_free(&s);
}

static void a_link_that_points_elsewhere_is_a_new_record(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_fact f = { .path = gr_slice_str("/l"), .kind = GR_FILE_LINK, .target = gr_slice_str("a") };
	uint32_t first = gr_session_fact(s, &f);

	assert_int_equal(gr_session_fact(s, &f), first);
	f.target = gr_slice_str("b");
	assert_int_not_equal(gr_session_fact(s, &f), first);
	gr_session_free(&s);
}

static void an_unsafe_path_has_no_record(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_fact f = reg("/a/../b", 1), g = reg("b", 1);

	assert_int_equal(gr_session_fact(s, &f), GR_SESSION_NO_ID);
	assert_int_equal(gr_session_fact(s, &g), GR_SESSION_NO_ID);
	gr_session_free(&s);
}

static void content_is_found_at_the_path_that_had_it_last(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct gr_fact f = reg("/a", 7), g = reg("/b", 7);
	struct gr_digest unknown = { { 9 } };

	gr_session_fact(s, &f);
	gr_session_fact(s, &g);
	assert_true(gr_slice_is(gr_session_path_of(s, &f.digest), "/b"));
	assert_int_equal(gr_session_path_of(s, &unknown).n, 0);
	gr_session_free(&s);
}

static void the_log_is_sent_once_and_again_from_where_the_other_side_is(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct sink sink = { .fail_at = -1 };
	char text[32];
	int i;

	for (i = 0; i < 40000; i++) {
		snprintf(text, sizeof(text), "word %d", i);
		gr_session_str(s, gr_slice_str(text));
	}
	assert_int_equal(gr_session_flush(s, take_log, &sink), 0);
	assert_int_equal(sink.next, 40000);
	assert_true(sink.n_frames >= 3);
	assert_int_equal(gr_session_flush(s, take_log, &sink), 0);
	assert_int_equal(sink.next, 40000);
	assert_true(gr_session_rewind(s, 10));
	sink = (struct sink){ .next = 10, .fail_at = -1 };
	assert_int_equal(gr_session_flush(s, take_log, &sink), 0);
	assert_int_equal(sink.next, 40000);
	assert_false(gr_session_rewind(s, 40001));
	gr_session_free(&s);
}

static void what_could_not_be_sent_is_sent_next_time(void **state)
{
	struct gr_session *s = gr_session_new(&rng);
	struct sink sink = { .fail_at = 1 };
	char text[32];
	int i;

	for (i = 0; i < 40000; i++) {
		snprintf(text, sizeof(text), "word %d", i);
		gr_session_str(s, gr_slice_str(text));
	}
	assert_int_equal(gr_session_flush(s, take_log, &sink), GR_EUNREACH);
	assert_true(sink.next > 0 && sink.next < 40000);
	sink.fail_at = -1;
	assert_int_equal(gr_session_flush(s, take_log, &sink), 0);
	assert_int_equal(sink.next, 40000);
	gr_session_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_string_has_one_id),
		cmocka_unit_test(a_string_over_the_limit_has_none),
		cmocka_unit_test(a_changed_file_is_a_new_record_for_the_same_path),
		cmocka_unit_test(a_path_that_goes_away_is_told),
		cmocka_unit_test(a_link_that_points_elsewhere_is_a_new_record),
		cmocka_unit_test(an_unsafe_path_has_no_record),
		cmocka_unit_test(content_is_found_at_the_path_that_had_it_last),
		cmocka_unit_test(the_log_is_sent_once_and_again_from_where_the_other_side_is),
		cmocka_unit_test(what_could_not_be_sent_is_sent_next_time),
	};
	return cmocka_run_group_tests_name("agent_session", tests, NULL, NULL);
}
