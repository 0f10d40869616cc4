module lilypad.example/services/pkg

go 1.26.0
