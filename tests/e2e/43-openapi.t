#!/bin/bash
# 43-openapi.t - docs/openapi.json against a live coordinator: every path answers as it says, and nothing else is there
. "$(dirname "$0")/cluster.sh"
python3 -c 'import jsonschema' 2>/dev/null || skip_all "python3-jsonschema is not installed"
cl_coordinator
cl_worker w1
timeout 60 python3 "$TOP/tests/e2e/openapi_check.py" "http://$HTTP" "$TOP/docs/openapi.json" "$TOP/coordinator/http/api.c"
