package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// patience is how long an answer may take before the run has failed.
const patience = 30 * time.Second

// A conn is one connection that speaks just enough HTTP/1.1: one request at a
// time, and answers that say their length. net/http would cost the client more
// than the bare server costs the server.
type conn struct {
	net.Conn
	in []byte // what has arrived of the present answer
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: make([]byte, 0, 256<<10)}, nil
}

// exchange sends a request and returns the status and the body of its answer,
// which is valid until the next call.
func (c *conn) exchange(request []byte) (status int, body []byte, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	c.in = c.in[:0]
	end, length := -1, 0
	for {
		if end < 0 {
			if end = bytes.Index(c.in, []byte("\r\n\r\n")); end >= 0 {
				if status, length, err = parseHead(c.in[:end+2]); err != nil {
					return 0, nil, err
				}
				end += len("\r\n\r\n")
			}
		}
		if end >= 0 && len(c.in) >= end+length {
			if len(c.in) > end+length {
				return 0, nil, errors.New("the server sent more than an answer")
			}
			return status, c.in[end:], nil
		}
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, 0)[:len(c.in)]
		}
		n, err := c.Read(c.in[len(c.in):cap(c.in)])
		if n == 0 && err != nil {
			return 0, nil, fmt.Errorf("read answer: %w", err)
		}
		c.in = c.in[:len(c.in)+n]
	}
}

// parseHead reads the status line and the header of an answer.
func parseHead(head []byte) (status, length int, err error) {
	bad := func() (int, int, error) { return 0, 0, fmt.Errorf("not an answer with a length: %.200q", head) }
	line, header, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 200") || string(line[:9]) != "HTTP/1.1 " {
		return bad()
	}
	if status, err = digits(line[9:12]); err != nil {
		return bad()
	}
	if status == 204 {
		return status, 0, nil
	}
	// net/http writes names in this spelling.
	i := bytes.Index(header, []byte("Content-Length: "))
	if i < 0 {
		return bad()
	}
	value, _, _ := bytes.Cut(header[i+len("Content-Length: "):], []byte("\r\n"))
	if length, err = digits(value); err != nil {
		return bad()
	}
	return status, length, nil
}

func digits(b []byte) (n int, err error) {
	for _, d := range b {
		if d < '0' || d > '9' || n > 1<<30 {
			return 0, fmt.Errorf("no number: %q", b)
		}
		n = 10*n + int(d-'0')
	}
	return n, nil
}
