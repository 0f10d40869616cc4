# Versions and names of everything that hack/airgap builds. Sourced by its scripts.
# shellcheck shell=bash disable=SC2034

kubernetes=v1.37.2         # k8s.io/kubernetes; its staging modules carry the same release as v0.37.2
kubernetes_staging=v0.37.2
containerd=v2.3.4          # containerd and the CNI plugins as in the base image of the kind release below
cni_plugins=v1.9.1
etcd=v3.7.0
coredns=v1.14.6
traefik=v3.4.0
kind=v0.33.0               # for the node's own files; the same release as the tool in hack/tools
postgres=15                # Debian's

airgap_node_image=kindest/node:$kubernetes-local
traefik_image=docker.io/library/traefik:$traefik
dev_postgres_image=lilypad/dev-postgres:$postgres
dev_redis_image=lilypad/dev-redis:7
