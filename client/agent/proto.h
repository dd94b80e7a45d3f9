/**
 * proto - what griddle-cc and `griddle` say to the agent, over one AF_UNIX SOCK_SEQPACKET socket
 *
 * A packet is a struct gr_agent_head and a body. The first packet of a connection decides what it is:
 *
 *   COMPILE (griddle-cc)   body: cwd, compiler path, argv[], env[], each a NUL-terminated string, in this order.
 *                          The answer is one packet DONE or LOCAL. The body of DONE: what the compiler wrote to stdout,
 *                          what it wrote to stderr, and the reason; of LOCAL the reason alone. The wrapper prints the
 *                          streams itself, so that a slow terminal stops that one compile and never the agent.
 *                          Closing the connection before the answer cancels the compile.
 *   ALIVE   (both)         no body: a wrapper that has waited long asks, the agent answers the same. A stopped agent
 *                          does not, and the wrapper runs the compiler itself.
 *   CONTROL (griddle)      body: a JSON object {"op": ...}; the answer is CONTROL with a JSON object, which holds
 *                          "error": text when the request failed. Any number of requests; a build registered over the
 *                          connection lives until the connection ends.
 *
 * A body too long for a packet (the socket's buffer limits it) lies in a memfd, flag F_MEMFD.
 *
 * Both ends are one machine and one user (the agent checks SO_PEERCRED), so integers are in host order. No
 * dependencies: griddle-cc includes this file.
 */
#pragma once
#include <stdint.h>

#define GR_AGENT_MAGIC 0x61677267u          /* "grga" */
#define GR_AGENT_VERSION 1u
#define GR_AGENT_MAX_PACKET (160u << 10)    /* below the kernel's default socket buffer of 208 KiB */
#define GR_AGENT_MAX_BODY (16u << 20)       /* in a memfd: above the kernel's own limit for an argv */
#define GR_AGENT_MAX_ARGS 65536u
#define GR_AGENT_MAX_ENV 1024u

enum gr_agent_type {
	GR_AGENT_COMPILE = 1,
	GR_AGENT_CONTROL = 2,
	GR_AGENT_DONE = 3,    /* the outputs are written; print the streams, exit with exit_code or die by term_signal */
	GR_AGENT_LOCAL = 4,   /* run the compiler yourself */
	GR_AGENT_ALIVE = 5,
};
enum gr_agent_flag {
	GR_AGENT_F_MEMFD = 1,
	GR_AGENT_F_STDERR_TTY = 2,
	GR_AGENT_F_VERBOSE = 4,     /* the wrapper prints the reason */
};

struct gr_agent_head {
	uint32_t magic;
	uint16_t version, type;
	uint32_t flags;
	uint32_t n_body;            /* bytes behind the head, or in the memfd */
	union {
		struct {
			uint32_t umask, n_args, n_env;
			uint32_t columns;       /* width of the terminal on stdin, 0 none; set when stderr is one */
		} compile;
		struct {
			int32_t exit_code, term_signal;
			uint32_t n_out, n_err;
		} reply;
	} u;
};
