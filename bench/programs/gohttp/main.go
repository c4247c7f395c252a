// SPDX-License-Identifier: Apache-2.0
// A web server with an answer of 1 KiB, as net/http does it. Usage: gohttp [ADDRESS]. SIGTERM ends it with status 0.
package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	body := bytes.Repeat([]byte("x"), 1024)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	})
	address := "127.0.0.1:8099"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening", listener.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go http.Serve(listener, nil)
	<-stop
	fmt.Println("stopped")
}
