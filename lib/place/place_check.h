/**
 * place_check - for tests: everything the placement state keeps up to date, computed anew and compared
 *
 * O(all of it). Return: true; false with the first difference in @why.
 */
#pragma once
#include "lib/place/place.h"

bool gr_place_check(const struct gr_place *p, char *why, size_t n_why);
