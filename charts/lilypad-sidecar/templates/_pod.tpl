{{/*
What the Deployment of an app includes:

  initContainers:
    {{- include "lilypad-sidecar.container" . | nindent 8 }}
  volumes:
    {{- include "lilypad-sidecar.volumes" . | nindent 8 }}

The app must listen on 127.0.0.1 only, and its `preStop` hook must sleep longer than the sidecar's `shutdownDelay`: the sidecar
forwards requests until then.
*/}}
{{- define "lilypad-sidecar.container" -}}
{{- if not (hasKey . "sidecarInspects") }}{{ include "lilypad-sidecar.check" . }}{{ end -}}
- name: sidecar
  image: {{ include "lilypad-sidecar.image" . }}
  imagePullPolicy: {{ .Values.sidecar.image.pullPolicy }}
  restartPolicy: Always # a native sidecar: it starts before the app and ends after it
  args: [serve]
  env:
    - {name: LILYPAD_LISTEN, value: ":8080"}
    - {name: LILYPAD_OPS_LISTEN, value: ":9090"}
    - {name: LILYPAD_ROUTES_FILE, value: /etc/lilypad/routes/routes.yaml}
    - {name: LILYPAD_AUTH_URL, value: {{ .Values.sidecar.authURL | quote }}}
    {{- if .Values.sidecar.clientID }}
    - {name: LILYPAD_CLIENT_ID, value: {{ .Values.sidecar.clientID | quote }}}
    {{- else }}
    - name: SERVICE_ACCOUNT
      valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}
    - {name: LILYPAD_CLIENT_ID, value: {{ printf "%s/$(SERVICE_ACCOUNT)" .Release.Namespace | quote }}}
    {{- end }}
    - {name: LILYPAD_CLIENT_ASSERTION_FILE, value: /var/run/secrets/lilypad/token}
    {{- with .Values.sidecar }}
    {{- if and (gt (int .trustedHops) 0) (not .trustedProxies) (not (and .networkPolicy.enabled .networkPolicy.clients)) }}
    {{- fail "sidecar.trustedHops: whoever reaches the sidecar could forge the client's address: list the ingress controller in sidecar.networkPolicy.clients, or its addresses in sidecar.trustedProxies" }}
    {{- end }}
    {{- with .trustedHops }}
    - {name: LILYPAD_TRUSTED_HOPS, value: {{ . | int64 | quote }}}
    {{- end }}
    {{- with .trustedProxies }}
    - {name: LILYPAD_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
    {{- end }}
    {{- with .dropHeaders }}
    - {name: LILYPAD_DROP_HEADERS, value: {{ join "," . | quote }}}
    {{- end }}
    {{- end }}
    {{- with .Values.sidecar.loginPath }}
    - {name: LILYPAD_LOGIN_PATH, value: {{ . | quote }}}
    {{- end }}
    {{- with .Values.sidecar.registerPath }}
    - {name: LILYPAD_REGISTER_PATH, value: {{ . | quote }}}
    {{- end }}
    - {name: LILYPAD_PUBLIC_SCHEME, value: {{ .Values.sidecar.publicScheme | quote }}}
    {{- with .Values.sidecar.limits }}
    - {name: LILYPAD_CLIENT_MEMORY, value: {{ .memory | int64 | quote }}}
    - {name: LILYPAD_MAX_CONNECTIONS, value: {{ .connections | int64 | quote }}}
    - {name: LILYPAD_MAX_CONNECTIONS_PER_ADDRESS, value: {{ .connectionsPerAddress | int64 | quote }}}
    - {name: LILYPAD_MAX_UPSTREAM_REQUESTS, value: {{ .upstreamRequests | int64 | quote }}}
    - {name: LILYPAD_MAX_HEADER_BYTES, value: {{ .headerBytes | int64 | quote }}}
    - {name: LILYPAD_MAX_HEADERS, value: {{ .headers | int64 | quote }}}
    - {name: LILYPAD_MAX_BODY, value: {{ .body | int64 | quote }}}
    - {name: LILYPAD_READ_HEADER_TIMEOUT, value: {{ .readHeaderTimeout | quote }}}
    - {name: LILYPAD_READ_BODY_TIMEOUT, value: {{ .readBodyTimeout | quote }}}
    - {name: LILYPAD_MIN_BODY_RATE, value: {{ .minBodyRate | int64 | quote }}}
    - {name: LILYPAD_MAX_BODY_TIME, value: {{ .bodyTime | quote }}}
    - {name: LILYPAD_WRITE_TIMEOUT, value: {{ .writeTimeout | quote }}}
    - {name: LILYPAD_IDLE_TIMEOUT, value: {{ .idleTimeout | quote }}}
    {{- end }}
    # Limits the garbage collector, and the memory of clients.
    - name: GOMEMLIMIT
      valueFrom: {resourceFieldRef: {containerName: sidecar, resource: limits.memory}}
    - {name: LILYPAD_ACCESS_LOG, value: {{ .Values.sidecar.log.access | quote }}}
    - {name: LILYPAD_ACCESS_LOG_SAMPLE, value: {{ .Values.sidecar.log.sample | int64 | quote }}}
    - {name: LILYPAD_LOG_LEVEL, value: {{ .Values.sidecar.log.level | quote }}}
    - {name: LILYPAD_LOG_FORMAT, value: {{ .Values.sidecar.log.format | quote }}}
    - {name: LILYPAD_SHUTDOWN_DELAY, value: {{ .Values.sidecar.shutdownDelay | quote }}}
    - {name: LILYPAD_DRAIN, value: {{ .Values.sidecar.drain | quote }}}
    {{- range .Values.sidecar.extraEnv }}
    - {name: {{ .name }}, value: {{ .value | quote }}}
    {{- end }}
  ports:
    # No other container may use these names: the Service finds the port by its name.
    - {name: lilypad-http, containerPort: 8080}
    - {name: lilypad-ops, containerPort: 9090}
  startupProbe:
    httpGet: {path: /readyz, port: lilypad-ops}
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /livez, port: lilypad-ops}
    periodSeconds: 10
    timeoutSeconds: 5
  readinessProbe:
    httpGet: {path: /readyz, port: lilypad-ops}
    periodSeconds: 3
    timeoutSeconds: 3
  lifecycle:
    # The kubelet sends SIGTERM to a native sidecar only after the app has ended: too late to close connections gracefully.
    # The hook runs when the pod begins to end.
    preStop:
      exec: {command: [/sidecar, stop]}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  volumeMounts:
    - {name: lilypad-routes, mountPath: /etc/lilypad/routes, readOnly: true}
    - {name: lilypad-token, mountPath: /var/run/secrets/lilypad, readOnly: true}
    {{- if .Values.sidecar.caConfigMap }}
    - {name: lilypad-ca, mountPath: /etc/ssl/certs, readOnly: true}
    {{- end }}
    {{- with .Values.sidecar.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "lilypad-sidecar.volumes" -}}
# No subPath: the kubelet would not update it, and the sidecar reloads the file when it changes.
- name: lilypad-routes
  configMap:
    name: {{ include "lilypad-sidecar.name" . }}-routes
# A ServiceAccount token for the auth service alone. The kubelet renews it, and only the sidecar mounts it.
- name: lilypad-token
  projected:
    sources:
      - serviceAccountToken: {path: token, audience: lilypad-auth, expirationSeconds: 3600}
{{- with .Values.sidecar.caConfigMap }}
- name: lilypad-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}
