# Functions of the scripts in this folder, which source it. Progress goes to standard error; standard output is the result
# of a script.
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

# usage: prints the comment at the head of the script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# step TITLE COMMAND...: runs a command and reports its duration.
step() {
  local title=$1 started=$SECONDS
  shift
  say "$title"
  "$@"
  say "$title: done in $((SECONDS - started)) s"
}

# quiet COMMAND...: shows the output of a command only if it fails.
quiet() {
  local said
  said=$("$@" 2>&1) || {
    local status=$?
    printf '%s\n' "$said" >&2
    return "$status"
  }
}

# retry SECONDS COMMAND...: repeats a command until it succeeds. After SECONDS it shows the output
# of the last attempt and fails.
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

# packages NAME...: installs Debian packages, or reports that they are missing.
packages() {
  if ! have apt-get || ((EUID != 0)); then
    die "please install: $* (as root on Debian this script does it itself)"
  fi
  say "installing $*"
  quiet apt-get update -q
  quiet env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@"
}

# debian_mirror: prints the URL of this machine's Debian mirror.
debian_mirror() { apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Label: Debian' | head -n 1; }

# go_tool NAME PACKAGE: builds a tool into bin/, at the version of hack/tools/go.mod, unless bin/
# has that version.
go_tool() {
  local name=$1 package=$2 wanted built=
  have go || die "Go is missing: install the version named in go.work from https://go.dev/dl"
  wanted=$(GOWORK=off go -C "$root/hack/tools" list -f '{{.Module.Version}}' "$package")
  if [[ -x $root/bin/$name ]]; then built=$(go version -m "$root/bin/$name" | awk '$1 == "mod" {print $3}'); fi
  if [[ $built != "$wanted" ]]; then
    step "building $name $wanted" env GOWORK=off GOBIN="$root/bin" CGO_ENABLED=0 go -C "$root/hack/tools" install "$package"
  fi
}

# build_image ARGUMENT...: docker build that is silent unless it fails. Clients without buildx print
# a long warning otherwise.
build_image() {
  local output
  output=$(docker build --quiet "$@" 2>&1) || die "docker build: $output"
}

# random: prints a password of 32 characters that need no quoting in URLs and shells.
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

kind() { "$root/bin/kind" "$@"; }
helm() { "$root/bin/helm" --kube-context "kind-$cluster" "$@"; }
kubectl() { "$kubectl_path" --context "kind-$cluster" "$@"; }

# find_kubectl: sets kubectl_path. On Linux it copies kubectl from the node; elsewhere kubectl must
# be installed.
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

# node_has IMAGE: whether the image is in the image store of the node.
node_has() { [[ -n $(docker exec "$node" ctr --namespace k8s.io images list --quiet "name==$1") ]]; }

# cluster_state: prints running, exited and so on, or nothing if there is no cluster or no Docker
# engine.
cluster_state() { if have docker; then docker ps --all --filter "name=^$node\$" --format '{{.State}}' 2>/dev/null || true; fi; }

# cluster_port: prints the port of the cluster's ingress, also if the cluster is stopped.
cluster_port() { docker inspect --format '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}' "$node"; }
