# Compiles main packages of other people's modules into ~/.cache/lilypad/airgap/bin, once for each version.
# Sourced after lib/common.bash and versions.bash.
# shellcheck shell=bash disable=SC2154 # they set what is used here

work=$cache/airgap
bin=$work/bin
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=mod

module_dir() { go mod download -json "$1" | jq -r .Dir; }

# compile NAME MODULE@VERSION PACKAGE...: main packages of a module with the dependencies that
# module itself chose. `go install module@version` refuses modules with replace directives, so the
# module is built in a writable copy whose relative replacements are dropped; Kubernetes' staging
# modules, which are relative ones, get their release instead.
compile() {
  local name=$1 module=$2 source=$work/source/$1 out=$bin/$1-${2##*@} path
  shift 2
  if [[ -d $out ]]; then say "$name: compiled before"; return; fi
  rm -rf "$source" "$out.part"
  mkdir -p "$work/source" "$out.part"
  cp -r "$(module_dir "$module")" "$source"
  chmod -R u+w "$source"
  go -C "$source" mod edit -json | jq -r '.Replace[]? | select(.New.Path | startswith(".")) | .Old.Path' |
    while read -r path; do
      go -C "$source" mod edit -dropreplace="$path"
      if [[ $path == k8s.io/* ]]; then go -C "$source" mod edit -replace="$path=$path@$kubernetes_staging"; fi
    done
  go -C "$source" build -trimpath -buildvcs=false -ldflags "-s -w ${ldflags-}" ${tags:+-tags "$tags"} \
    -o "$out.part/" "$@" 2> >(grep -v '^go: downloading' >&2)
  mv "$out.part" "$out"
  chmod -R u+w "$source"
  rm -rf "$source"
}

compile_traefik() { compile traefik github.com/traefik/traefik/v3@$traefik ./cmd/traefik; }
