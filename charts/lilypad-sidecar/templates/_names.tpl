{{/*
Names shared by the sidecar and the app's chart. Each template takes the root context of the app's chart; the values of the
library are under its alias `sidecar`.
*/}}
{{- define "lilypad-sidecar.name" -}}
{{ .Release.Name }}-{{ .Values.sidecar.app }}
{{- end }}

{{/* Labels that select the app's pods. */}}
{{- define "lilypad-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.sidecar.app }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the app's pods. The NetworkPolicy of the auth service admits pods with the second one. */}}
{{- define "lilypad-sidecar.podLabels" -}}
{{ include "lilypad-sidecar.selectorLabels" . }}
lilypad.example/auth-client: "true"
{{- end }}

{{- define "lilypad-sidecar.labels" -}}
{{ include "lilypad-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "lilypad-sidecar.image" -}}
{{- $image := .Values.sidecar.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Subcharts.sidecar.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "lilypad-sidecar.routes" -}}
{{- $upstreams := .Values.sidecar.routes.upstreams -}}
{{- range $index, $route := .Values.sidecar.routes.routes -}}
  {{- if not (hasKey $upstreams $route.upstream) -}}
    {{- fail (printf "sidecar.routes.routes[%d].upstream: there is no upstream named %q" $index $route.upstream) -}}
  {{- end -}}
{{- end -}}
{{ tpl (toYaml .Values.sidecar.routes) . }}
{{- end }}

{{/* lilypad-sidecar.seconds: a duration such as 1m30s in seconds. The schema has checked its syntax. */}}
{{- define "lilypad-sidecar.seconds" -}}
{{ add (regexFind "[0-9]+m" . | trimSuffix "m" | int | mul 60) (regexFind "[0-9]+s" . | trimSuffix "s" | int) }}
{{- end }}
