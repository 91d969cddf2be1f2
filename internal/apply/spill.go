package apply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A spill is a file of JSON values, one a line, that is written to its end and
// read at any place. Behind each stands its checksum: what was damaged on disk, or
// edited, is found out before it is acted on.
type spill struct {
	f   *os.File
	w   *bufio.Writer
	off int64
}

// createSpill makes an empty file.
func createSpill(path string) (*spill, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &spill{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

// appendSpill opens a file to go on at its end. What a killed process has left of
// a line there is cut off.
func appendSpill(path string) (*spill, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	end, err := endOfLines(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &spill{f: f, w: bufio.NewWriterSize(f, 64<<10), off: end}, nil
}

// endOfLines returns the offset after the last line that is whole.
func endOfLines(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(end-int64(len(buf)), 0)
		part := buf[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// append writes v as a line and returns where it is.
func (s *spill) append(v any) (int64, error) {
	at := s.off
	data, err := json.Marshal(v, loose) // without white space, so in one line
	if err != nil {
		return 0, err
	}
	n, err := s.w.Write(append(data, seal(data)...))
	s.off += int64(n)
	return at, err
}

// at returns the line at an offset, once flush was called after it was written.
func (s *spill) at(off int64) (jsontext.Value, error) {
	line, err := bufio.NewReaderSize(io.NewSectionReader(s.f, off, s.off-off), 4<<10).ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return unseal(line)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal returns what stands behind a value, to the end of its line. No JSON without
// white space has a tab.
func seal(data []byte) []byte {
	return fmt.Appendf(nil, "\t%08x\n", crc32.Checksum(data, castagnoli))
}

var errDamaged = errors.New("it is not as roster has written it")

// unseal returns the value of a line, or errDamaged.
func unseal(line []byte) (jsontext.Value, error) {
	at := max(bytes.LastIndexByte(line, '\t'), 0)
	if !bytes.Equal(line[at:], seal(line[:at])) {
		return nil, errDamaged
	}
	return line[:at], nil
}

func (s *spill) flush() error { return s.w.Flush() }

// sync makes what was written safe from a loss of power.
func (s *spill) sync() error {
	return errors.Join(s.w.Flush(), s.f.Sync())
}

func (s *spill) close() error {
	return errors.Join(s.w.Flush(), s.f.Close())
}

// each goes through the values of a file; see sealedLines.
func each[T any](path string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for l, err := range sealedLines(path) {
			v := new(T)
			if err == nil {
				err = json.Unmarshal(l.data, v, loose)
			}
			if err != nil {
				v = nil
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// A sealedLine is a value in a file, and where it is.
type sealedLine struct {
	off, end int64
	data     jsontext.Value
}

// sealedLines goes through the lines of a file; no such file has none. One that a killed
// process has left without its end is passed over; after one that is errDamaged the
// next can be read.
func sealedLines(path string) iter.Seq2[sealedLine, error] {
	return func(yield func(sealedLine, error) bool) {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil {
			yield(sealedLine{}, err)
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 64<<10)
		var l sealedLine
		for n := 1; ; n++ {
			text, err := r.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			l.off, l.end = l.end, l.end+int64(len(text))
			if err == nil {
				l.data, err = unseal(text)
			}
			if err != nil {
				err = fmt.Errorf("%s:%d: %w", path, n, err)
			}
			if !yield(l, err) || err != nil && !errors.Is(err, errDamaged) {
				return
			}
		}
	}
}
