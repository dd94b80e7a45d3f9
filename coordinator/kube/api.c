/* api.c - see api.h
 *
 * libcurl says which sockets to watch for what and when it wants to be woken; each socket is one uv_poll. Its callbacks run
 * inside curl_multi_socket_action, where nothing may be begun or ended: ends are collected and told after it returned. A
 * request that fails before libcurl has it (no token) ends from a timer of no delay, as all ends come later.
 * Not used: HTTP/2, where a watch that is read slowly would share its window with the patches; proxies of the environment,
 * which hardly ever lead to the API server of one's own cluster. */
#include "coordinator/kube/api.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"

#define MAX_TOKEN (64u << 10)
#define MAX_ERROR_BODY (64u << 10)
#define CONNECT_MS 10000L

struct gr_kapi {
	struct gr_loop *loop;
	CURLM *multi;
	char *url, *ca, *token_path;
	struct gr_buf token;               /* "Authorization: Bearer ..." */
	struct stat token_stat;            /* of the file it was read from */
	struct gr_list reqs, ended;        /* struct gr_kreq.link; ended: to be told */
	struct gr_timer *timer, *due;
	int64_t skew_s;
	struct gr_kapi_stats stats;
};
struct gr_kreq {
	struct gr_list link;
	struct gr_kapi *api;
	struct gr_kcall call;
	CURL *easy;                        /* NULL: failed before it began */
	struct curl_slist *headers;
	char *json;
	struct gr_buf body, line;
	char error[CURL_ERROR_SIZE], own[96];    /* libcurl's words, and ours, which go before */
	int rc, status;
};
struct watched {                           /* a socket of libcurl's */
	uv_poll_t poll;
	struct gr_kapi *api;
	curl_socket_t fd;
};

/* ---- the token ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Reads it when the file is another one than last time. */
static int take_token(struct gr_kapi *a, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	struct stat st;
	int rc;

	if (stat(a->token_path, &st) < 0)
		return gr_err_set(err, GR_EAUTH, "%s: no token there", a->token_path);
	if (a->token.n && is_same_file(&st, &a->token_stat))
		return 0;
	rc = gr_file_read(a->token_path, MAX_TOKEN, &b, err);
	while (rc >= 0 && b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == ' '))
		b.n--;
	for (size_t i = 0; rc >= 0 && i < b.n; i++)
		if (b.p[i] <= ' ' || b.p[i] > '~')
			rc = gr_err_set(err, GR_EAUTH, "%s: that is no token", a->token_path);
	if (rc >= 0 && !b.n)
		rc = gr_err_set(err, GR_EAUTH, "%s: empty", a->token_path);
	if (rc >= 0) {
		gr_buf_clear(&a->token);
		gr_buf_printf(&a->token, "Authorization: Bearer %.*s", (int)b.n, (const char *)b.p);
		a->token_stat = st;
	}
	gr_buf_fini(&b);
	return rc < 0 ? GR_EAUTH : 0;
}

/* ---- ends ---- */

static void req_free(struct gr_kreq *r)
{
	gr_list_del(&r->link);
	if (r->easy) {
		curl_multi_remove_handle(r->api->multi, r->easy);
		curl_easy_cleanup(r->easy);
	}
	curl_slist_free_all(r->headers);
	gr_buf_fini(&r->body);
	gr_buf_fini(&r->line);
	free(r->json);
	free(r);
}

void gr_kreq_cancel(struct gr_kreq **r)
{
	if (*r)
		req_free(*r);
	*r = NULL;
}

static void explain(struct gr_kreq *r, char *out, size_t n_out)
{
	json_t *j = r->status >= 400 ? json_loadb((const char *)r->body.p, r->body.n, 0, NULL) : NULL;
	const char *said = json_string_value(json_object_get(j, "message"));

	if (r->status >= 400)
		snprintf(out, n_out, "%d%s%s", r->status, said ? ": " : "", said ? said : "");
	else
		snprintf(out, n_out, "%s", r->own[0] ? r->own : r->error[0] ? r->error : gr_err_text(r->rc));
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = ' ';
	json_decref(j);
}

/* What has ended is told, one after the other: what is told may begin and cancel others. */
static void tell_ended(struct gr_kapi *a)
{
	while (!gr_list_is_empty(&a->ended)) {
		struct gr_kreq *r = GR_CONTAINER(a->ended.next, struct gr_kreq, link);
		struct gr_kcall call = r->call;
		struct gr_list keep;
		struct gr_kanswer ans = { .rc = r->rc, .status = r->status, .body = gr_buf_slice(&r->body) };
		char why[512];

		if (r->rc < 0 || r->status >= 400) {
			a->stats.failed++;
			explain(r, why, sizeof(why));
			ans.why = why;
		}
		/* out of reach of whoever is told: it is over */
		gr_list_del(&r->link);
		gr_list_init(&keep);
		gr_list_push(&keep, &r->link);
		call.on_end(call.ctx, &ans);
		req_free(r);
	}
}

static int rc_of(const struct gr_kreq *r, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return GR_ETIME;
	case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CONNECT_ERROR: case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_CERTPROBLEM:
		return GR_EAUTH;
	case CURLE_WRITE_ERROR:
		return r->rc < 0 ? r->rc : GR_EPROTO;
	default:
		return GR_EUNREACH;
	}
}

static void take_ended(struct gr_kapi *a)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(a->multi, &left))) {
		CURLcode code = m->data.result;
		struct gr_kreq *r = NULL;
		long status = 0;
		char *said;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &said);
		r = (struct gr_kreq *)(void *)said;
		curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		r->status = (int)status;
		if (status == 401)
			gr_buf_clear(&a->token);         /* read anew, whatever the file's times say */
		if (r->rc < 0 && !r->error[0])
			snprintf(r->error, sizeof(r->error), "%s", gr_err_text(r->rc));
		r->rc = rc_of(r, code);
		if (!r->error[0] && r->rc < 0)
			snprintf(r->error, sizeof(r->error), "%s", curl_easy_strerror(code));
		gr_list_del(&r->link);
		gr_list_push(&a->ended, &r->link);
	}
	tell_ended(a);
}

/* ---- libcurl on the loop ---- */

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct watched *w = p->data;
	struct gr_kapi *a = w->api;
	int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0), n;

	curl_multi_socket_action(a->multi, w->fd, status < 0 ? CURL_CSELECT_ERR : flags, &n);
	take_ended(a);
}

static void on_timer(void *ctx)
{
	struct gr_kapi *a = ctx;
	int n;

	curl_multi_socket_action(a->multi, CURL_SOCKET_TIMEOUT, 0, &n);
	take_ended(a);
}

static void on_due(void *ctx)
{
	tell_ended(ctx);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct gr_kapi *a = ctx;
	struct watched *w = socket_ctx;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			uv_poll_stop(&w->poll);
			uv_close((uv_handle_t *)&w->poll, on_closed);
			curl_multi_assign(a->multi, fd, NULL);
		}
		return 0;
	}
	if (!w) {
		GR_NEW(w);
		w->api = a;
		w->fd = fd;
		if (uv_poll_init_socket(gr_loop_uv(a->loop), &w->poll, fd) < 0) {
			free(w);
			return -1;
		}
		w->poll.data = w;
		curl_multi_assign(a->multi, fd, w);
	}
	return uv_poll_start(&w->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), on_poll) < 0 ? -1 : 0;
}

static int timer_cb(CURLM *multi, long ms, void *ctx)
{
	struct gr_kapi *a = ctx;

	(void)multi;
	if (ms < 0) {
		gr_timer_clear(a->timer);
		return 0;
	}
	uv_update_time(gr_loop_uv(a->loop));     /* it counts from now */
	gr_timer_set(a->timer, (uint64_t)ms);
	return 0;
}

/* ---- answers ---- */

static int take_lines(struct gr_kreq *r, const char *p, size_t n)
{
	while (n) {
		const char *end = memchr(p, '\n', n);
		size_t k = end ? (size_t)(end - p) : n;
		int rc = 0;

		if (r->line.n + k > GR_KAPI_MAX_LINE) {
			snprintf(r->own, sizeof(r->own), "an event of more than %u bytes", GR_KAPI_MAX_LINE);
			return GR_ELIMIT;
		}
		if (end && !r->line.n) {
			rc = k ? r->call.on_line(r->call.ctx, gr_slice(p, k)) : 0;
		} else {
			gr_buf_add(&r->line, p, k);
			if (end) {
				rc = r->line.n ? r->call.on_line(r->call.ctx, gr_buf_slice(&r->line)) : 0;
				gr_buf_clear(&r->line);
			}
		}
		if (rc < 0)
			return rc;
		k += end != NULL;
		p += k;
		n -= k;
	}
	return 0;
}

static size_t on_write(char *p, size_t size, size_t n, void *ctx)
{
	struct gr_kreq *r = ctx;
	long status = 0;

	n *= size;
	r->api->stats.bytes_in += n;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		if (r->body.n + n <= MAX_ERROR_BODY)
			gr_buf_add(&r->body, p, n);
		return n;
	}
	if (r->call.on_line) {
		r->rc = take_lines(r, p, n);
	} else if (r->body.n + n > GR_KAPI_MAX_BODY) {
		snprintf(r->own, sizeof(r->own), "an answer of more than %u bytes", GR_KAPI_MAX_BODY);
		r->rc = GR_ELIMIT;
	} else {
		gr_buf_add(&r->body, p, n);
	}
	return r->rc < 0 ? 0 : n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct gr_kreq *r = ctx;
	char date[64];
	long status = 0;
	time_t at;

	n *= size;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (n <= 2 && status == 200 && r->call.on_head)
		r->call.on_head(r->call.ctx);
	if (n > 6 && n < sizeof(date) && !strncasecmp(p, "Date: ", 6)) {
		memcpy(date, p + 6, n - 6);
		date[n - 6] = 0;
		at = curl_getdate(date, NULL);
		if (at > 0)
			r->api->skew_s = (int64_t)at - (int64_t)(gr_clock_real_ms() / 1000);
	}
	return n;
}

/* ---- requests ---- */

static int set_up(struct gr_kreq *r, struct gr_err *err)
{
	struct gr_kapi *a = r->api;
	struct gr_buf url = { 0 };
	CURL *e;
	int rc = take_token(a, err);

	if (rc < 0)
		return rc;
	e = r->easy = curl_easy_init();
	if (!e)
		return gr_err_set(err, GR_ENOMEM, "libcurl cannot be set up");
	gr_buf_printf(&url, "%s%s", a->url, r->call.path);
	r->headers = curl_slist_append(r->headers, gr_buf_str(&a->token));
	r->headers = curl_slist_append(r->headers, "Accept: application/json");
	if (r->json)
		r->headers = curl_slist_append(r->headers, strcmp(r->call.method, "PATCH") ? "Content-Type: application/json" : "Content-Type: application/merge-patch+json");
	curl_easy_setopt(e, CURLOPT_URL, gr_buf_str(&url));
	gr_buf_fini(&url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_CAINFO, a->ca);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->call.method);
	if (r->json)
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->json);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "griddle-coordinator/" GR_VERSION);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->call.timeout_ms);
	/* a node that went without a word: the kernel finds out, not the end of the watch */
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (char *)r);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
	if (curl_multi_add_handle(a->multi, e) != CURLM_OK)
		return gr_err_set(err, GR_EIO, "libcurl takes no request");
	return 0;
}

struct gr_kreq *gr_kapi_send(struct gr_kapi *a, const struct gr_kcall *call)
{
	struct gr_err err = { 0 };
	struct gr_kreq *r;
	int rc;

	GR_NEW(r);
	r->api = a;
	r->call = *call;
	r->json = call->json ? gr_xstrdup(call->json) : NULL;
	gr_list_init(&r->link);
	a->stats.requests++;
	rc = set_up(r, &err);
	r->call.path = r->call.json = NULL;      /* borrowed for this call alone */
	if (rc >= 0) {
		gr_list_push(&a->reqs, &r->link);
		return r;
	}
	if (r->easy)
		curl_easy_cleanup(r->easy);
	r->easy = NULL;
	r->rc = rc;
	snprintf(r->error, sizeof(r->error), "%s", err.text);
	gr_list_push(&a->ended, &r->link);
	gr_timer_set(a->due, 0);
	return r;
}

struct gr_kapi *gr_kapi_new(struct gr_loop *loop, const char *url, const char *account)
{
	struct gr_buf path = { 0 };
	struct gr_kapi *a;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	GR_NEW(a);
	a->loop = loop;
	a->multi = curl_multi_init();
	if (!a->multi) {
		curl_global_cleanup();
		free(a);
		return NULL;
	}
	gr_list_init(&a->reqs);
	gr_list_init(&a->ended);
	a->url = gr_xstrdup(url);
	gr_buf_printf(&path, "%s/ca.crt", account);
	a->ca = gr_buf_take(&path, NULL);
	gr_buf_printf(&path, "%s/token", account);
	a->token_path = gr_buf_take(&path, NULL);
	a->timer = gr_timer_new(loop, on_timer, a);
	a->due = gr_timer_new(loop, on_due, a);
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETFUNCTION, socket_cb);
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETDATA, a);
	curl_multi_setopt(a->multi, CURLMOPT_TIMERFUNCTION, timer_cb);
	curl_multi_setopt(a->multi, CURLMOPT_TIMERDATA, a);
	return a;
}

void gr_kapi_free(struct gr_kapi **ap)
{
	struct gr_kapi *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	while (!gr_list_is_empty(&a->reqs))
		req_free(GR_CONTAINER(a->reqs.next, struct gr_kreq, link));
	while (!gr_list_is_empty(&a->ended))
		req_free(GR_CONTAINER(a->ended.next, struct gr_kreq, link));
	curl_multi_cleanup(a->multi);
	curl_global_cleanup();
	gr_timer_stop(&a->timer);
	gr_timer_stop(&a->due);
	gr_buf_fini(&a->token);
	free(a->url);
	free(a->ca);
	free(a->token_path);
	free(a);
}

int64_t gr_kapi_skew_s(const struct gr_kapi *a) { return a->skew_s; }
void gr_kapi_stats(const struct gr_kapi *a, struct gr_kapi_stats *out) { *out = a->stats; }

void gr_kapi_escape(struct gr_buf *b, const char *text)
{
	char *s = curl_easy_escape(NULL, text, 0);

	gr_buf_add_str(b, s ? s : "");
	curl_free(s);
}
