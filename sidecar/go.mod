module lilypad.example/sidecar

go 1.26.0

require (
	lilypad.example/services/pkg v0.0.0
	lilypad.example/services/auth/api v0.0.0
)

replace (
	lilypad.example/services/pkg => ../services/pkg
	lilypad.example/services/auth/api => ../services/auth/api
)
