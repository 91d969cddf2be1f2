package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server that was started here.
type process struct {
	cmd   *exec.Cmd
	addr  string // host and port
	ended chan struct{}
	log   string // the file of its stderr
}

const (
	startPatience = 30 * time.Second
	stopPatience  = 30 * time.Second
)

// start runs a server and waits until it says where it listens. Its stderr goes
// to a file in dir.
func start(ctx context.Context, dir string, env []string, name string, args ...string) (_ *process, err error) {
	stderr, err := os.CreateTemp(dir, "stderr-")
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{}), log: stderr.Name()}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n') // an end without the line is said below
		ready <- line
		_ = p.cmd.Wait() // how it ended does not matter: what it said is in the log
		close(p.ended)
	}()
	defer func() {
		if err != nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}()
	select {
	case line := <-ready:
		addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on http://")
		if !ok {
			return nil, fmt.Errorf("%s did not start: %s", filepath.Base(name), p.said())
		}
		p.addr = addr
		return p, nil
	case <-time.After(startPatience):
		return nil, fmt.Errorf("%s did not start within %v: %s", filepath.Base(name), startPatience, p.said())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// said returns the end of what the process wrote to stderr.
func (p *process) said() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// stop ends the process and waits for its end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // when it has ended already there is nothing to do
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 wherever Go
// runs.
const tick = 10 * time.Millisecond

// cpu returns the processor time that the process has taken, in user and in
// kernel mode.
func (p *process) cpu() (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("processor time (Linux alone tells it): %w", err)
	}
	// The name of the command is in parentheses and may hold anything; the
	// fields after it begin with the third.
	_, rest, _ := bytes.Cut(data[bytes.LastIndexByte(data, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: not understood: %q", path, data)
	}
	var sum time.Duration
	for _, f := range fields[11:13] { // utime, stime: the fields 14 and 15
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// memory returns the resident memory of the process in bytes, now and at its
// highest.
func (p *process) memory() (now, peak int64, err error) {
	path := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("memory (Linux alone tells it): %w", err)
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		var to *int64
		switch name {
		case "VmRSS":
			to = &now
		case "VmHWM":
			to = &peak
		default:
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		*to = kb << 10
	}
	return now, peak, nil
}
