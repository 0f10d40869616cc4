module lilypad.example/services/frogs

go 1.26.0

require (
	lilypad.example/services/pkg v0.0.0
)

replace (
	lilypad.example/services/pkg => ../pkg
)
