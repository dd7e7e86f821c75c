#!/bin/bash
# Make the Secrets that the manifests refer to: passwords at random, the bucket's keys from the environment. What exists
# is left as it is.
#   AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… k8s/secrets.sh          on the cluster of kubectl's context
#   k8s/secrets.sh --print                                              on paper, to see names and keys
set -euo pipefail

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

secret() { # NAME --from-literal=KEY=VALUE…
    local name=$1
    shift
    if [ "${print:-}" ]; then
        kubectl create secret generic "$name" --namespace plait --dry-run=client --output yaml "$@"
        echo ---
    elif ! kubectl get secret "$name" --namespace plait >/dev/null 2>&1; then
        kubectl create secret generic "$name" --namespace plait "$@"
    fi
}

[ "${1:-}" = --print ] && print=yes

secret plait-api --from-literal=admin-key="$(random)"
secret plait-redis --from-literal=password="$(random)"
secret plait-postgresql --from-literal=password="$(random)"
# Milvus begins with this password: change it there (docs/kubernetes.md), then here.
secret plait-milvus --from-literal=token=root:Milvus
secret plait-object-storage \
    --from-literal=accesskey="${AWS_ACCESS_KEY_ID:-plait}" \
    --from-literal=secretkey="${AWS_SECRET_ACCESS_KEY:-$(random)}"
