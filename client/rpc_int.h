/**
 * rpc_int - what rpc.c (the connection, questions, files that go out) and rpc_take.c (files that come) share
 */
#pragma once
#include "client/rpc.h"
#include "lib/base/list.h"
#include "lib/net/link.h"

struct gr_rpc {
	struct gr_loop *loop;
	struct gr_link *link;
	struct gr_keypair keys;
	const struct gr_rpc_ops *ops;
	void *ctx;
	char *endpoint;
	struct gr_list questions;               /* on their way */
	const struct gr_rpc_question *awaited;  /* whose answer ends the loop's turn; NULL none */
	json_int_t last_id;
	bool is_limited;
	/* why there is no connection */
	char why[512];
	int why_code;
	int signum;
	/* files asked for */
	struct gr_list wanted;
	uint32_t n_wanted;
	int fd;                                 /* of the first, being sent; -1 */
	uint64_t size, offset;
	struct gr_timer *again;
	bool is_poked, is_uploading;
	/* files being taken */
	struct gr_list files;
	const struct gr_rpc_file *file_awaited;
};

/* The connection is there: asks for what is not asked for. */
void gr_rpc__files_up(struct gr_rpc *r);
/* It went, for @code. */
void gr_rpc__files_down(struct gr_rpc *r, int code);
int gr_rpc__file_piece(struct gr_rpc *r, struct gr_slice body);
int gr_rpc__file_missing(struct gr_rpc *r, struct gr_slice body);
/* Whether trying again does not mend it. */
bool gr_rpc__is_final(int code);
