#!/bin/sh
# config-doc.sh BIN - docs/config.md on stdout, from the tables inside the programs (tests/e2e/11-docs.t compares)
set -eu
bin=$1
cat <<'TEXT'
# Settings

Printed by `make docs` from the tables in the programs; `PROGRAM --help-config` prints the same.

Each key is a flag (`--cache-bytes 8G`, `--http-anywhere`, `--no-http-anywhere`), an environment variable, and a member of
the JSON object in the file that `--config` names. A flag is stronger than the environment, that than a file, that than the
default. Sizes take `K`, `M`, `G`, `T` (powers of 1024), times `ms`, `s`, `m`, `h`, which only 0 does without. Unknown keys are errors.

`griddle`'s own commands: `griddle help COMMAND`, or the man page.
TEXT
for program in griddle-coordinator griddle-worker 'griddle agent'; do
	printf '\n## %s\n\n' "$program"
	"$bin"/$program --help-config-markdown
done
