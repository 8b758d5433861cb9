// An echo as one writes it in Go.  A loop of Read and Write, where io.Copy
// would splice within the kernel, so that all servers see their bytes.

package main

import (
	"fmt"
	"log"
	"net"
	"os"
)

func echo(stream net.Conn) {
	defer stream.Close()
	buffer := make([]byte, 65536)
	for {
		count, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func streams() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		stream, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(stream)
	}
}

func datagrams() {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", socket.LocalAddr().(*net.UDPAddr).Port)
	buffer := make([]byte, 65536)
	for {
		count, peer, err := socket.ReadFromUDP(buffer)
		if err != nil {
			continue
		}
		socket.WriteToUDP(buffer[:count], peer)
	}
}

func main() {
	if os.Args[1] == "tcp" {
		streams()
	} else {
		datagrams()
	}
}
