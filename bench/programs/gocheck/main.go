// SPDX-License-Identifier: Apache-2.0
// What Go's runtime needs of a kernel, checked: preemption by signals, the collector, timers, the network poller,
// signals, big reservations, threads. Prints one line a check; the lines are the same on every right kernel.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func check(name string, ok bool) {
	if !ok {
		fmt.Println("FAILED", name)
		os.Exit(1)
	}
	fmt.Println("ok", name)
}

// Loops without calls: only a signal (SIGURG) takes them off their threads.
func preemption() bool {
	var stop, spins int64
	for i := 0; i < 4; i++ {
		go func() {
			n := int64(0)
			for atomic.LoadInt64(&stop) == 0 {
				n++
			}
			atomic.AddInt64(&spins, n)
		}()
	}
	for i := 0; i < 8; i++ {
		runtime.GC() // stops every loop
	}
	atomic.StoreInt64(&stop, 1)
	for i := 0; i < 1000 && atomic.LoadInt64(&spins) == 0; i++ {
		time.Sleep(time.Millisecond)
	}
	return spins > 0
}

type node struct {
	next *node
	data [64]byte
}

func collector() bool {
	var group sync.WaitGroup
	var wrong int64
	for t := 0; t < 8; t++ {
		group.Add(1)
		go func(seed byte) {
			defer group.Done()
			var list *node
			for i := 0; i < 4000; i++ {
				fresh := &node{next: list}
				fresh.data[i%64] = seed
				list = fresh
				if i%100 == 99 {
					for k, at := i, list; at != nil; k, at = k-1, at.next {
						if at.data[k%64] != seed {
							atomic.AddInt64(&wrong, 1)
						}
					}
					list = nil
				}
			}
		}(byte(t + 1))
	}
	group.Wait()
	debug.FreeOSMemory()
	return wrong == 0
}

func timers() bool {
	var group sync.WaitGroup
	var early int64
	for i := 0; i < 200; i++ {
		group.Add(1)
		go func(d time.Duration) {
			defer group.Done()
			start := time.Now()
			<-time.After(d)
			if time.Since(start) < d {
				atomic.AddInt64(&early, 1)
			}
		}(time.Duration(i) * 100 * time.Microsecond)
	}
	group.Wait()
	return early == 0
}

func network() bool {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return false
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var group sync.WaitGroup
	var wrong int64
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			c, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				atomic.AddInt64(&wrong, 1)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for k := 0; k < 50; k++ {
				line := fmt.Sprintf("line %d of %d\n", k, i)
				io.WriteString(c, line)
				if got, _ := r.ReadString('\n'); got != line {
					atomic.AddInt64(&wrong, 1)
				}
			}
			c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
			if _, err := r.ReadByte(); err == nil || !os.IsTimeout(err) {
				atomic.AddInt64(&wrong, 1)
			}
		}(i)
	}
	group.Wait()
	return wrong == 0
}

func signals() bool {
	got := make(chan os.Signal, 64)
	signal.Notify(got, syscall.SIGUSR1, syscall.SIGHUP)
	for i := 0; i < 10; i++ {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		if s := <-got; s != syscall.SIGUSR1 {
			return false
		}
	}
	signal.Stop(got)
	return true
}

func fault() (ok bool) {
	defer func() { ok = recover() != nil }()
	var p *node
	return p.data[0] == 1
}

func threads() bool {
	var group sync.WaitGroup
	tids := sync.Map{}
	gate := make(chan bool)
	for i := 0; i < 12; i++ {
		group.Add(1)
		go func() {
			runtime.LockOSThread() // and leave it locked: the thread ends with the goroutine
			tids.Store(syscall.Gettid(), true)
			<-gate
			group.Done()
		}()
	}
	time.Sleep(20 * time.Millisecond)
	close(gate)
	group.Wait()
	count := 0
	tids.Range(func(k, v any) bool { count++; return true })
	return count == 12
}

func maps() bool {
	text, err := os.ReadFile("/proc/self/maps")
	return err == nil && strings.Contains(string(text), "[stack]") && strings.Contains(string(text), "r-xp")
}

func pipes() bool {
	r, w, err := os.Pipe()
	if err != nil {
		return false
	}
	go func() {
		for i := 0; i < 1000; i++ {
			fmt.Fprintln(w, i)
		}
		w.Close()
	}()
	sum, n := 0, 0
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		fmt.Sscan(scanner.Text(), &n)
		sum += n
	}
	return sum == 499500
}

func main() {
	check("preemption", preemption())
	check("collector", collector())
	check("timers", timers())
	check("network", network())
	check("signals", signals())
	check("fault", fault())
	check("threads", threads())
	check("maps", maps())
	check("pipes", pipes())
	check("cpus", runtime.NumCPU() > 0)
	start := time.Now()
	time.Sleep(5 * time.Millisecond)
	check("clock", time.Since(start) >= 5*time.Millisecond && time.Now().Year() > 2020)
}
