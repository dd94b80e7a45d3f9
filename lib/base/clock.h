/**
 * clock - units of time; reading a clock is lib/net/loop.c's alone, everything else takes now_ns
 */
#pragma once
#include <stdint.h>

#define GR_NS_PER_US 1000ull
#define GR_NS_PER_MS 1000000ull
#define GR_NS_PER_S 1000000000ull
