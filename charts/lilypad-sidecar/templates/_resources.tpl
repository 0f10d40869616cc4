{{/*
All objects but the Deployment: ConfigMap, ServiceAccount, Service, NetworkPolicy. The app's chart includes them:

  {{ include "lilypad-sidecar.resources" . }}
*/}}
{{- define "lilypad-sidecar.resources" -}}
{{- if not (hasKey . "sidecarInspects") -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "lilypad-sidecar.name" . }}-routes
  labels:
    {{- include "lilypad-sidecar.labels" . | nindent 4 }}
data:
  routes.yaml: |
    {{- include "lilypad-sidecar.routes" . | nindent 4 }}
{{- if .Values.sidecar.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "lilypad-sidecar.name" . }}
  labels:
    {{- include "lilypad-sidecar.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "lilypad-sidecar.name" . }}
  labels:
    {{- include "lilypad-sidecar.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "lilypad-sidecar.selectorLabels" . | nindent 4 }}
  # By name: only pods with the sidecar have this port.
  ports:
    - {name: http, port: 8080, targetPort: lilypad-http, appProtocol: http}
{{- if .Values.sidecar.networkPolicy.enabled }}
---
# Allows what the sidecar needs and denies the rest. NetworkPolicies add up: the app's chart allows what the app needs.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "lilypad-sidecar.name" . }}-sidecar
  labels:
    {{- include "lilypad-sidecar.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "lilypad-sidecar.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - {port: 8080, protocol: TCP}
      {{- with .Values.sidecar.networkPolicy.clients }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with .Values.sidecar.networkPolicy.metrics }}
    - ports:
        - {port: 9090, protocol: TCP}
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
  egress:
    - to:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: kube-system}
          podSelector:
            matchLabels: {k8s-app: kube-dns}
      ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    - to:
        - namespaceSelector: {}
          podSelector:
            matchLabels: {app.kubernetes.io/part-of: lilypad, app.kubernetes.io/name: auth}
      ports:
        - {port: http, protocol: TCP}
{{- end }}
{{- end }}
{{- end }}
