{{/*
lilypad-sidecar.check: fails with a list of all objects of the app's chart that let requests bypass the sidecar.

A template cannot see the file that includes it. This one therefore renders that file again, together with the files in
sidecar.templates, and examines the objects. `sidecarInspects` in the context of the second rendering prevents recursion and
omits the objects of lilypad-sidecar.resources.
*/}}
{{- define "lilypad-sidecar.check" -}}
{{- $faults := list -}}
{{- $context := dict "sidecarInspects" true -}}
{{- range $key, $value := . }}{{ $_ := set $context $key $value }}{{ end -}}
{{- $own := include "lilypad-sidecar.objects" (list .Template.Name $context) | fromJsonArray -}}
{{- $objects := $own -}}
{{- range .Values.sidecar.templates -}}
  {{- $path := printf "%s/%s" $.Template.BasePath . -}}
  {{- if ne $path $.Template.Name -}}
    {{- $objects = concat $objects (include "lilypad-sidecar.objects" (list $path $context) | fromJsonArray) -}}
  {{- end -}}
{{- end -}}

{{- /* The ports of the app: those of upstreams on the loopback address. */ -}}
{{- $appPorts := list -}}
{{- range $name, $upstream := (include "lilypad-sidecar.routes" . | fromYaml).upstreams -}}
  {{- $addresses := list $upstream -}}
  {{- if kindIs "map" $upstream -}}
    {{- $addresses = $upstream.urls | default (list ($upstream.url | default "")) -}}
  {{- end -}}
  {{- range $address := $addresses -}}
    {{- $url := urlParse $address -}}
    {{- if regexMatch "^(localhost|.+\\.localhost|127\\..+|::1|::|0\\.0\\.0\\.0)$" $url.hostname -}}
      {{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) | int -}}
      {{- $appPorts = append $appPorts $port -}}
      {{- if has $port (list 8080 9090) -}}
        {{- $faults = append $faults (printf "sidecar.routes.upstreams.%s: %s is the sidecar itself" $name $address) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- /* Objects of the library. */ -}}
{{- $name := include "lilypad-sidecar.name" . -}}
{{- $taken := list (printf "Service %s" $name) (printf "ConfigMap %s-routes" $name) (printf "NetworkPolicy %s-sidecar" $name) -}}
{{- if .Values.sidecar.serviceAccount.create }}{{ $taken = append $taken (printf "ServiceAccount %s" $name) }}{{ end -}}
{{- range $objects -}}
  {{- $object := printf "%s %s" .kind .metadata.name -}}
  {{- if and (has $object $taken) (eq (.metadata.namespace | default $.Release.Namespace) $.Release.Namespace) -}}
    {{- $faults = append $faults (printf "%s: lilypad-sidecar.resources makes an object of this kind and name; remove it or rename it" $object) -}}
  {{- end -}}
{{- end -}}

{{- $pods := 0 -}}
{{- range $own -}}
  {{- $object := printf "%s %s" .kind .metadata.name -}}
  {{- $pod := . -}}
  {{- if ne .kind "Pod" -}}
    {{- $pod = dig "spec" "jobTemplate" "spec" "template" (dig "spec" "template" dict .) . -}}
  {{- end -}}
  {{- $spec := $pod.spec | default dict -}}
  {{- $containers := $spec.containers | default list -}}
  {{- $sidecar := dict -}}
  {{- range $spec.initContainers -}}
    {{- if and (eq .name "sidecar") (not $sidecar) -}}
      {{- $sidecar = . -}}
    {{- else -}}
      {{- $containers = append $containers . -}}
    {{- end -}}
  {{- end -}}
  {{- if $sidecar -}}
    {{- $pods = add1 $pods -}}
    {{- $labels := dig "metadata" "labels" dict $pod -}}
    {{- if ne (include "lilypad-sidecar.selects" (list (include "lilypad-sidecar.podLabels" $ | fromYaml) $labels)) "true" -}}
      {{- $faults = append $faults (printf "%s: the pod lacks lilypad-sidecar.podLabels, which NetworkPolicies and the Service select" $object) -}}
    {{- end -}}
    {{- $account := $spec.serviceAccountName | default "default" -}}
    {{- if and $.Values.sidecar.serviceAccount.create (ne $account $name) -}}
      {{- $faults = append $faults (printf "%s: serviceAccountName is %s, but lilypad-sidecar.resources makes the ServiceAccount %s: use lilypad-sidecar.name, or set sidecar.serviceAccount.create=false" $object $account $name) -}}
    {{- end -}}
    {{- if $spec.hostNetwork -}}
      {{- $faults = append $faults (printf "%s: with hostNetwork the whole node reaches the app on its loopback address; remove it" $object) -}}
    {{- end -}}
    {{- $set := list -}}
    {{- range $sidecar.env -}}
      {{- if has .name $set -}}
        {{- $faults = append $faults (printf "sidecar.extraEnv: %s is set by the library" .name) -}}
      {{- end -}}
      {{- $set = append $set .name -}}
    {{- end -}}

    {{- /* Kubernetes resolves the name of a port to the first container that has it. */ -}}
    {{- $named := dict -}}
    {{- range append $containers $sidecar -}}
      {{- range .ports -}}
        {{- if and .name (not (hasKey $named .name)) }}{{ $_ := set $named .name .containerPort }}{{ end -}}
      {{- end -}}
    {{- end -}}

    {{- $delay := include "lilypad-sidecar.seconds" $.Values.sidecar.shutdownDelay | int -}}
    {{- range $container := $containers -}}
      {{- $where := printf "%s, container %s" $object .name -}}
      {{- $sleep := ((.lifecycle | default dict).preStop | default dict).sleep -}}
      {{- if and $sleep (le (int $sleep.seconds) $delay) -}}
        {{- $faults = append $faults (printf "%s: lifecycle.preStop sleeps for %v s, but the sidecar accepts requests for sidecar.shutdownDelay (%s): sleep longer" $where $sleep.seconds $.Values.sidecar.shutdownDelay) -}}
      {{- end -}}
      {{- if eq .name "sidecar" -}}
        {{- $faults = append $faults (printf "%s: the name is the sidecar's; choose another" $where) -}}
      {{- end -}}
      {{- $probed := dict -}}
      {{- range .ports -}}
        {{- if .name }}{{ $_ := set $probed .name .containerPort }}{{ end -}}
        {{- if has (.name | default "") (list "lilypad-http" "lilypad-ops") -}}
          {{- $faults = append $faults (printf "%s: the port name %s is the sidecar's; choose another" $where .name) -}}
        {{- end -}}
        {{- if has (int .containerPort) (list 8080 9090) -}}
          {{- $faults = append $faults (printf "%s: port %d is the sidecar's; choose another" $where (int .containerPort)) -}}
        {{- else if has (int .containerPort) $appPorts -}}
          {{- $faults = append $faults (printf "%s: port %d is declared, which lets Services and probes bypass the sidecar; remove it, and let the app listen on 127.0.0.1" $where (int .containerPort)) -}}
        {{- end -}}
      {{- end -}}
      {{- range $kind := list "startupProbe" "livenessProbe" "readinessProbe" "lifecycle.postStart" "lifecycle.preStop" -}}
        {{- $handler := $container -}}
        {{- range splitList "." $kind }}{{ $handler = get $handler . | default dict }}{{ end -}}
        {{- range $action := list "httpGet" "tcpSocket" "grpc" -}}
          {{- $port := (get $handler $action | default dict).port | default "" -}}
          {{- if has (get $probed (toString $port) | default $port | int) $appPorts -}}
            {{- $faults = append $faults (printf "%s: %s goes to port %v of the pod's address, where only the sidecar may reach the app; use a second port or exec" $where $kind $port) -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}

    {{- range $objects -}}
      {{- $object := printf "%s %s" .kind .metadata.name -}}
      {{- $selector := dict -}}
      {{- $ports := list -}}
      {{- if eq .kind "Service" -}}
        {{- $selector = dig "spec" "selector" dict . | default (dict "" "no selector") -}}
        {{- range dig "spec" "ports" list . -}}
          {{- $ports = append $ports (dict "port" (.targetPort | default .port)) -}}
        {{- end -}}
      {{- else if eq .kind "NetworkPolicy" -}}
        {{- $selector = dig "spec" "podSelector" "matchLabels" dict . -}}
        {{- range dig "spec" "ingress" list . -}}
          {{- $ports = concat $ports ((. | default dict).ports | default (list dict)) -}}
        {{- end -}}
        {{- if dig "spec" "podSelector" "matchExpressions" list . }}{{ $ports = list }}{{ end -}}
      {{- end -}}
      {{- if eq (include "lilypad-sidecar.selects" (list $selector $labels)) "true" -}}
        {{- range $appPort := uniq $appPorts -}}
          {{- range $ports -}}
            {{- $first := get $named (toString .port) | default .port | default 1 | int -}}
            {{- $last := .endPort | default (ternary $first 65535 (hasKey . "port")) | int -}}
            {{- if and (le $first $appPort) (le $appPort $last) -}}
              {{- $faults = append $faults (printf "%s: leads to port %d of the app's pods, past the sidecar; use the port lilypad-http, or remove it" $object $appPort) -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if not $pods -}}
  {{- $faults = append $faults (printf "%s: no pod has lilypad-sidecar.container among its initContainers" .Template.Name) -}}
{{- end -}}
{{- with $faults -}}
  {{- fail (printf "lilypad-sidecar: this chart does not keep requests to the sidecar:\n  - %s\n" (uniq . | join "\n  - ")) -}}
{{- end -}}
{{- end }}

{{/* lilypad-sidecar.objects [file, context]: the objects of a file as a JSON array, empty if the file is missing. */}}
{{- define "lilypad-sidecar.objects" -}}
{{- $path := index . 0 -}}
{{- $objects := list -}}
{{- /* An empty definition does not replace an existing one; without it, a missing file would be an error. */ -}}
{{- $text := tpl (printf "{{ define %q }}{{ end }}{{ include %q . }}" $path $path) (index . 1) -}}
{{- range regexSplit "(?m)^---" $text -1 -}}
  {{- $object := fromYaml . -}}
  {{- if hasKey $object "Error" -}}
    {{- fail (printf "lilypad-sidecar: %s: %s" $path $object.Error) -}}
  {{- end -}}
  {{- if eq ($object.kind | default "") "List" -}}
    {{- $objects = concat $objects $object.items -}}
  {{- else if $object -}}
    {{- $objects = append $objects $object -}}
  {{- end -}}
{{- end -}}
{{- $objects | toJson -}}
{{- end }}

{{/* lilypad-sidecar.selects [selector, labels]: "true" if the selector matches the labels. */}}
{{- define "lilypad-sidecar.selects" -}}
{{- $labels := index . 1 -}}
{{- $selects := true -}}
{{- range $key, $value := index . 0 -}}
  {{- if ne (get $labels $key | toString) (toString $value) }}{{ $selects = false }}{{ end -}}
{{- end -}}
{{- $selects -}}
{{- end }}
