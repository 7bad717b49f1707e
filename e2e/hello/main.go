// Hello answers every HTTP request with the name of the node it runs on. It is
// the service of the demonstration and of the swarm suites: one static file,
// so that its image needs no registry.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

func main() {
	addr := flag.String("listen", ":8080", "`address` to listen on")
	node := flag.String("node", "", "`name` of the node, to answer with")
	flag.Parse()

	server := &http.Server{
		Addr:              *addr,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "hello from %s\n", *node)
		}),
	}
	log.Fatal(server.ListenAndServe())
}
