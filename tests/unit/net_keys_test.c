/* net_keys_test.c - key files, the allow list, endpoints */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/net/endpoint.h"
#include "lib/net/keys.h"

struct folder { char dir[64], key[96], allow[96]; };

static int set_up(void **state)
{
	struct folder *f = gr_xalloc(sizeof(*f));

	strcpy(f->dir, "/tmp/griddle-keys-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->key, sizeof(f->key), "%s/key", f->dir);
	snprintf(f->allow, sizeof(f->allow), "%s/allow", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct folder *f = *state;

	gr_rm_rf(f->dir);
	free(f);
	return 0;
}

static void put(const char *path, const char *text, mode_t mode)
{
	struct gr_err err;

	assert_int_equal(gr_file_replace(path, text, strlen(text), mode, false, &err), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_saved_key_loads_again_and_is_never_overwritten(void **state)
{
	struct folder *f = *state;
	struct gr_keypair a, b;
	struct gr_err err;
	struct stat st;

	assert_int_equal(gr_keypair_make(&a, &err), 0);
	assert_int_equal(gr_keypair_save(f->key, &a, &err), 0);
	assert_int_equal(stat(f->key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(gr_keypair_load(f->key, &b, &err), 0);
	assert_string_equal(a.public_key, b.public_key);
	assert_string_equal(a.secret_key, b.secret_key);
	assert_int_equal(gr_keypair_save(f->key, &a, &err), GR_EEXIST);
}

static void a_key_file_others_can_read_is_refused(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k;
	struct gr_err err;

	assert_int_equal(gr_keypair_make(&k, &err), 0);
	assert_int_equal(gr_keypair_save(f->key, &k, &err), 0);
	assert_int_equal(chmod(f->key, 0640), 0);
	assert_int_equal(gr_keypair_load(f->key, &k, &err), GR_EAUTH);
	assert_non_null(strstr(err.text, "chmod 600"));
}

/* As a Secret's volume shows it to a pod that is not root. */
static void a_key_file_of_root_may_be_readable_by_our_group(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k, back;
	struct gr_err err;
	gid_t gid = getegid();

	if (geteuid() != 0)
		skip();
	assert_int_equal(gr_keypair_make(&k, &err), 0);
	assert_int_equal(gr_keypair_save(f->key, &k, &err), 0);
	assert_int_equal(chown(f->key, 0, 65532), 0);
	assert_int_equal(chmod(f->key, 0440), 0);
	assert_int_equal(gr_keypair_load(f->key, &back, &err), GR_EAUTH);        /* not our group */
	assert_int_equal(setegid(65532), 0);
	assert_int_equal(gr_keypair_load(f->key, &back, &err), 0);
	assert_string_equal(back.public_key, k.public_key);
	assert_int_equal(chmod(f->key, 0460), 0);
	assert_int_equal(gr_keypair_load(f->key, &back, &err), GR_EAUTH);
	assert_int_equal(chmod(f->key, 0444), 0);
	assert_int_equal(gr_keypair_load(f->key, &back, &err), GR_EAUTH);
	assert_int_equal(chmod(f->key, 0440), 0);
	assert_int_equal(chown(f->key, 65532, 65532), 0);
	assert_int_equal(gr_keypair_load(f->key, &back, &err), GR_EAUTH);
	assert_int_equal(setegid(gid), 0);
}

static void a_damaged_key_file_is_refused(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k, other;
	struct gr_err err;
	char text[256];

	put(f->key, "", 0600);
	assert_int_equal(gr_keypair_load(f->key, &k, &err), GR_ECONFIG);
	put(f->key, "public abc\nsecret def\n", 0600);
	assert_int_equal(gr_keypair_load(f->key, &k, &err), GR_ECONFIG);
	assert_int_equal(gr_keypair_make(&k, &err), 0);
	assert_int_equal(gr_keypair_make(&other, &err), 0);
	snprintf(text, sizeof(text), "public %s\nsecret %s\n", k.public_key, other.secret_key);
	put(f->key, text, 0600);
	assert_int_equal(gr_keypair_load(f->key, &k, &err), GR_ECONFIG);
	assert_non_null(strstr(err.text, "do not belong together"));
	assert_int_equal(gr_keypair_load("/nonexistent/key", &k, &err), GR_ENOENT);
}

static void a_secrets_value_is_decoded_or_refused(void **state)
{
	static const char *const bad[] = { "", "YQ", "YQ=", "Y*==", "YQ==YQ=", "\xff\xff\xff\xff" };
	struct gr_buf b = { 0 };
	struct gr_err err = { 0 };
	json_t *s;

	(void)state;
	s = json_pack("{s:{s:s, s:s, s:s, s:i}}", "data", "one", "YQ==", "two", "YWI=", "three", "YWJj", "number", 7);
	assert_int_equal(gr_secret_value(s, "one", &b, &err), 0);
	assert_string_equal(gr_buf_str(&b), "a");
	assert_int_equal(gr_secret_value(s, "two", &b, &err), 0);
	assert_string_equal(gr_buf_str(&b), "ab");
	assert_int_equal(gr_secret_value(s, "three", &b, &err), 0);
	assert_string_equal(gr_buf_str(&b), "abc");
	assert_int_equal(gr_secret_value(s, "number", &b, &err), GR_ECONFIG);
	assert_int_equal(gr_secret_value(s, "none", &b, &err), GR_ECONFIG);
	assert_non_null(strstr(err.text, "\"none\""));
	json_decref(s);
	for (size_t i = 0; i < GR_LEN(bad); i++) {
		json_t *data = json_object();

		json_object_set_new(data, "x", json_string_nocheck(bad[i]));
		s = json_pack("{s:o}", "data", data);
		assert_int_equal(gr_secret_value(s, "x", &b, &err), GR_ECONFIG);
		json_decref(s);
	}
	gr_buf_fini(&b);
}

static void the_list_gives_roles_and_name_and_follows_the_file(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k;
	struct gr_allow *a;
	struct gr_err err;
	char name[64];

	assert_int_equal(gr_keypair_make(&k, &err), 0);
	a = gr_allow_open(f->allow, &err);
	assert_non_null(a);
	assert_int_equal(gr_allow_find(a, k.public_key, name), 0);
	assert_int_equal(gr_allow_add(f->allow, k.public_key, GR_ROLE_CLIENT | GR_ROLE_ADMIN, "anna", &err), 0);
	assert_int_equal(gr_allow_find(a, k.public_key, name), GR_ROLE_CLIENT | GR_ROLE_ADMIN);
	assert_string_equal(name, "anna");
	assert_int_equal(unlink(f->allow), 0);
	assert_int_equal(gr_allow_find(a, k.public_key, name), 0);
	gr_allow_free(&a);
}

static void comments_and_bad_lines_authorise_nobody(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k[4];
	struct gr_allow *a;
	struct gr_err err;
	char name[64], text[1024];

	for (int i = 0; i < 4; i++)
		assert_int_equal(gr_keypair_make(&k[i], &err), 0);
	snprintf(text, sizeof(text),
		 "# people\n\n#%s client out\n# %s client out\n%s king bad\n%s worker   # no name\r\nshort client x\n%s client last",
		 k[0].public_key, k[0].public_key, k[1].public_key, k[2].public_key, k[3].public_key);
	put(f->allow, text, 0600);
	a = gr_allow_open(f->allow, &err);
	assert_int_equal(gr_allow_find(a, k[0].public_key, name), 0);
	assert_int_equal(gr_allow_find(a, k[1].public_key, name), 0);
	assert_int_equal(gr_allow_find(a, k[2].public_key, name), GR_ROLE_WORKER);
	assert_int_equal(gr_allow_find(a, k[3].public_key, name), GR_ROLE_CLIENT);
	/* The last line had no end: the next one is still a line of its own. */
	assert_int_equal(gr_allow_add(f->allow, k[0].public_key, GR_ROLE_WORKER, "back", &err), 0);
	assert_int_equal(gr_allow_find(a, k[0].public_key, name), GR_ROLE_WORKER);
	assert_int_equal(gr_allow_find(a, k[3].public_key, name), GR_ROLE_CLIENT);
	gr_allow_free(&a);
}

static void a_list_anyone_may_write_is_not_believed(void **state)
{
	struct folder *f = *state;
	struct gr_err err;

	put(f->allow, "", 0666);
	assert_null(gr_allow_open(f->allow, &err));
	assert_int_equal(err.code, GR_EAUTH);
}

static void bad_additions_are_refused(void **state)
{
	struct folder *f = *state;
	struct gr_keypair k;
	struct gr_err err;

	assert_int_equal(gr_keypair_make(&k, &err), 0);
	assert_int_equal(gr_allow_add(f->allow, "nokey", GR_ROLE_CLIENT, "x", &err), GR_EINVAL);
	assert_int_equal(gr_allow_add(f->allow, k.public_key, 0, "x", &err), GR_EINVAL);
	assert_int_equal(gr_allow_add(f->allow, k.public_key, GR_ROLE_CLIENT, "two words", &err), GR_EINVAL);
	assert_int_equal(gr_allow_add(f->allow, k.public_key, GR_ROLE_CLIENT, "a\nb", &err), GR_EINVAL);
	assert_int_equal(access(f->allow, F_OK), -1);
}

static void endpoints_are_taken_apart(void **state)
{
	static const struct { const char *text; bool is_bind; int rc; bool is_loopback; const char *host; unsigned port; } t[] = {
		{ "tcp://127.0.0.1:7420", false, 0, true, "127.0.0.1", 7420 },
		{ "tcp://127.9.9.9:1", false, 0, true, "127.9.9.9", 1 },
		{ "tcp://localhost:65535", false, 0, true, "localhost", 65535 },
		{ "tcp://[::1]:80", false, 0, true, "::1", 80 },
		{ "tcp://[::ffff:127.0.0.1]:80", false, 0, true, "::ffff:127.0.0.1", 80 },
		{ "tcp://[2001:db8::1]:80", false, 0, false, "2001:db8::1", 80 },
		{ "tcp://128.0.0.1:80", false, 0, false, "128.0.0.1", 80 },
		{ "tcp://localhost.example.org:80", false, 0, false, "localhost.example.org", 80 },
		{ "tcp://127.0.0.1.example.org:80", false, 0, false, "127.0.0.1.example.org", 80 },
		{ "tcp://*:0", true, 0, false, "*", 0 },
		{ "ipc:///run/x.sock", false, 0, true, "/run/x.sock", 0 },
		{ "tcp://*:80", false, GR_EINVAL, false, "", 0 },
		{ "tcp://127.0.0.1:0", false, GR_EINVAL, false, "", 0 },
		{ "tcp://127.0.0.1:65536", false, GR_EINVAL, false, "", 0 },
		{ "tcp://127.0.0.1", false, GR_EINVAL, false, "", 0 },
		{ "tcp://127.0.0.1:", false, GR_EINVAL, false, "", 0 },
		{ "tcp://:80", false, GR_EINVAL, false, "", 0 },
		{ "tcp://[::1:80", false, GR_EINVAL, false, "", 0 },
		{ "tcp://[zz]:80", false, GR_EINVAL, false, "", 0 },
		{ "tcp://10.0.0.1:1;127.0.0.1:80", false, GR_EINVAL, false, "", 0 },
		{ "ipc://", false, GR_EINVAL, false, "", 0 },
		{ "udp://127.0.0.1:1", false, GR_EINVAL, false, "", 0 },
		{ "", false, GR_EINVAL, false, "", 0 },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		struct gr_err err = { 0 };
		struct gr_endpoint e;
		int rc = gr_endpoint_parse(t[i].text, t[i].is_bind, &e, &err);

		if (rc != t[i].rc)
			fail_msg("%s: %s", t[i].text, err.text);
		if (rc < 0)
			continue;
		if (e.is_loopback != t[i].is_loopback || strcmp(e.host, t[i].host) || e.port != t[i].port)
			fail_msg("%s: host %s port %u", t[i].text, e.host, e.port);
	}
}

static void peer_addresses_of_this_machine_are_known(void **state)
{
	assert_true(gr_address_is_loopback("127.0.0.1"));
	assert_true(gr_address_is_loopback("::1"));
	assert_true(gr_address_is_loopback("::ffff:127.0.0.1"));
	assert_true(gr_address_is_loopback("localhost:0:0:123"));
	assert_true(gr_address_is_loopback(""));
	assert_false(gr_address_is_loopback("10.0.0.1"));
	assert_false(gr_address_is_loopback("::ffff:10.0.0.1"));
	assert_false(gr_address_is_loopback("fe80::1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_saved_key_loads_again_and_is_never_overwritten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_key_file_others_can_read_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_key_file_of_root_may_be_readable_by_our_group, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_key_file_is_refused, set_up, tear_down),
		cmocka_unit_test(a_secrets_value_is_decoded_or_refused),
		cmocka_unit_test_setup_teardown(the_list_gives_roles_and_name_and_follows_the_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(comments_and_bad_lines_authorise_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_list_anyone_may_write_is_not_believed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_additions_are_refused, set_up, tear_down),
		cmocka_unit_test(endpoints_are_taken_apart),
		cmocka_unit_test(peer_addresses_of_this_machine_are_known),
	};

	gr_log_init("net_keys_test", GR_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
