/* coord_files_test.c - files on their way from clients to workers */
#include "tests/unit/coord_fixture.h"

static void send_need(struct fake *wk, const char *content)
{
	struct gr_buf b = { 0 };
	struct gr_digest d;

	digest_of(content, &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	send_frame(wk, &b);
}

static void send_blob(struct fake *cl, const char *name, const char *content, uint64_t total)
{
	struct gr_blob_msg m = { .session = SESSION, .total = total, .raw_n = (uint32_t)strlen(content),
				 .data = gr_slice_str(content) };
	struct gr_buf b = { 0 };

	digest_of(name, &m.digest);
	gr_blob_encode(&b, &m);
	send_frame(cl, &b);
}

static void a_file_two_workers_need_is_fetched_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2 = worker(w, "w2");
	struct gr_blob_msg m;

	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_need(w2, "int a;");
	settle(cl);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(w1, GR_MSG_BLOB) == 1 && count(w2, GR_MSG_BLOB) == 1);
	assert_int_equal(gr_blob_decode(nth(w2, GR_MSG_BLOB, 0), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
	send_need(w1, "int a;");                       /* now from the cache */
	UNTIL(w, count(w1, GR_MSG_BLOB) == 2);
	assert_int_equal(count(cl, GR_MSG_FETCH), 1);
}

static void a_file_damaged_in_the_cache_is_fetched_anew(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	char hex[GR_DIGEST_HEX], path[256];
	struct gr_blob_msg m;
	struct gr_digest d;
	FILE *f;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(wk, GR_MSG_BLOB) == 1);
	digest_of("int a;", &d);
	gr_digest_hex(&d, hex);
	snprintf(path, sizeof(path), "%s/cas/%.2s/%s", w->dir, hex, hex + 2);
	assert_int_equal(unlink(path), 0);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("int z;", f);
	fclose(f);
	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 2);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(wk, GR_MSG_BLOB) == 2);
	assert_int_equal(gr_blob_decode(nth(wk, GR_MSG_BLOB, 1), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
}

static void a_file_the_cache_cannot_take_is_passed_on(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1");
	struct gr_blob_msg m;
	char path[96];

	snprintf(path, sizeof(path), "%s/cas", w->dir);
	gr_rm_rf(path);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int b;", 6);              /* what is wrong stays wrong */
	UNTIL(w, count(w1, GR_MSG_MISSING) == 1);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 2);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(w1, GR_MSG_BLOB) == 1);
	assert_int_equal(gr_blob_decode(nth(w1, GR_MSG_BLOB, 0), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
}

static void a_file_the_log_does_not_name_is_missing(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_need(wk, "somebody's secret");
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
	assert_int_equal(count(cl, GR_MSG_FETCH), 0);
}

static void a_file_with_other_content_is_missing_and_not_kept(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_digest d;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int b;", 6);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
	digest_of("int a;", &d);
	assert_false(gr_cas_has(w->c.cas, &d));
	assert_int_equal(w->c.m.blobs_corrupt, 1);
	assert_true(cl->is_up);
}

static void what_the_client_has_no_more_is_missing(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_buf b = { 0 };
	struct gr_digest d;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_MISSING, SESSION, &d, 1);
	send_frame(cl, &b);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
}

static void a_piece_that_does_not_fit_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int a;", 600000);
	UNTIL(w, cl->n_down == 1);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
}

static void a_compressed_bomb_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_blob_msg m = { .session = SESSION, .total = 6, .enc = GR_ENC_ZLIB, .raw_n = 6 };
	struct gr_buf zeros = { 0 }, packed = { 0 }, b = { 0 };

	gr_buf_reserve(&zeros, 1 << 20);
	memset(zeros.p, 0, 1 << 20);
	zeros.n = 1 << 20;
	assert_int_equal(gr_pack(gr_buf_slice(&zeros), &packed), GR_ENC_ZLIB);
	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &m.digest);
	m.data = gr_buf_slice(&packed);
	gr_blob_encode(&b, &m);
	send_frame(cl, &b);
	UNTIL(w, cl->n_down == 1);
	gr_buf_fini(&zeros);
	gr_buf_fini(&packed);
}

static void a_file_two_clients_have_comes_from_the_one_that_stays(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2 = worker(w, "w2"), *other = client(w, "other");
	struct gr_log_msg m = { .session = SESSION + 1, .n = 6 };
	struct gr_buf b = { 0 };
	struct gr_digest d;

	open_session(other, SESSION + 1);
	m.bytes = gr_buf_slice(&w->log);
	gr_log_encode(&b, &m);
	send_frame(other, &b);
	settle(other);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION + 1, &d, 1);
	send_frame(w2, &b);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION + 1, &d, 1);      /* asking again changes nothing */
	send_frame(w2, &b);
	send_result(w2, 99, 1, GR_OUTCOME_DONE);                     /* answered behind both */
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(count(other, GR_MSG_FETCH), 0);
	leave(cl);
	UNTIL(w, count(other, GR_MSG_FETCH) == 1 && count(w1, GR_MSG_MISSING) == 1);
	send_blob(other, "int a;", "int a;", 6);
	UNTIL(w, count(w2, GR_MSG_BLOB) == 1);
	assert_int_equal(count(w2, GR_MSG_MISSING), 0);
}

static void a_file_in_pieces_arrives_whole(void **state)
{
	struct world *w = *state;
	struct fake *cl, *wk;
	struct gr_record r = { .tag = GR_RECORD_STR };
	const size_t size = GR_WIRE_CHUNK_BYTES * 2 + 777;
	struct gr_buf content = { 0 }, b = { 0 }, got = { 0 };
	struct gr_digest d;

	start(w, NULL);
	cl = client(w, "agent");
	wk = worker(w, "w1");
	open_session(cl, SESSION);
	gr_buf_reserve(&content, size);
	for (size_t i = 0; i < size; i++)
		content.p[i] = (uint8_t)(i * 31 + i / 4096);
	content.n = size;
	gr_sha256_of(content.p, content.n, &d);
	r.str = gr_slice_str("/src/big");
	gr_record_encode(&w->log, &r);
	r = (struct gr_record){ .tag = GR_RECORD_FILE, .path = 0, .kind = GR_FILE_REG, .size = size, .digest = d };
	gr_record_encode(&w->log, &r);
	send_log(cl, 0, 2, gr_buf_slice(&w->log));
	settle(cl);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	send_frame(wk, &b);
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	for (size_t at = 0; at < size; at += GR_WIRE_CHUNK_BYTES) {
		size_t n = size - at < GR_WIRE_CHUNK_BYTES ? size - at : GR_WIRE_CHUNK_BYTES;
		struct gr_blob_msg m = { .session = SESSION, .digest = d, .total = size, .offset = at, .raw_n = (uint32_t)n,
					 .data = gr_slice(content.p + at, n) };

		gr_blob_encode(&b, &m);
		send_frame(cl, &b);
	}
	UNTIL(w, count(wk, GR_MSG_BLOB) == 3);
	for (size_t i = 0; i < 3; i++) {
		struct gr_blob_msg m;

		assert_int_equal(gr_blob_decode(nth(wk, GR_MSG_BLOB, i), &m), 0);
		assert_int_equal(m.offset, got.n);
		gr_buf_add(&got, m.data.p, m.data.n);
	}
	assert_true(gr_slice_eq(gr_buf_slice(&got), gr_buf_slice(&content)));
	gr_buf_fini(&content);
	gr_buf_fini(&got);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_file_two_workers_need_is_fetched_once),
		T(a_file_damaged_in_the_cache_is_fetched_anew),
		T(a_file_the_cache_cannot_take_is_passed_on),
		T(a_file_the_log_does_not_name_is_missing),
		T(a_file_with_other_content_is_missing_and_not_kept),
		T(what_the_client_has_no_more_is_missing),
		T(a_piece_that_does_not_fit_drops_the_client),
		T(a_compressed_bomb_drops_the_client),
		T(a_file_two_clients_have_comes_from_the_one_that_stays),
		T(a_file_in_pieces_arrives_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
