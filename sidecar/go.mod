module lilypad.example/sidecar

go 1.26.0

require (
	lilypad.example/services/auth/api v0.0.0
	lilypad.example/services/pkg v0.0.0
)

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	github.com/prometheus/client_golang v1.25.0 // indirect
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)

replace (
	lilypad.example/services/auth/api => ../services/auth/api
	lilypad.example/services/pkg => ../services/pkg
)
