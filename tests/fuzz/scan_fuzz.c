/* scan_fuzz - source texts through the scanner, their definitions through the macro evaluator. Checked besides memory: a
 * line behind a newline that ends everything (a closed comment, no splice) is found whatever stands before it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/cc/macro.h"
#include "lib/cc/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static void evaluate(const struct gr_cc_scan *s, const char *text, size_t n)
{
	struct gr_cc__defs defs;
	struct gr_buf def = { 0 }, out = { 0 };
	int left = 4;

	gr_cc__defs_init(&defs);
	for (uint32_t i = 0; i < s->n_def && i < 64; i++) {
		gr_buf_clear(&def);
		gr_cc_scan_define(text, n, s->def[i].off, &def);
		gr_cc__defs_add(&defs, gr_buf_str(&def));
	}
	for (uint32_t i = 0; i < s->n_inc && left; i++) {
		if (s->inc[i].form != GR_CC_FORM_COMPUTED || s->inc[i].kind > GR_CC_INC_HAS_NEXT)
			continue;
		left--;
		gr_buf_clear(&out);
		gr_cc__macro_eval(&defs, s->text + s->inc[i].off, &out);
		CHECK(!out.n || out.p[out.n - 1] == 0);
	}
	gr_buf_fini(&def);
	gr_buf_fini(&out);
	gr_cc__defs_fini(&defs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char tail[] = "\n)\"*/\n#include <the/last.h>\n";
	struct gr_buf text = { 0 };
	struct gr_cc_scan *s;

	gr_buf_add(&text, data, n);
	s = gr_cc_scan(gr_buf_str(&text), text.n);
	for (uint32_t i = 0; i < s->n_inc; i++) {
		const struct gr_cc_inc *inc = &s->inc[i];

		CHECK(strlen(s->text + inc->off) == inc->len);
		CHECK(inc->kind <= GR_CC_INC_ASM_INCBIN && inc->form <= GR_CC_FORM_COMPUTED);
		CHECK(inc->len || (inc->form == GR_CC_FORM_COMPUTED && inc->kind >= GR_CC_INC_STR_INCLUDE));
	}
	for (uint32_t i = 0; i < s->n_def; i++)
		CHECK(s->def[i].off < text.n);
	evaluate(s, (const char *)text.p, text.n);
	free(s);
	/* raw strings can swallow any tail but their own */
	if (!memchr(text.p, 'R', text.n)) {
		bool is_found = false;

		gr_buf_add_str(&text, tail);
		s = gr_cc_scan((const char *)text.p, text.n);
		for (uint32_t i = 0; i < s->n_inc; i++)
			is_found |= !strcmp(s->text + s->inc[i].off, "the/last.h");
		CHECK(is_found);
		free(s);
	}
	gr_buf_fini(&text);
	return 0;
}
