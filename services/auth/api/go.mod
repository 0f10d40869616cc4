module lilypad.example/services/auth/api

go 1.26.0
