{{- define "frogs.api.name" -}}
{{ .Release.Name }}-api
{{- end }}

{{- define "frogs.api.selectorLabels" -}}
app.kubernetes.io/name: api
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "frogs.labels" -}}
app.kubernetes.io/part-of: frogs
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "frogs.api.labels" -}}
{{ include "frogs.api.selectorLabels" . }}
{{ include "frogs.labels" . }}
{{- end }}

{{- define "frogs.frontend.labels" -}}
{{ include "lilypad-sidecar.selectorLabels" . }}
{{ include "frogs.labels" . }}
{{- end }}

{{/* frogs.image: takes {image, root}. */}}
{{- define "frogs.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "frogs.issuer" -}}
{{ .Values.issuer | default .Values.sidecar.authURL }}
{{- end }}

{{- define "frogs.host" -}}
{{ (urlParse .Values.publicURL).host | splitList ":" | first }}
{{- end }}

{{- define "frogs.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "frogs.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* frogs.spread: takes the labels that select the pods. */}}
{{- define "frogs.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- . | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
