/**
 * log - one line an event on stderr: "griddle-worker: warn: link: coordinator gone, trying again in 2 s"
 *
 * The sink (program name, level, form) is the one mutable global of griddle: set once in main. Thread-safe: one
 * write(2) a line. Log or return an error, not both.
 */
#pragma once
#include "lib/base/err.h"

enum gr_log_level { GR_LOG_ERROR, GR_LOG_WARN, GR_LOG_INFO, GR_LOG_DEBUG };

/* @program: constant string shown in front. @level: the finest that is printed. */
void gr_log_init(const char *program, enum gr_log_level level);
/* "error", "warn", "info", "debug" -> level; GR_EINVAL. */
int gr_log_level_parse(const char *text);
void gr_log(enum gr_log_level level, const char *module, const char *fmt, ...) GR_PRINTF(3, 4);

#define gr_error(module, ...) gr_log(GR_LOG_ERROR, module, __VA_ARGS__)
#define gr_warn(module, ...)  gr_log(GR_LOG_WARN, module, __VA_ARGS__)
#define gr_info(module, ...)  gr_log(GR_LOG_INFO, module, __VA_ARGS__)
#define gr_debug(module, ...) gr_log(GR_LOG_DEBUG, module, __VA_ARGS__)
