package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}

// TestConnectionAdd_TypedKeyDoesNotShow answers the question as soon as it is
// there, as somebody does who pastes.
func TestConnectionAdd_TypedKeyDoesNotShow(t *testing.T) {
	t.Parallel()
	binary, err := rosterBinary()
	if err != nil {
		t.Fatal(err)
	}
	master, terminal := openTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "connection", "add", "typed", "--no-test", "--url", "http://127.0.0.1:1/scim")
	cmd.Env = []string{"XDG_CONFIG_HOME=" + t.TempDir()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	const key = "rk_typed_typed_typed_typed_typed"
	shown, buf := "", make([]byte, 1000)
	for answered := false; ; {
		n, err := master.Read(buf)
		shown += string(buf[:n])
		if err != nil { // the process has ended
			break
		}
		if !answered && strings.Contains(shown, "Key of the directory: ") {
			answered = true
			if _, err := master.WriteString(key + "\r"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(shown, "key rk_type…; it is in use.") || strings.Contains(shown, key) {
		t.Errorf("got %v, shown: %q", err, shown)
	}
}
