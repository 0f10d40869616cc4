{{- define "lilypad.name" -}}
{{ .Release.Name }}-auth
{{- end }}

{{- define "lilypad.selectorLabels" -}}
app.kubernetes.io/name: auth
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lilypad.labels" -}}
{{ include "lilypad.selectorLabels" . }}
app.kubernetes.io/part-of: lilypad
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "lilypad.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "lilypad.issuer" -}}
{{ .Values.issuer | default (printf "http://%s.%s.svc:8080" (include "lilypad.name" .) .Release.Namespace) }}
{{- end }}

{{/* lilypad.keyring: name of the Secret with the service's keys. */}}
{{- define "lilypad.keyring" -}}
{{ include "lilypad.name" . }}-keyring
{{- end }}

{{/* lilypad.seconds: a duration such as 1h30m in seconds. The schema has checked its syntax. */}}
{{- define "lilypad.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | int -}}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | int -}}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | int -}}
{{ add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end }}

{{/* lilypad.authority {name, ca}: source of a projected volume that has the certificates as <name>.pem. */}}
{{- define "lilypad.authority" -}}
- {{ ternary "configMap" "secret" (not .ca.secret) }}:
    name: {{ .ca.configMap | default .ca.secret }}
    items:
      - {key: {{ .ca.key }}, path: {{ .name }}.pem}
{{- end }}
