{{/*
Checks that the schema cannot express: values that contradict each other, and Secrets with missing or malformed keys. All errors
are reported at once. Secrets are checked only with access to a cluster (install, upgrade, --dry-run=server).
*/}}
{{- define "lilypad.validate" -}}
{{- $faults := list -}}
{{- $access := include "lilypad.seconds" .Values.tokens.accessTTL | int -}}
{{- $idle := include "lilypad.seconds" .Values.sessions.idleTTL | int -}}
{{- $absolute := include "lilypad.seconds" .Values.sessions.absoluteTTL | int -}}
{{- $overlap := include "lilypad.seconds" .Values.sessions.overlap | int -}}
{{- if lt $access 1 -}}
  {{- $faults = append $faults "tokens.accessTTL must be longer than 0s" -}}
{{- end -}}
{{- if gt $access 600 -}}
  {{- $faults = append $faults (printf "tokens.accessTTL is %s: at most 10m, because verifiers that do not follow the revocation feed accept tokens of a revoked session that long" .Values.tokens.accessTTL) -}}
{{- end -}}
{{- if ge $access $idle -}}
  {{- $faults = append $faults (printf "tokens.accessTTL (%s) must be shorter than sessions.idleTTL (%s)" .Values.tokens.accessTTL .Values.sessions.idleTTL) -}}
{{- end -}}
{{- if gt $idle $absolute -}}
  {{- $faults = append $faults (printf "sessions.idleTTL (%s) is longer than sessions.absoluteTTL (%s)" .Values.sessions.idleTTL .Values.sessions.absoluteTTL) -}}
{{- end -}}
{{- if ge $overlap $idle -}}
  {{- $faults = append $faults (printf "sessions.overlap (%s) must be shorter than sessions.idleTTL (%s)" .Values.sessions.overlap .Values.sessions.idleTTL) -}}
{{- end -}}
{{- if lt (include "lilypad.seconds" .Values.sessions.minRotationInterval | int) $overlap -}}
  {{- $faults = append $faults (printf "sessions.minRotationInterval (%s) is shorter than sessions.overlap (%s): a token could be replaced twice while its overlap lasts" .Values.sessions.minRotationInterval .Values.sessions.overlap) -}}
{{- end -}}
{{- if not .Values.keys.existingSecret -}}
  {{- $ahead := include "lilypad.seconds" .Values.keys.publishAhead | int -}}
  {{- if lt $ahead 160 -}}
    {{- $faults = append $faults (printf "keys.publishAhead is %s: at least 2m40s, so that every verifier has fetched the new key" .Values.keys.publishAhead) -}}
  {{- end -}}
  {{- /* 70 s: the clock skew that verifiers allow, and the time until every replica has read the Secret. */ -}}
  {{- if lt (include "lilypad.seconds" .Values.keys.rotateEvery | int) (add $ahead $access 70 | int) -}}
    {{- $faults = append $faults (printf "keys.rotateEvery (%s) is too short: a rotation takes keys.publishAhead (%s), tokens.accessTTL (%s) and 70s" .Values.keys.rotateEvery .Values.keys.publishAhead .Values.tokens.accessTTL) -}}
  {{- end -}}
{{- end -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}
  {{- $stores := dict "value" "stores.existingSecret" "name" .Values.stores.existingSecret "keys" (list "database-url" "redis-url") "root" . -}}
  {{- $faults = concat $faults (include "lilypad.secretFaults" $stores | fromJsonArray) -}}
  {{- range $name := list "databaseCA" "redisCA" -}}
    {{- $ca := get $.Values.stores $name -}}
    {{- with $ca.secret | default $ca.configMap -}}
      {{- $authority := dict "value" (printf "stores.%s" $name) "name" . "keys" (list $ca.key) "kind" (ternary "Secret" "ConfigMap" (eq . $ca.secret)) "root" $ -}}
      {{- $faults = concat $faults (include "lilypad.secretFaults" $authority | fromJsonArray) -}}
    {{- end -}}
  {{- end -}}
  {{- with .Values.keys.existingSecret -}}
    {{- $keys := dict "value" "keys.existingSecret" "name" . "keys" (list "signing.pem" "ring.keys") "root" $ -}}
    {{- $faults = concat $faults (include "lilypad.secretFaults" $keys | fromJsonArray) -}}
    {{- $faults = concat $faults (include "lilypad.ringFaults" (dict "name" . "root" $) | fromJsonArray) -}}
  {{- end -}}
{{- end -}}
{{- with $faults -}}
  {{- fail (printf "invalid values:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end }}

{{- define "lilypad.secretFaults" -}}
{{- $faults := list -}}
{{- $kind := .kind | default "Secret" -}}
{{- $secret := lookup "v1" $kind .root.Release.Namespace .name -}}
{{- if not $secret -}}
  {{- $faults = append $faults (printf "%s: there is no %s %s in namespace %s" .value $kind .name .root.Release.Namespace) -}}
{{- else -}}
  {{- range .keys -}}
    {{- $content := index ($secret.data | default dict) . | default "" -}}
    {{- if not (ternary (b64dec $content) $content (eq $kind "Secret") | trim) -}}
      {{- $faults = append $faults (printf "%s: %s is missing or empty in %s %s" $.value . $kind $.name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end }}

{{- define "lilypad.ringFaults" -}}
{{- $faults := list -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name | default dict -}}
{{- range $line := index ($secret.data | default dict) "ring.keys" | default "" | b64dec | trim | splitList "\n" -}}
  {{- $fields := regexSplit "\\s+" (trim $line) -1 -}}
  {{- if and (trim $line) (not (hasPrefix "#" (trim $line))) (or (ne (len $fields) 2) (not (regexMatch "^[A-Za-z0-9+/]{43}=$" (last $fields)))) -}}
    {{- $faults = append $faults (printf "keys.existingSecret: a line of ring.keys in Secret %s is not `id base64(32 bytes)`: the key is too short, too long or not base64" $.name) -}}
  {{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end }}
