module lilypad.example/hack/test

go 1.26.0
