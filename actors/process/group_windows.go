package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A group is one process in a Job Object of its own, with everything that descends from it. The job's only handle is ours
// and ends its processes when it is closed, which the system does for us when this program ends, however it ends.
//
// This file is compiled and vetted with the others, but no test of this module runs it.
type group struct {
	pid     int
	process *os.Process

	mu      sync.Mutex
	job     windows.Handle // 0 once the group has ended
	reached bool
	over    bool // the leader has ended
}

// spawn starts a process suspended, so that it starts nothing itself before it is in the job.
func spawn(_ *guard, at place, c Command, env []string, files []*os.File) (*group, error) {
	if len(files) > 3 || !c.Setup.Empty() {
		return nil, errors.ErrUnsupported
	}
	job, err := newJob()
	if err != nil {
		return nil, err
	}
	argv := append([]string{at.path}, c.Args[1:]...)
	p, err := os.StartProcess(at.path, argv, &os.ProcAttr{Dir: c.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{
		CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP,
	}})
	if err != nil {
		windows.CloseHandle(job)
		return nil, err
	}
	if err := enclose(job, p); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		windows.CloseHandle(job)
		return nil, err
	}
	return &group{pid: p.Pid, process: p, job: job}, nil
}

func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		windows.CloseHandle(job)
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return job, nil
}

// enclose puts a suspended process into a job and lets it run.
func enclose(job windows.Handle, p *os.Process) error {
	var err error
	herr := p.WithHandle(func(h uintptr) { err = windows.AssignProcessToJobObject(job, windows.Handle(h)) })
	if err = errors.Join(herr, err); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	return resume(uint32(p.Pid))
}

// resume lets the threads of a suspended process run: it has one, whose handle os.StartProcess has closed.
func resume(pid uint32) error {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return os.NewSyscallError("CreateToolhelp32Snapshot", err)
	}
	defer windows.CloseHandle(all)
	var thread windows.ThreadEntry32
	thread.Size = uint32(unsafe.Sizeof(thread))
	resumed := false
	for err = windows.Thread32First(all, &thread); err == nil; err = windows.Thread32Next(all, &thread) {
		if thread.OwnerProcessID == pid {
			if err := resumeThread(thread.ThreadID); err != nil {
				return err
			}
			resumed = true
		}
	}
	if !resumed {
		return fmt.Errorf("process: pid %d has no thread to resume: %w", pid, err)
	}
	return nil
}

func resumeThread(id uint32) error {
	h, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, id)
	if err != nil {
		return os.NewSyscallError("OpenThread", err)
	}
	defer windows.CloseHandle(h)
	_, err = windows.ResumeThread(h)
	return os.NewSyscallError("ResumeThread", err)
}

func (g *group) close() {}

func (g *group) measure() {}

func (g *group) dump(Signal) error { return errors.ErrUnsupported }

// wait waits for the process, and ends what it left behind.
func (g *group) wait() Exit {
	state, err := g.process.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	_ = windows.TerminateJobObject(g.job, 1)
	windows.CloseHandle(g.job)
	g.job = 0
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	return Exit{Code: state.ExitCode(), Stopped: g.reached, CPU: cpuTime(state)}
}

func cpuTime(state *os.ProcessState) time.Duration { return state.UserTime() + state.SystemTime() }

// stop is Ctrl-Break for the process and those that share its console group. One without our console does not hear it,
// and has until the kill.
func (g *group) stop(Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		g.reached = true
		_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.pid))
	}
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reached = g.reached || !g.over
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, 1)
	}
}

func (g *group) signal(Signal) error { return errors.ErrUnsupported }
