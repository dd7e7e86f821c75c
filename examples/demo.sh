#!/bin/bash
# Fine-tune, retrieve, or both? The whole way on one machine: documents and questions in, a verdict and a server out.
#
#   examples/demo.sh [DOCS QA]      DOCS: a folder of documents; QA: a folder with train.jsonl and eval.jsonl
#
# Without arguments it asks the machine about its own software (examples/environment/build.py). Everything is kept under
# PLAIT_HOME; a second run reuses what has not changed: documents that are indexed, adapters that are trained, answers.
set -euo pipefail
cd "$(dirname "$0")/.."

plait() {
    printf '\n$ plait %s\n' "$*"
    command plait "$@"
}

recipe=examples/environment/compare.yaml docs=${1:-} qa=${2:-}
if [ -z "$docs" ] && [ -z "$qa" ]; then
    python examples/environment/build.py demo-data
    plait data make-questions examples/environment/questions.yaml --out demo-data/questions
    plait compare $recipe --keep-serving
elif [ -n "$docs" ] && [ -n "$qa" ]; then
    plait compare $recipe "data=$qa/eval.jsonl" "ingest.sources=[$docs]" changed=null "icl.examples=$qa/train.jsonl" \
        "tuned.knowledge.data.train=$qa/train.jsonl" "tuned.raft.data.train=$qa/train.jsonl" --keep-serving
else
    echo "Your own data needs both: make demo DOCS=folder-of-documents QA=folder-with-train.jsonl-and-eval.jsonl" >&2
    exit 2
fi

url=http://${PLAIT_BIND:-127.0.0.1}:${PLAIT_HTTP_PORT:-8000}
cat <<END

The server is running, and took $SECONDS s from the first step to here. Ask it:

  .venv/bin/plait ask "which version of ray is installed?" --model rag/demo-raft
  curl $url/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "rag/demo-raft", "messages": [{"role": "user", "content": "which version of ray is installed?"}]}'

Stop everything with:  .venv/bin/plait stop
END
