# Shared by the scripts of this folder: where the project is, what they say while they work, and what they need installed.
# Sourced, never run. Progress goes to standard error; standard output belongs to a script's result.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lilypad
cluster=lilypad
node=$cluster-control-plane

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# usage: prints the script's own head comment, which is its manual.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# step TITLE COMMAND...: runs the command and says how long it took.
step() {
  local title=$1 started=$SECONDS
  shift
  say "$title"
  "$@"
  say "$title: done in $((SECONDS - started)) s"
}

# quiet COMMAND...: what a command says is shown only if it fails.
quiet() {
  local said
  said=$("$@" 2>&1) || {
    local status=$?
    printf '%s\n' "$said" >&2
    return "$status"
  }
}

# retry SECONDS COMMAND...: repeats a command until it succeeds or the time is over; then it shows what the last attempt said.
retry() {
  local deadline=$((SECONDS + $1)) said
  shift
  until said=$("$@" 2>&1); do
    if ((SECONDS >= deadline)); then
      printf '%s\n' "$said" >&2
      return 1
    fi
    sleep 1
  done
}

have() { command -v "$1" >/dev/null; }

# packages NAME...: installs Debian packages, or says which ones are needed.
packages() {
  if ! have apt-get || ((EUID != 0)); then
    die "please install: $* (as root on Debian this script does it itself)"
  fi
  say "installing $*"
  quiet apt-get update -q
  quiet env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@"
}

# debian_mirror: where this machine gets Debian's packages from.
debian_mirror() { apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Label: Debian' | head -n 1; }

# go_tool NAME PACKAGE: builds a tool at the version that hack/tools pins into bin/, unless that version is there.
# The version is asked of the built tool and of the module file: both answer without compiling anything.
go_tool() {
  local name=$1 package=$2 wanted built=
  have go || die "Go is missing: install the version named in go.work from https://go.dev/dl"
  wanted=$(GOWORK=off go -C "$root/hack/tools" list -f '{{.Module.Version}}' "$package")
  if [[ -x $root/bin/$name ]]; then built=$(go version -m "$root/bin/$name" | awk '$1 == "mod" {print $3}'); fi
  if [[ $built != "$wanted" ]]; then
    step "building $name $wanted" env GOWORK=off GOBIN="$root/bin" CGO_ENABLED=0 go -C "$root/hack/tools" install "$package"
  fi
}

# build_image ARGUMENT...: docker build, silent unless it fails; a client without buildx complains at length of its own builder.
build_image() {
  local output
  output=$(docker build --quiet "$@" 2>&1) || die "docker build: $output"
}

# random: 32 characters of a password, nothing that a URL or a shell would need to quote.
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

kind() { "$root/bin/kind" "$@"; }
helm() { "$root/bin/helm" --kube-context "kind-$cluster" "$@"; }
kubectl() { "$kubectl_path" --context "kind-$cluster" "$@"; }

# find_kubectl: the node carries the kubectl of exactly its own version; on another system than Linux it must be installed.
find_kubectl() {
  kubectl_path=$root/bin/kubectl
  if [[ $(uname -s) != Linux ]]; then
    kubectl_path=$(command -v kubectl) || die "kubectl is missing: https://kubernetes.io/docs/tasks/tools"
    return
  fi
  local image
  image=$(docker inspect --format '{{.Image}}' "$node")
  if [[ ! -x $kubectl_path || $(cat "$kubectl_path.image" 2>/dev/null) != "$image" ]]; then
    docker cp "$node:$(docker exec "$node" sh -c 'command -v kubectl')" "$kubectl_path" >/dev/null
    printf %s "$image" >"$kubectl_path.image"
  fi
}

# node_has IMAGE: is the image in the node's own store?
node_has() { [[ -n $(docker exec "$node" ctr --namespace k8s.io images list --quiet "name==$1") ]]; }

# cluster_state: running, exited and so on; nothing without a cluster, or without an engine that could have one.
cluster_state() { if have docker; then docker ps --all --filter "name=^$node\$" --format '{{.State}}' 2>/dev/null || true; fi; }

# cluster_port: the port of this machine on which the ingress of the cluster answers, whether it runs or not.
cluster_port() { docker inspect --format '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}' "$node"; }
