/* jar.c - cookies in one buffer: a record is a head, then name, value, domain and path behind each other */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/alloc.h"
#include "lib/load/jar.h"

struct head {
	int64_t until_s;                                 /* INT64_MAX: as long as the visit */
	uint32_t created, used;                          /* jar->ticks; created: at first, whatever it was replaced by */
	uint16_t n_name, n_value, n_domain, n_path;
	bool is_host_only, is_secure;
};
struct cookie {                                          /* a record, read; its slices point into the jar or into a field */
	struct head h;
	struct gr_slice name, value, domain, path;
	size_t at, n;                                    /* the record's place and size */
};

void gr_jar_clear(struct gr_jar *j)
{
	gr_buf_clear(&j->b);
	j->n = j->ticks = 0;
}

void gr_jar_fini(struct gr_jar *j)
{
	gr_buf_fini(&j->b);
	gr_jar_clear(j);
}

/* ---- records ---- */

static bool read_at(const struct gr_jar *j, size_t at, struct cookie *c)
{
	const uint8_t *p;

	if (at >= j->b.n)
		return false;
	p = j->b.p + at;
	memcpy(&c->h, p, sizeof(c->h));
	p += sizeof(c->h);
	c->name = gr_slice(p, c->h.n_name);
	c->value = gr_slice(c->name.p + c->name.n, c->h.n_value);
	c->domain = gr_slice(c->value.p + c->value.n, c->h.n_domain);
	c->path = gr_slice(c->domain.p + c->domain.n, c->h.n_path);
	c->at = at;
	c->n = sizeof(c->h) + c->name.n + c->value.n + c->domain.n + c->path.n;
	return true;
}

static void drop(struct gr_jar *j, const struct cookie *c)
{
	memmove(j->b.p + c->at, j->b.p + c->at + c->n, j->b.n - c->at - c->n);
	j->b.n -= c->n;
	j->n--;
}

static void drop_expired(struct gr_jar *j, int64_t now_s)
{
	struct cookie c;

	for (size_t at = 0; read_at(j, at, &c);) {
		if (c.h.until_s <= now_s)
			drop(j, &c);
		else
			at += c.n;
	}
}

static void add_slice(struct gr_buf *b, struct gr_slice s)
{
	if (s.n)
		gr_buf_add(b, s.p, s.n);
}

static void add(struct gr_jar *j, const struct cookie *c)
{
	struct head h = c->h;

	while (j->n >= GR_JAR_MAX_COOKIES || (j->n && j->b.n + sizeof(h) + GR_JAR_MAX_COOKIE_BYTES > GR_JAR_MAX_BYTES)) {
		struct cookie one, oldest = { 0 };

		for (size_t at = 0; read_at(j, at, &one); at += one.n)
			if (!at || one.h.used < oldest.h.used)
				oldest = one;
		drop(j, &oldest);
	}
	h.n_name = (uint16_t)c->name.n;
	h.n_value = (uint16_t)c->value.n;
	h.n_domain = (uint16_t)c->domain.n;
	h.n_path = (uint16_t)c->path.n;
	h.used = ++j->ticks;
	h.created = h.created ? h.created : h.used;
	gr_buf_add(&j->b, &h, sizeof(h));
	add_slice(&j->b, c->name);
	add_slice(&j->b, c->value);
	add_slice(&j->b, c->domain);
	add_slice(&j->b, c->path);
	j->n++;
}

/* ---- dates (5.1.1) ---- */

static bool is_delimiter(uint8_t c) { return c == 9 || (c >= 0x20 && c <= 0x2f) || (c >= 0x3b && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e); }

/* A number of @lo to @hi digits, and no digit behind them. */
static bool digits(const uint8_t **p, const uint8_t *end, int lo, int hi, int *v)
{
	int n = 0;

	for (*v = 0; *p < end && **p >= '0' && **p <= '9' && n <= hi; n++)
		*v = *v * 10 + *(*p)++ - '0';
	return n >= lo && n <= hi;
}

static bool clock_of(const uint8_t *p, const uint8_t *end, struct tm *tm)
{
	int h, m, s;

	if (!digits(&p, end, 1, 2, &h) || p == end || *p++ != ':' || !digits(&p, end, 1, 2, &m) || p == end || *p++ != ':' || !digits(&p, end, 1, 2, &s))
		return false;
	tm->tm_hour = h;
	tm->tm_min = m;
	tm->tm_sec = s;
	return true;
}

static int month_of(const uint8_t *p, size_t n)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (int i = 0; n >= 3 && i < 12; i++)
		if (!strncasecmp((const char *)p, names + i * 3, 3))
			return i;
	return -1;
}

bool gr_jar_date(struct gr_slice text, int64_t *at_s)
{
	const uint8_t *p = text.p, *end = text.p + text.n;
	bool has_time = false, has_day = false, has_month = false, has_year = false;
	struct tm tm = { 0 }, made;
	int day = 0, month = 0, year = 0;

	while (p < end) {
		const uint8_t *from, *q;
		int v;

		while (p < end && is_delimiter(*p))
			p++;
		for (from = p; p < end && !is_delimiter(*p);)
			p++;
		q = from;
		if (!has_time && clock_of(from, p, &tm)) {
			has_time = true;
		} else if (!has_day && digits(&q, p, 1, 2, &v)) {
			has_day = true;
			day = v;
		} else if (!has_month && (v = month_of(from, (size_t)(p - from))) >= 0) {
			has_month = true;
			month = v;
		} else if (!has_year && (q = from, digits(&q, p, 2, 4, &v))) {
			has_year = true;
			year = v;
		}
	}
	if (year >= 70 && year <= 99)
		year += 1900;
	else if (year <= 69)
		year += 2000;
	if (!has_time || !has_day || !has_month || !has_year || day < 1 || day > 31 || year < 1601 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	tm.tm_mday = day;
	tm.tm_mon = month;
	tm.tm_year = year - 1900;
	made = tm;
	*at_s = (int64_t)timegm(&made);
	return made.tm_mday == day;                      /* there is no 30 February */
}

/* ---- matching (5.1.3, 5.1.4) ---- */

static bool is_address(const char *host)
{
	unsigned char addr[16];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static bool is_same_name(const char *host, struct gr_slice domain)
{
	return strlen(host) == domain.n && !strncasecmp(host, (const char *)domain.p, domain.n);
}

static bool is_below(const char *host, struct gr_slice domain)
{
	size_t n = strlen(host);

	return n > domain.n && host[n - domain.n - 1] == '.' && !strncasecmp(host + n - domain.n, (const char *)domain.p, domain.n) && !is_address(host);
}

static struct gr_slice without_query(struct gr_slice path)
{
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] == '?' || path.p[i] == '#')
			return gr_slice(path.p, i);
	return path.n ? path : gr_slice("/", 1);
}

static struct gr_slice default_path(struct gr_slice path)
{
	path = without_query(path);
	if (!path.n || *path.p != '/')
		return gr_slice("/", 1);
	while (path.n > 1 && path.p[path.n - 1] != '/')
		path.n--;
	path.n -= path.n > 1;
	return path;
}

static bool is_path_below(struct gr_slice path, struct gr_slice of)
{
	if (path.n < of.n || memcmp(path.p, of.p, of.n))
		return false;
	return path.n == of.n || of.p[of.n - 1] == '/' || path.p[of.n] == '/';
}

/* ---- a field (5.2, 5.3) ---- */

static struct gr_slice trimmed(struct gr_slice s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = gr_slice(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* All before the next @c is cut off @rest; all of it when there is none. */
static struct gr_slice cut(struct gr_slice *rest, char c, bool *was_there)
{
	const uint8_t *p = rest->n ? memchr(rest->p, c, rest->n) : NULL;
	struct gr_slice first = gr_slice(rest->p, p ? (size_t)(p - rest->p) : rest->n);

	*was_there = p != NULL;
	*rest = p ? gr_slice(p + 1, rest->n - first.n - 1) : gr_slice(rest->p, 0);
	return first;
}

static bool is_named(struct gr_slice s, const char *name) { return s.n == strlen(name) && !strncasecmp((const char *)s.p, name, s.n); }

/* Max-Age: false when it is none, and to be ignored. */
static bool age_of(struct gr_slice v, int64_t now_s, int64_t *until_s)
{
	int64_t age = 0;

	if (!v.n || (*v.p == '-' && v.n == 1))
		return false;
	for (size_t i = *v.p == '-'; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		age = age > 1000000000 ? age : age * 10 + v.p[i] - '0';
	}
	*until_s = *v.p == '-' || !age ? INT64_MIN : now_s + age;
	return true;
}

static void attribute(struct cookie *c, struct gr_slice name, struct gr_slice value, int64_t now_s, bool *has_age)
{
	int64_t until;

	if (is_named(name, "expires")) {
		if (!*has_age && gr_jar_date(value, &until))
			c->h.until_s = until;
	} else if (is_named(name, "max-age")) {
		if (age_of(value, now_s, &until)) {
			c->h.until_s = until;
			*has_age = true;
		}
	} else if (is_named(name, "domain")) {
		if (value.n && *value.p == '.')
			value = gr_slice(value.p + 1, value.n - 1);
		if (value.n)
			c->domain = value;
	} else if (is_named(name, "path")) {
		c->path = value.n && *value.p == '/' ? value : gr_slice(NULL, 0);
	} else if (is_named(name, "secure")) {
		c->h.is_secure = true;
	}
}

static bool read_field(struct cookie *c, struct gr_slice field, int64_t now_s)
{
	bool is_there, has_age = false;
	struct gr_slice pair;

	for (size_t i = 0; i < field.n; i++)             /* a header of ours is made of it */
		if ((field.p[i] < ' ' && field.p[i] != '\t') || field.p[i] == 127)
			return false;
	pair = cut(&field, ';', &is_there);
	c->h.until_s = INT64_MAX;
	c->name = trimmed(cut(&pair, '=', &is_there));
	c->value = trimmed(pair);
	if (!is_there || !c->name.n)
		return false;
	while (field.n) {
		struct gr_slice one = cut(&field, ';', &is_there), name = trimmed(cut(&one, '=', &is_there));

		attribute(c, name, trimmed(one), now_s, &has_age);
	}
	return true;
}

void gr_jar_take(struct gr_jar *j, struct gr_slice field, const struct gr_jar_url *url, int64_t now_s)
{
	struct cookie c = { 0 }, old;

	if (!read_field(&c, field, now_s))
		return;
	if (!c.domain.n || is_same_name(url->host, c.domain)) {
		/* a Domain that has no dot is a whole country's: only the host itself may say it, and for itself */
		c.h.is_host_only = !c.domain.n || is_address(url->host) || !memchr(c.domain.p, '.', c.domain.n);
		c.domain = gr_slice_str(url->host);
	} else if (!is_below(url->host, c.domain) || !memchr(c.domain.p, '.', c.domain.n)) {
		return;
	}
	if (!c.path.n)
		c.path = default_path(url->path);
	if (c.name.n + c.value.n + c.domain.n + c.path.n > GR_JAR_MAX_COOKIE_BYTES)
		return;
	drop_expired(j, now_s);
	for (size_t at = 0; read_at(j, at, &old); at += old.n) {
		if (!gr_slice_eq(old.name, c.name) || !gr_slice_eq(old.path, c.path) || old.domain.n != c.domain.n ||
		    strncasecmp((const char *)old.domain.p, (const char *)c.domain.p, c.domain.n))
			continue;
		c.h.created = old.h.created;
		drop(j, &old);
		break;
	}
	if (c.h.until_s > now_s)
		add(j, &c);
}

/* ---- what a request brings (5.4) ---- */

static bool is_for(const struct cookie *c, const struct gr_jar_url *url, struct gr_slice path, int64_t now_s)
{
	return c->h.until_s > now_s && (url->is_tls || !c->h.is_secure) && is_path_below(path, c->path) &&
	       (is_same_name(url->host, c->domain) || (!c->h.is_host_only && is_below(url->host, c->domain)));
}

void gr_jar_give(struct gr_jar *j, const struct gr_jar_url *url, int64_t now_s, struct gr_buf *out)
{
	struct gr_slice path = without_query(url->path);
	struct { size_t at, n_path; uint32_t created; } order[GR_JAR_MAX_COOKIES];
	struct cookie c;
	uint32_t n = 0;

	for (size_t at = 0; read_at(j, at, &c); at += c.n) {
		uint32_t i;

		if (!is_for(&c, url, path, now_s))
			continue;
		for (i = n++; i && (order[i - 1].n_path < c.path.n || (order[i - 1].n_path == c.path.n && order[i - 1].created > c.h.created)); i--)
			order[i] = order[i - 1];
		order[i].at = at;
		order[i].n_path = c.path.n;
		order[i].created = c.h.created;
	}
	for (uint32_t i = 0; i < n; i++) {
		read_at(j, order[i].at, &c);
		c.h.used = ++j->ticks;
		memcpy(j->b.p + c.at, &c.h, sizeof(c.h));
		if (i)
			gr_buf_add_str(out, "; ");
		add_slice(out, c.name);
		gr_buf_add_byte(out, '=');
		add_slice(out, c.value);
	}
}
