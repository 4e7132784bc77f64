// A gRPC server and a gRPC client of grpc-go for the integration tests, without generated code: bytes in, bytes out.
//
//	grpc-lab server ADDRESS
//	grpc-lab client ADDRESS     reads lines `CALLS EVERY VARIED`, and answers each with a line of JSON: calls by status
//
// One of EVERY calls (0: none) asks for INTERNAL. VARIED 1: each call has a metadata value and an error message of its own.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }
func (raw) Name() string                       { return "proto" }

func serve(_ any, stream grpc.ServerStream) error {
	for {
		var in []byte
		if err := stream.RecvMsg(&in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		known, _ := metadata.FromIncomingContext(stream.Context())
		if ids := known.Get("x-call"); len(ids) > 0 {
			stream.SetTrailer(metadata.Pairs("x-call", ids[0]))
		}
		if text := string(in); strings.HasPrefix(text, "fail") {
			return status.Error(codes.Internal, "as asked"+strings.TrimPrefix(text, "fail"))
		}
		if err := stream.SendMsg(&in); err != nil {
			return err
		}
	}
}

func call(conn *grpc.ClientConn, payload []byte, id string) codes.Code {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if id != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-call", id)
	}
	var out []byte
	return status.Code(conn.Invoke(ctx, "/lab.Lab/Echo", &payload, &out))
}

func client(address string) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return err
	}
	defer conn.Close()
	number := 0
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var calls, every, varied int
		if _, err := fmt.Sscan(lines.Text(), &calls, &every, &varied); err != nil {
			return err
		}
		counts := map[string]int{}
		for i := 0; i < calls; i++ {
			number++
			id, payload := "", "hello"
			if varied > 0 {
				id = fmt.Sprintf("call-%d", number)
			}
			if every > 0 && number%every == 0 {
				payload = "fail"
				if varied > 0 {
					payload = "fail " + id
				}
			}
			counts[call(conn, []byte(payload), id).String()]++
			time.Sleep(time.Millisecond)
		}
		if err := json.NewEncoder(os.Stdout).Encode(counts); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	encoding.RegisterCodec(raw{})
	var err error
	if os.Args[1] == "server" {
		var listener net.Listener
		if listener, err = net.Listen("tcp", os.Args[2]); err == nil {
			err = grpc.NewServer(grpc.UnknownServiceHandler(serve)).Serve(listener)
		}
	} else {
		err = client(os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
