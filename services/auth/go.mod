module lilypad.example/services/auth

go 1.26.0

require (
	lilypad.example/services/pkg v0.0.0
	lilypad.example/services/auth/api v0.0.0
)

replace (
	lilypad.example/services/pkg => ../pkg
	lilypad.example/services/auth/api => ./api
)
