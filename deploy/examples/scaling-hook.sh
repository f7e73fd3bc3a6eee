#!/bin/sh
# A scaling hook (`trireme server --scaling-hook PATH`) that runs a pool's agents on this machine: an example of the contract, and enough
# for development. Elsewhere it would speak to whatever makes machines: an Auto Scaling group, a cloud's API, a pool of spare hosts.
#
# The contract:
#  - It is told how many machines the pool is to have, never to add or remove any. Called twice, it does nothing twice. The same
#    TRIREME_REQUEST_ID means the same decision; it is called again, by this control node or by the next leader, until it is done.
#  - Variables: TRIREME_POOL, TRIREME_CAPACITY_PROVIDER, TRIREME_ACCOUNT, TRIREME_REGION, TRIREME_CLUSTER (where its machines join: the
#    first of those that have the capacity provider), TRIREME_REQUEST_ID, TRIREME_WANTED, TRIREME_PRESENT, and TRIREME_REMOVABLE: the
#    names of the agents whose machines may go, one a line. The same is on its standard input as JSON, with all clusters, more of each
#    machine, and the reason.
#  - A pool is an account's own, in one region: another may have one of the same name. Its name is 1 to 255 of A-Z a-z 0-9 . _ -
#  - It removes only machines that are named: they are drained, and nothing runs there. No others.
#  - One call at a time for each pool. It has two minutes; then it is killed, with all of its process group. An exit code other than 0 is
#    a failure: it is called again, at growing intervals.
#  - What it starts in the background must not hold its output: redirect it.
#
# Settings: TRIREME (the binary), SERVERS (gRPC addresses of control nodes, with commas between them), STATE (a folder of its own), and
# ZONE, CPU, MEMORY, AGENT_ARGS of the agents.
set -eu
: "${TRIREME:?the binary}" "${SERVERS:?gRPC addresses of control nodes}" "${STATE:?a folder}"
# Of this account alone: another may have a pool of this name.
own="$TRIREME_ACCOUNT.$TRIREME_REGION.$TRIREME_POOL"
pool="$STATE/$own"
mkdir -p "$pool"

alive() { [ -f "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

# Those that may go, go.
printf '%s\n' "$TRIREME_REMOVABLE" | while IFS= read -r name; do
    folder="$pool/${name##*/}"
    [ -n "$name" ] && [ -d "$folder" ] || continue
    if alive "$folder"; then kill "$(cat "$folder/pid")"; fi
    mv "$folder" "$STATE/gone-${name##*/}-$(date +%s%N)"
done

# As many as are wanted, run.
number=0 count=0
for folder in "$pool"/*/; do
    if [ -d "$folder" ] && alive "$folder"; then count=$((count + 1)); fi
done
while [ "$count" -lt "$TRIREME_WANTED" ]; do
    number=$((number + 1))
    folder="$pool/$own-$number"
    if [ -d "$folder" ] && alive "$folder"; then continue; fi
    mkdir -p "$folder"
    set -- agent --pool="$TRIREME_POOL" --account "$TRIREME_ACCOUNT" --region "$TRIREME_REGION" --cluster "$TRIREME_CLUSTER" \
        --zone "${ZONE:-us-east-1a}" --name "${ZONE:-us-east-1a}/$own-$number" --data "$folder/data" \
        --cpu "${CPU:-1024}" --memory "${MEMORY:-1024}" --oversubscribe
    for server in $(printf '%s' "$SERVERS" | tr ',' ' '); do set -- "$@" --server "$server"; done
    # shellcheck disable=SC2086
    nohup "$TRIREME" "$@" ${AGENT_ARGS:-} </dev/null >"$folder/log" 2>&1 &
    echo $! >"$folder/pid"
    count=$((count + 1))
done
echo "$TRIREME_POOL: $TRIREME_WANTED wanted ($TRIREME_REQUEST_ID)"
