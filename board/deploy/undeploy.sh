#!/usr/bin/env bash
# Removes what `make deploy` has put on a board, but neither a changed configuration nor engines; PURGE=1 removes those too.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$project/board/deploy/connection.sh"
connect
on_board remove "${PURGE:+purge}"
echo "removed from $HOST"
