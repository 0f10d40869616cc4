module lilypad.example/hack/standalone

go 1.26.0
