package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// probes is how often the disk is probed.
const probes = 200

// probeDisk returns the median of how long it takes to append 4 KB to a file in
// dir and to sync it: what no durable write can be faster than alone.
func probeDisk(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return 0, fmt.Errorf("probe the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4<<10)
	took := make([]time.Duration, probes)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("probe the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("probe the disk: %w", err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
