/**
 * toolchain - see toolchain.h. The compiler is asked where its parts are (-print-prog-name, -print-file-name,
 * -print-resource-dir), the dynamic loader what they load (LD_TRACE_LOADED_OBJECTS, as ldd does), and each file's bytes
 * go into the digest under its physical path. Paths count: a compiler's messages, search lists and debug information
 * hold them, so equal bytes elsewhere are another toolchain.
 *
 * Not kept: trusting --version (Debian rebuilds one version with other patches), and a digest of the whole gcc folder
 * (150 MB, most of it for linking).
 */
#include "lib/cc/toolchain.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "lib/base/path.h"
#include "lib/base/proc.h"

#define MAX_OUTPUT (4u << 20)
#define MAX_LINKS 40
#define DIGEST_VERSION "griddle toolchain 1"

struct part {                        /* a digested file */
	char *path;                  /* physical */
	struct gr_digest digest;
	uint64_t size, ino;
	int64_t mtime_ns;
};
struct listed {                      /* a cached search list */
	struct gr_cc_search search;
	struct listed *next;
	char key[];
};
struct priv {
	struct part *parts;
	size_t n_parts, cap_parts;
	size_t cap_show, cap_own;
	struct gr_map shown;         /* path -> itself */
	struct listed *lists;
	char *path_env;              /* "PATH=..." */
};

static int ask(const struct gr_cc_toolchain *t, const char *const *args, const char *cwd, struct gr_buf *out, struct gr_buf *errout,
	       struct gr_err *err)
{
	struct priv *p = t->priv;
	char *env[] = { p->path_env, (char *)(uintptr_t)"LC_ALL=C", NULL };
	const char *argv[64];
	size_t n = 0;

	argv[n++] = t->driver;
	while (*args && n < GR_LEN(argv) - 1)
		argv[n++] = *args++;
	argv[n] = NULL;
	return gr_proc_capture(argv, env, cwd, MAX_OUTPUT, out, errout, err);
}

/* One word of the driver's answer to one question; NULL when it fails. The caller's. */
static char *ask_line(const struct gr_cc_toolchain *t, const char *question)
{
	const char *args[] = { question, NULL };
	struct gr_buf out = { 0 };
	char *s = NULL;

	if (ask(t, args, "/", &out, NULL, NULL) == 0 && out.n) {
		const char *text = gr_buf_str(&out);

		s = gr_xstrndup(text, strcspn(text, "\n"));
	}
	gr_buf_fini(&out);
	return s;
}

/* ---- what is shown ---- */
static void add_show(struct gr_cc_toolchain *t, enum gr_cc_show_kind kind, const char *path, const char *target, bool is_optional)
{
	struct priv *p = t->priv;
	struct gr_cc_show *s;

	if (gr_map_get(&p->shown, path, strlen(path)))
		return;
	GR_GROW(t->show, p->cap_show, t->n_show + 1);
	s = &t->show[t->n_show++];
	*s = (struct gr_cc_show){ kind, is_optional, gr_xstrdup(path), target ? gr_xstrdup(target) : NULL };
	gr_map_put(&p->shown, s->path, strlen(s->path), s->path);
}

/* Walks @path; every symlink on the way is shown, and what it ends at. Return: the physical path (the caller's), or
 * NULL when there is nothing. */
static char *show_path(struct gr_cc_toolchain *t, const char *path, bool is_optional)
{
	char rest[8192], real[4096] = "", target[4096];
	int n_links = 0;
	struct stat st;

	if (path[0] != '/' || strlen(path) >= 4096)
		return NULL;
	snprintf(rest, sizeof(rest), "%s", path);
	for (char *s = rest;;) {
		size_t n, n_real = strlen(real);
		ssize_t n_target;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (!n)
			break;
		if (n == 1 && s[0] == '.') {
			s += n;
			continue;
		}
		if (n == 2 && s[0] == '.' && s[1] == '.') {
			char *slash = strrchr(real, '/');

			if (slash)
				*slash = 0;
			s += n;
			continue;
		}
		if (n_real + n + 2 > sizeof(real))
			return NULL;
		real[n_real] = '/';
		memcpy(real + n_real + 1, s, n);
		real[n_real + 1 + n] = 0;
		s += n;
		if (lstat(real, &st) < 0)
			return NULL;
		if (!S_ISLNK(st.st_mode))
			continue;
		n_target = readlink(real, target, sizeof(target) - 1);
		if (n_target <= 0 || ++n_links > MAX_LINKS || (size_t)n_target + strlen(s) + 2 > 4096)
			return NULL;
		target[n_target] = 0;
		add_show(t, GR_CC_SHOW_LINK, real, target, is_optional);
		memmove(rest + n_target + 1, s, strlen(s) + 1);
		memcpy(rest, target, (size_t)n_target);
		rest[n_target] = '/';
		if (target[0] == '/')
			real[0] = 0;
		else
			*strrchr(real, '/') = 0;
		s = rest;
	}
	if (!real[0] || stat(real, &st) < 0)
		return NULL;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		add_show(t, S_ISDIR(st.st_mode) ? GR_CC_SHOW_DIR : GR_CC_SHOW_FILE, real, NULL, is_optional);
	return gr_xstrdup(real);
}

static void show_optional(struct gr_cc_toolchain *t, const char *path)
{
	if (access(path, R_OK) == 0)
		free(show_path(t, path, true));
}

/* ---- what is digested ---- */
static int add_part(struct gr_cc_toolchain *t, const char *real, struct gr_err *err)
{
	struct priv *p = t->priv;
	struct part part = { 0 };
	struct stat st;
	int fd, rc;

	for (size_t i = 0; i < p->n_parts; i++)
		if (!strcmp(p->parts[i].path, real))
			return 0;
	fd = open(real, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		return gr_err_set(err, gr_err_errno(e), "%s: %s", real, strerror(e));
	}
	rc = gr_sha256_fd(fd, &part.digest, NULL);
	close(fd);
	if (rc < 0)
		return gr_err_set(err, rc, "%s: cannot be read", real);
	part.path = gr_xstrdup(real);
	part.size = (uint64_t)st.st_size;
	part.ino = st.st_ino;
	part.mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	GR_GROW(p->parts, p->cap_parts, p->n_parts + 1);
	p->parts[p->n_parts++] = part;
	return 0;
}

/* The loader an ELF program names, into @interp; false when it is static or no ELF program. *is_elf says which. */
static bool elf_interp(const char *path, char *interp, size_t max, bool *is_elf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_found = false;
	Elf64_Phdr ph;
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr h64;
		Elf32_Ehdr h32;
	} eh;

	*is_elf = false;
	if (fd < 0)
		return false;
	if (pread(fd, &eh, sizeof(eh), 0) == (ssize_t)sizeof(eh) && !memcmp(eh.ident, ELFMAG, SELFMAG)) {
		bool is_64 = eh.ident[EI_CLASS] == ELFCLASS64;
		unsigned n = is_64 ? eh.h64.e_phnum : eh.h32.e_phnum;

		*is_elf = true;
		for (unsigned i = 0; i < n && !is_found; i++) {
			uint64_t off, size;
			Elf32_Phdr ph32;

			if (is_64) {
				if (pread(fd, &ph, sizeof(ph), (off_t)(eh.h64.e_phoff + i * sizeof(ph))) != (ssize_t)sizeof(ph))
					break;
				if (ph.p_type != PT_INTERP)
					continue;
				off = ph.p_offset;
				size = ph.p_filesz;
			} else {
				if (pread(fd, &ph32, sizeof(ph32), (off_t)(eh.h32.e_phoff + i * sizeof(ph32))) != (ssize_t)sizeof(ph32))
					break;
				if (ph32.p_type != PT_INTERP)
					continue;
				off = ph32.p_offset;
				size = ph32.p_filesz;
			}
			is_found = size > 1 && size < max && pread(fd, interp, size, (off_t)off) == (ssize_t)size && !interp[size - 1];
			if (!is_found)
				break;
		}
	}
	close(fd);
	return is_found;
}

/* A program: itself, its loader, its libraries. */
static int add_program(struct gr_cc_toolchain *t, const char *path, struct gr_err *err)
{
	char *env[] = { (char *)(uintptr_t)"LD_TRACE_LOADED_OBJECTS=1", (char *)(uintptr_t)"LC_ALL=C", NULL };
	const char *argv[] = { path, NULL };
	struct gr_buf out = { 0 };
	char interp[4096], *real;
	bool is_elf;
	int rc;

	real = show_path(t, path, false);
	if (!real)
		return gr_err_set(err, GR_ENOENT, "%s: not found", path);
	rc = add_part(t, real, err);
	if (rc == 0 && elf_interp(real, interp, sizeof(interp), &is_elf)) {
		char *loader = show_path(t, interp, false);

		if (loader)
			rc = add_part(t, loader, err);
		free(loader);
		if (rc == 0)
			rc = gr_proc_capture(argv, env, "/", MAX_OUTPUT, &out, NULL, err);
		for (char *line = out.n ? gr_buf_take(&out, NULL) : NULL, *from = line, *next; line; from = next) {
			char *arrow, *lib;

			next = strchr(from, '\n');
			if (next)
				*next++ = 0;
			arrow = strstr(from, "=> /");
			if (arrow) {
				arrow[3 + strcspn(arrow + 3, " \t")] = 0;
				lib = show_path(t, arrow + 3, false);
				if (lib && rc >= 0)
					rc = add_part(t, lib, err);
				free(lib);
			}
			if (!next) {
				free(line);
				break;
			}
		}
	}
	gr_buf_fini(&out);
	free(real);
	return rc < 0 ? rc : 0;
}

/* ---- folders ---- */
struct entry {
	char *path;
	bool is_link;
};
static int by_path(const void *a, const void *b) { return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path); }

/* Everything below @dir but folders themselves; symlinks are not followed. (nftw has no argument for a context.) */
static int list_folder(const char *dir, struct entry **list, size_t *n, size_t *cap, int depth)
{
	DIR *d = depth < 32 ? opendir(dir) : NULL;
	struct dirent *e;
	int rc = 0;

	if (!d)
		return GR_EIO;
	while (rc == 0 && (e = readdir(d))) {
		struct gr_buf path = { 0 };
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		gr_buf_printf(&path, "%s/%s", dir, e->d_name);
		if (lstat(gr_buf_str(&path), &st) < 0)
			rc = GR_EIO;
		else if (S_ISDIR(st.st_mode))
			rc = list_folder(gr_buf_str(&path), list, n, cap, depth + 1);
		else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) {
			GR_GROW(*list, *cap, *n + 1);
			(*list)[(*n)++] = (struct entry){ gr_buf_take(&path, NULL), S_ISLNK(st.st_mode) };
		}
		gr_buf_fini(&path);
	}
	closedir(d);
	return rc;
}

static int hash_folder(struct gr_sha256 *h, const char *dir, struct gr_err *err)
{
	struct entry *list = NULL;
	size_t n = 0, cap = 0;
	int rc = list_folder(dir, &list, &n, &cap, 0);

	if (n)
		qsort(list, n, sizeof(*list), by_path);
	for (size_t i = 0; i < n; i++) {
		gr_sha256_add_str(h, list[i].path);
		if (rc == 0 && list[i].is_link) {
			char target[4096] = "";
			ssize_t len = readlink(list[i].path, target, sizeof(target) - 1);

			if (len < 0)
				rc = GR_EIO;
			gr_sha256_add_str(h, target);
		} else if (rc == 0) {
			int fd = open(list[i].path, O_RDONLY | O_CLOEXEC);
			struct gr_digest d;

			rc = fd < 0 ? GR_EIO : gr_sha256_fd(fd, &d, NULL);
			if (fd >= 0)
				close(fd);
			if (rc == 0)
				gr_sha256_add(h, d.b, sizeof(d.b));
		}
		free(list[i].path);
	}
	free(list);
	return rc < 0 ? gr_err_set(err, rc, "%s: cannot be read", dir) : 0;
}

static void add_own_dir(struct gr_cc_toolchain *t, const char *path)
{
	struct priv *p = t->priv;
	struct stat st;
	char *real;

	if (!path || path[0] != '/' || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	real = show_path(t, path, false);
	for (uint32_t i = 0; real && i < t->n_own_dirs; i++)
		if (!strcmp(t->own_dirs[i], real)) {
			free(real);
			real = NULL;
		}
	if (!real)
		return;
	GR_GROW(t->own_dirs, p->cap_own, t->n_own_dirs + 1);
	t->own_dirs[t->n_own_dirs++] = real;
}

static int part_by_path(const void *a, const void *b) { return strcmp(((const struct part *)a)->path, ((const struct part *)b)->path); }

static int make_digest(struct gr_cc_toolchain *t, struct gr_err *err)
{
	struct gr_sha256 *h = gr_sha256_new();
	struct priv *p = t->priv;
	int rc = 0;

	gr_sha256_add_str(h, DIGEST_VERSION);
	gr_sha256_add_str(h, t->family == GR_CC_GCC ? "gcc" : "clang");
	gr_sha256_add_str(h, t->real);
	gr_sha256_add_str(h, t->target);
	qsort(p->parts, p->n_parts, sizeof(*p->parts), part_by_path);
	for (size_t i = 0; i < p->n_parts; i++) {
		gr_sha256_add_str(h, p->parts[i].path);
		gr_sha256_add(h, p->parts[i].digest.b, GR_DIGEST_BYTES);
	}
	for (uint32_t i = 0; i < t->n_own_dirs && rc == 0; i++)
		rc = hash_folder(h, t->own_dirs[i], err);
	gr_sha256_end(h, &t->digest);
	gr_sha256_free(&h);
	return rc;
}

/* ---- the two families ---- */
static int find_in_path(const struct gr_cc_toolchain *t, const char *name, char *out, size_t max)
{
	const char *p = ((struct priv *)t->priv)->path_env + 5, *end;

	for (;; p = end + 1) {
		end = strchrnul(p, ':');
		if (end > p && snprintf(out, max, "%.*s/%s", (int)(end - p), p, name) < (int)max && access(out, X_OK) == 0)
			return 0;
		if (!*end)
			return GR_ENOENT;
	}
}

static int add_named_program(struct gr_cc_toolchain *t, const char *question, bool is_required, struct gr_err *err)
{
	char *path = ask_line(t, question), found[4096];
	int rc = 0;

	if (path && path[0] != '/') {
		if (find_in_path(t, path, found, sizeof(found)) == 0) {
			free(path);
			path = gr_xstrdup(found);
		} else {
			free(path);
			path = NULL;
		}
	}
	if (path && access(path, X_OK) == 0)
		rc = add_program(t, path, err);
	else if (is_required)
		rc = gr_err_set(err, GR_ENOENT, "%s: no answer to %s", t->driver, question);
	free(path);
	return rc;
}

static int probe_gcc(struct gr_cc_toolchain *t, struct gr_err *err)
{
	static const char *const files[] = { "-print-file-name=liblto_plugin.so", "-print-prog-name=lto-wrapper",
					     "-print-prog-name=collect2" };
	static const char *const dirs[] = { "-print-file-name=include", "-print-file-name=include-fixed" };
	char *specs;
	int rc;

	rc = add_named_program(t, "-print-prog-name=cc1", false, err);
	if (rc == 0)
		rc = add_named_program(t, "-print-prog-name=cc1plus", false, err);
	if (rc == 0)
		rc = add_named_program(t, "-print-prog-name=as", true, err);
	if (rc == 0)    /* writes the .dwo of -gsplit-dwarf */
		rc = add_named_program(t, "-print-prog-name=objcopy", false, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < GR_LEN(dirs); i++) {
		char *dir = ask_line(t, dirs[i]);

		add_own_dir(t, dir);
		free(dir);
	}
	if (!t->n_own_dirs)
		return gr_err_set(err, GR_ENOENT, "%s: has no include folder", t->driver);
	/* a specs file beside the compiler changes what it does */
	specs = ask_line(t, "-print-file-name=specs");
	if (specs && specs[0] == '/') {
		char *real = show_path(t, specs, false);

		if (real)
			rc = add_part(t, real, err);
		free(real);
	}
	free(specs);
	for (size_t i = 0; i < GR_LEN(files); i++) {
		char *path = ask_line(t, files[i]);

		if (path && path[0] == '/')
			show_optional(t, path);
		free(path);
	}
	return rc;
}

static int probe_clang(struct gr_cc_toolchain *t, struct gr_err *err)
{
	const char *args[] = { "-v", "-E", "-x", "c", "/dev/null", NULL };
	char *res = ask_line(t, "-print-resource-dir"), path[4200];
	struct gr_buf text = { 0 };
	const char *s;
	int rc;

	if (!res || res[0] != '/') {
		free(res);
		return gr_err_set(err, GR_EUNSUP, "%s: tells no resource folder", t->driver);
	}
	snprintf(path, sizeof(path), "%s/include", res);
	add_own_dir(t, path);
	snprintf(path, sizeof(path), "%s/share", res);
	add_own_dir(t, path);
	free(res);
	/* clang takes the C++ headers' place from a gcc that it finds by its crtbegin.o */
	rc = ask(t, args, "/", NULL, &text, err);
	s = strstr(gr_buf_str(&text), "Selected GCC installation: ");
	if (rc == 0 && s) {
		static const char *const crt[] = { "crtbegin.o", "32/crtbegin.o", "x32/crtbegin.o" };
		size_t n = strcspn(s += 27, "\n");

		for (size_t i = 0; i < GR_LEN(crt); i++) {
			snprintf(path, sizeof(path), "%.*s/%s", (int)n, s, crt[i]);
			if (access(path, R_OK) == 0) {
				char *real = show_path(t, path, false);

				if (real)
					rc = add_part(t, real, err);
				free(real);
			}
		}
	}
	gr_buf_fini(&text);
	show_optional(t, "/etc/debian_version");
	show_optional(t, "/etc/os-release");
	show_optional(t, "/etc/lsb-release");
	return rc < 0 ? rc : 0;
}

static int identify(struct gr_cc_toolchain *t, struct gr_err *err)
{
	static const char *const wrappers[] = { "ccache", "distcc", "icecc", "sccache", "griddle-cc", "buildcache" };
	struct gr_slice base = gr_path_base(gr_slice_str(t->real));
	char interp[4096], *line;
	struct gr_buf name = { 0 };
	bool is_elf, is_clang;

	for (size_t i = 0; i < GR_LEN(wrappers); i++)
		if (gr_slice_is(base, wrappers[i]))
			return gr_err_set(err, GR_EUNSUP, "%s: is %s, not a compiler", t->driver, wrappers[i]);
	elf_interp(t->real, interp, sizeof(interp), &is_elf);
	if (!is_elf)
		return gr_err_set(err, GR_EUNSUP, "%s: is a script, not a compiler", t->driver);
	line = ask_line(t, "--version");
	is_clang = line && strstr(line, "clang version") != NULL;
	if (!line || (!is_clang && !strstr(line, "(GCC)") && !strstr(line, "gcc") && !strstr(line, "g++") && !strstr(line, "cc (") &&
		      !strstr(line, "c++ ("))) {
		free(line);
		return gr_err_set(err, GR_EUNSUP, "%s: neither gcc nor clang", t->driver);
	}
	t->family = is_clang ? GR_CC_CLANG : GR_CC_GCC;
	if (is_clang) {
		const char *v = strstr(line, "clang version") + 14;

		t->version = gr_xstrndup(v, strcspn(v, " -\n"));
	} else {
		t->version = ask_line(t, "-dumpfullversion");
	}
	free(line);
	t->target = ask_line(t, "-dumpmachine");
	if (!t->version || !t->target)
		return gr_err_set(err, GR_EUNSUP, "%s: tells no version or target", t->driver);
	gr_buf_printf(&name, "%s %s", is_clang ? "clang" : "gcc", t->version);
	t->name = gr_buf_take(&name, NULL);
	return 0;
}

int gr_cc_toolchain_probe(const char *driver, struct gr_cc_toolchain **out, struct gr_err *err)
{
	static const char *const locale[] = { "/usr/lib/locale", "/usr/share/locale", "/usr/share/locale-langpack",
					      "/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib/aarch64-linux-gnu/gconv", "/etc/ld.so.cache" };
	struct gr_cc_toolchain *t;
	struct gr_buf path = { 0 };
	const char *env = getenv("PATH");
	struct priv *p;
	int rc;

	if (driver[0] != '/')
		return gr_err_set(err, GR_EINVAL, "%s: not an absolute path", driver);
	GR_NEW(t);
	GR_NEW(p);
	t->priv = p;
	gr_buf_printf(&path, "PATH=%s", env && *env ? env : "/usr/local/bin:/usr/bin:/bin");
	p->path_env = gr_buf_take(&path, NULL);
	t->driver = gr_xstrdup(driver);
	t->real = realpath(driver, NULL);
	if (!t->real) {
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", driver, strerror(errno));
		goto out;
	}
	rc = identify(t, err);
	if (rc == 0)
		rc = add_program(t, t->driver, err);
	if (rc == 0)
		rc = t->family == GR_CC_GCC ? probe_gcc(t, err) : probe_clang(t, err);
	if (rc == 0)
		rc = make_digest(t, err);
	for (size_t i = 0; i < GR_LEN(locale) && rc == 0; i++)
		show_optional(t, locale[i]);
out:
	if (rc < 0) {
		gr_err_wrap(err, "compiler");
		gr_cc_toolchain_free(&t);
		return rc;
	}
	*out = t;
	return 0;
}

static void search_fini(struct gr_cc_search *s)
{
	for (uint32_t i = 0; i < s->n_dirs; i++)
		free(s->dirs[i]);
	for (uint32_t i = 0; i < s->n_absent; i++)
		free(s->absent[i]);
	free(s->dirs);
	free(s->absent);
}

void gr_cc_toolchain_free(struct gr_cc_toolchain **pt)
{
	struct gr_cc_toolchain *t = *pt;
	struct priv *p;

	if (!t)
		return;
	*pt = NULL;
	p = t->priv;
	for (size_t i = 0; i < p->n_parts; i++)
		free(p->parts[i].path);
	for (struct listed *l = p->lists, *next; l; l = next) {
		next = l->next;
		search_fini(&l->search);
		free(l);
	}
	for (uint32_t i = 0; i < t->n_show; i++) {
		free(t->show[i].path);
		free(t->show[i].target);
	}
	for (uint32_t i = 0; i < t->n_own_dirs; i++)
		free(t->own_dirs[i]);
	gr_map_fini(&p->shown);
	free(p->parts);
	free(p->path_env);
	free(p);
	free(t->show);
	free(t->own_dirs);
	free(t->driver);
	free(t->real);
	free(t->name);
	free(t->version);
	free(t->target);
	free(t);
}

bool gr_cc_toolchain_is_current(const struct gr_cc_toolchain *t)
{
	const struct priv *p = t->priv;
	char *real = realpath(t->driver, NULL);
	bool is_same = real && !strcmp(real, t->real);

	free(real);
	for (size_t i = 0; i < p->n_parts && is_same; i++) {
		const struct part *a = &p->parts[i];
		struct stat st;

		is_same = stat(a->path, &st) == 0 && (uint64_t)st.st_size == a->size && st.st_ino == a->ino &&
			  st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec == a->mtime_ns;
	}
	return is_same;
}

/* ---- search lists ---- */
static void add_line(char ***a, uint32_t *n, const char *s, size_t len)
{
	*a = gr_xrealloc(*a, (*n + 1) * sizeof(**a));
	(*a)[(*n)++] = gr_xstrndup(s, len);
}

static bool parse_search(const char *text, struct gr_cc_search *out)
{
	bool is_in = false;

	for (const char *s = text, *eol; *s; s = *eol ? eol + 1 : eol) {
		eol = strchrnul(s, '\n');
		if (!strncmp(s, "ignoring nonexistent directory \"", 32)) {
			const char *q = memchr(s + 32, '"', (size_t)(eol - s - 32));

			if (q)
				add_line(&out->absent, &out->n_absent, s + 32, (size_t)(q - s - 32));
		} else if (!strncmp(s, "#include <...> search starts here:", 34)) {
			is_in = true;
		} else if (!strncmp(s, "End of search list.", 19)) {
			return is_in;
		} else if (is_in && *s == ' ' && !memmem(s, (size_t)(eol - s), " (framework directory)", 22)) {
			add_line(&out->dirs, &out->n_dirs, s + 1, (size_t)(eol - s - 1));
		}
	}
	return false;
}

int gr_cc_toolchain_search(struct gr_cc_toolchain *t, const struct gr_cc_cmd *cmd, const char *cwd,
			   const struct gr_cc_search **out, struct gr_err *err)
{
	static const struct gr_cc_search nothing;
	const char *args[48], *lang = cmd->lang == GR_CC_LANG_CXX ? "c++" : "c";
	struct priv *p = t->priv;
	struct gr_buf key = { 0 }, text = { 0 };
	struct listed *l;
	size_t n = 0;
	char *words;
	int rc = 0;

	if (cmd->no_std_inc) {
		*out = &nothing;
		return 0;
	}
	gr_buf_printf(&key, "%s\n%s%s", lang, strstr(cmd->search_key, "sysroot") ? cwd : "", cmd->search_key);
	for (l = p->lists; l; l = l->next)
		if (!strcmp(l->key, gr_buf_str(&key))) {
			gr_buf_fini(&key);
			*out = &l->search;
			return 0;
		}
	words = gr_xstrdup(cmd->search_key);
	for (char *s = words, *eol; *s && n < GR_LEN(args) - 8; s = eol + 1) {
		eol = strchr(s, '\n');
		*eol = 0;
		args[n++] = s;
	}
	if (n >= GR_LEN(args) - 8)
		rc = gr_err_set(err, GR_ELIMIT, "too many options that change the search list");
	args[n++] = "-x";
	args[n++] = lang;
	args[n++] = "-E";
	args[n++] = "-v";
	args[n++] = "/dev/null";
	args[n] = NULL;
	if (rc == 0)
		rc = ask(t, args, cwd, NULL, &text, err);
	if (rc == 0) {
		l = gr_xalloc(sizeof(*l) + key.n + 1);
		memcpy(l->key, key.p, key.n + 1);
		if (parse_search(gr_buf_str(&text), &l->search)) {
			l->next = p->lists;
			p->lists = l;
			*out = &l->search;
		} else {
			search_fini(&l->search);
			free(l);
			rc = gr_err_set(err, GR_EUNSUP, "%s: -v shows no search list", t->driver);
		}
	} else if (rc > 0) {
		rc = gr_err_set(err, GR_EUNSUP, "%s: -E -v ended with %d", t->driver, rc);
	}
	free(words);
	gr_buf_fini(&text);
	gr_buf_fini(&key);
	return rc;
}
