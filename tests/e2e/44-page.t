#!/bin/bash
# 44-page.t - the live page in a real browser, wide and narrow, light and dark
. "$(dirname "$0")/cluster.sh"
CHROMIUM=$(command -v chromium || command -v chromium-browser) || skip_all "chromium is not installed"
cl_coordinator
cl_worker w1
cl_worker w2
"$BIN/griddle" submit --coordinator "$ENDPOINT" - >"$T/job" 2>&1 <<'J' || { echo "Bail out! no job was submitted"; diag <"$T/job"; exit 1; }
{"name": "needs a machine that is not there", "array": 4, "command": "true", "constraints": {"cpu": "z"}}
J
timeout 120 python3 "$TOP/tests/e2e/page_check.py" "$CHROMIUM" "http://$HTTP/" "${SHOTS:-$T}"
