package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/roster-scim/roster"
)

// maxLocalAnswer bounds an answer on a local transport, in bytes. No page is as
// large.
const maxLocalAnswer = 64 << 20

// Local returns a transport whose requests this server answers within the
// process, in the goroutine of the caller: those of a run in the directory. They
// may do what the key may, and reach no other directory, also when the key is an
// operator's; one that is not live any more is a 401. The key goes with the
// context of a request: nothing in one from outside can stand for it, and an
// Authorization header of a local one is not read. cause goes into the events;
// nil: none. All else is as for any request: the bounds of bodies, the key's
// rate, the request log, metrics, chaos.
//
// A request on it ends when the server has answered; a panic of a handler is an
// error of the request.
func (s *Server) Local(directory string, key *roster.Key, cause *roster.Cause) http.RoundTripper {
	within := *key
	if within.Operator() {
		within.Directory, within.User = directory, ""
	}
	return &local{s, directory, &within, cause}
}

type local struct {
	server    *Server
	directory string
	key       *roster.Key
	cause     *roster.Cause
}

type localKey struct{}

// localOf returns the local transport that a request came by, nil when it came
// over the network.
func localOf(r *http.Request) *local {
	l, _ := r.Context().Value(localKey{}).(*local)
	return l
}

// RoundTrip implements http.RoundTripper.
func (l *local) RoundTrip(out *http.Request) (resp *http.Response, err error) {
	if out.Body != nil {
		defer out.Body.Close()
	}
	if l.key.Directory != l.directory {
		return nil, errors.New("the key of a local connection is of another directory")
	}
	in := out.Clone(context.WithValue(out.Context(), localKey{}, l))
	in.Header = make(http.Header, len(out.Header))
	for name, values := range out.Header { // as it would be read from the network
		name = http.CanonicalHeaderKey(name)
		in.Header[name] = append(in.Header[name], values...)
	}
	in.Header.Del("Authorization")
	in.RequestURI, in.RemoteAddr, in.Proto, in.ProtoMajor, in.ProtoMinor = out.URL.RequestURI(), "local", "HTTP/1.1", 1, 1
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &localAnswer{recorder: recorder{header: make(http.Header)}}
	defer func() {
		if p := recover(); p != nil { // the server has logged any other panic
			resp, err = nil, errors.New("the connection was lost: the server gave no answer")
		}
	}()
	l.server.serve(w, in)
	if err := out.Context().Err(); err != nil {
		return nil, err
	}
	if w.tooLarge {
		return nil, errors.New("the answer is larger than " + strconv.Itoa(maxLocalAnswer) + " bytes")
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(bytes.NewReader(w.body.Bytes())), ContentLength: int64(w.body.Len()), Request: out,
	}, nil
}

// A localAnswer is the answer on a local transport while it is made.
type localAnswer struct {
	recorder
	tooLarge bool
}

func (w *localAnswer) Write(b []byte) (int, error) {
	if w.tooLarge = w.tooLarge || w.body.Len()+len(b) > maxLocalAnswer; w.tooLarge {
		return 0, http.ErrContentLength
	}
	return w.recorder.Write(b)
}
