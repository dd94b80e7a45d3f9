/**
 * commands - the entries of the table; each stands in the file of its name
 */
#pragma once
#include "client/cmd/cmd.h"

extern const struct gr_cmd gr_cmd_load, gr_cmd_up, gr_cmd_down, gr_cmd_make, gr_cmd_cc, gr_cmd_run, gr_cmd_map, gr_cmd_submit, gr_cmd_job,
	gr_cmd_task, gr_cmd_admin, gr_cmd_status, gr_cmd_nodes, gr_cmd_top, gr_cmd_explain, gr_cmd_place, gr_cmd_doctor,
	gr_cmd_keys, gr_cmd_agent_entry, gr_cmd_completion, gr_cmd_version, gr_cmd_help;
