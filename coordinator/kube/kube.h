/**
 * kube - what the cluster knows of pods and nodes, joined to workers, and the built-in scaler
 *
 * Off unless a setting asks for it (--kube-pods, --kube-nodes, --kube-scale); every call does nothing then. Without the API
 * everything goes on with what was known last; that is said once, and once when it is back. Thread: the loop's.
 */
#pragma once
#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct gr_coord;
struct gr_coord_config;
struct gr_loop;
struct gr_worker;

void gr_kube_open(struct gr_coord *c);
void gr_kube_close(struct gr_coord *c);                        /* the loop has to run once more */
/* Before the worker is placed: its zone and its node's type, where known. */
void gr_kube_worker_facts(struct gr_coord *c, struct gr_worker *w);
/* After: cordon, and what is known of its pod. @hello is kept for as long as the nodes are not known yet. */
void gr_kube_worker_up(struct gr_coord *c, struct gr_worker *w, const json_t *hello);
void gr_kube_worker_gone(struct gr_worker *w);
/* Why nothing new goes to it, for people; NULL when the cluster has nothing against it. */
const char *gr_kube_worker_why(const struct gr_worker *w);
json_t *gr_kube_json(const struct gr_coord *c);                /* for status; NULL when off */
void gr_kube_metrics(const struct gr_coord *c, struct gr_buf *b);
/* The list "NAME=MIN..MAX,...": GR_ECONFIG with @err. Frees nothing, keeps nothing. */
int gr_kube_check_scale(const char *text, struct gr_err *err);
/**
 * gr_kube_make_keys - the Secrets of --kube-keys, made where they are not there, with new keys; runs @loop until that is done
 * What is there is never changed: run again it does nothing. Rights: create secrets, get the coordinator's.
 * Return: 0; GR_ECONFIG, GR_EAUTH, GR_EUNREACH, GR_ETIME.
 */
int gr_kube_make_keys(const struct gr_coord_config *cfg, struct gr_loop *loop, struct gr_err *err);
/* The list "COORDINATOR,WORKER,CLIENT" of names: GR_ECONFIG with @err. */
int gr_kube_check_keys(const char *text, struct gr_err *err);
