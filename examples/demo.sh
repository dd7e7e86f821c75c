#!/bin/bash
# The whole way on one machine: documents and examples in, served and cited answers out, and how often they are right.
#
#   examples/demo.sh [DOCS QA]      DOCS: a folder of documents; QA: a folder with train.jsonl and eval.jsonl
#
# Without arguments it asks the machine about its own software (examples/environment/build.py). Everything is kept under
# PLAIT_HOME; a second run reuses what has not changed: documents that are indexed, the adapter that is trained.
set -euo pipefail
cd "$(dirname "$0")/.."

docs=${1:-} qa=${2:-}
if [ -z "$docs" ] && [ -z "$qa" ]; then
    docs=demo-data/docs qa=demo-data
    python examples/environment/build.py demo-data
elif [ -z "$docs" ] || [ -z "$qa" ]; then
    echo "Your own data needs both: make demo DOCS=folder-of-documents QA=folder-with-train.jsonl-and-eval.jsonl" >&2
    exit 2
fi

plait() {
    printf '\n$ plait %s\n' "$*"
    command plait "$@"
}

plait ingest "$docs" collection=demo

# Most examples carry retrieved passages in their prompt, so that the adapter learns to read them (RAFT). 28 steps are
# enough for that, and take two to three minutes on two cores; reciting every fact would take many passes.
plait train qlora --reuse name=demo data.train="$qa/train.jsonl" \
    data.context.collection=demo data.context.top_k=2 data.context.share=0.6 train.max_steps=28 train.lr=1e-3

plait serve local retrieval.collection=demo retrieval.top_k=2 --detach

plait evaluate "$qa/eval.jsonl" base demo rag/base rag/demo --shown 8 --max-tokens 24

url=http://${PLAIT_BIND:-127.0.0.1}:${PLAIT_HTTP_PORT:-8000}
cat <<END

The server is running, and took $SECONDS s from the first step to here. Ask it:

  .venv/bin/plait ask "which version of ray is installed?" --model rag/demo
  curl $url/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "rag/demo", "messages": [{"role": "user", "content": "which version of ray is installed?"}]}'

Stop everything with:  .venv/bin/plait stop
END
