module plugins

go 1.26.0

require github.com/docker/machine v0.16.2

require (
	github.com/docker/docker v0.0.0-00010101000000-000000000000 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/docker/docker => ./term
