// An echo as one writes it in Go.
//
//	echo tcp|copy|udp
//
// tcp is a loop of Read and Write; copy is io.Copy, which splices within the
// kernel on Linux.

package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

func loop(stream net.Conn) {
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

func copies(stream net.Conn) {
	defer stream.Close()
	io.Copy(stream, stream)
}

func streams(echo func(net.Conn)) {
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
		// With netip.AddrPort, which needs no memory from the heap.
		count, peer, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			continue
		}
		socket.WriteToUDPAddrPort(buffer[:count], peer)
	}
}

func main() {
	switch os.Args[1] {
	case "tcp":
		streams(loop)
	case "copy":
		streams(copies)
	default:
		datagrams()
	}
}
