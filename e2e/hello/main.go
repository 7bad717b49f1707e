// Hello answers every HTTP request with the name in NODE, its node's. It is
// the service of the demonstration and of the swarm suites: one static file,
// so that its image needs no registry.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	addr := flag.String("listen", ":8080", "`address` to listen on")
	flag.Parse()
	node := os.Getenv("NODE")

	server := &http.Server{
		Addr:              *addr,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "hello from %s\n", node)
		}),
	}
	log.Fatal(server.ListenAndServe())
}
