package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// A torchCase is a command line, and what comes of it: output of the ranks, or with exit status 2 what launch says, whole, before
// any process starts.
type torchCase struct {
	args string // fields; a script of sh follows
	env  string // KEY=VALUE
	sh   string
	code int
	says string // with code 0 a regular expression
}

// torchrunRows has, for each row of docs/torchrun.md, what is tried of it.
var torchrunRows = map[string][]torchCase{
	"SCRIPT [ARGS…]": {
		{args: "testdata/argv.py --lr 0.1", says: `\['testdata/argv.py', '--lr', '0.1'\] unbuffered`},
		{args: "-n 2 testdata/argv.py --dir=a/${local_rank}-${rank} ${local_rank}", says: `(?m)^\[1\] \['testdata/argv.py', '--dir=a/1-\$\{rank\}', '1'\]`},
		{args: "-n 2", sh: "local_rank=mine; echo ${local_rank} $0", says: `(?m)^\[1\] mine `},
		{args: "testdata/argv.py", env: "PYTHON_EXEC=/nosuch/python", code: 127, says: "the program /nosuch/python: no such file or directory"},
	},
	"--nnodes": {
		{args: "--nnodes 1:1", sh: "echo $GROUP_WORLD_SIZE", says: "1"},
		{args: "--nnodes=2", code: 2, says: "--hosts 2: say with --listen HOST:PORT where the hosts join this launch, such as --listen 10.0.0.1:7070, and run launch agent --join 10.0.0.1:7070 on each of them"},
		{env: "PET_NNODES=1:4", code: 2, says: "PET_NNODES: --hosts 1:4: say with --listen HOST:PORT where the hosts join this launch, such as --listen 10.0.0.1:7070, and run launch agent --join 10.0.0.1:7070 on each of them"},
		{args: "--nnodes x:1", code: 2, says: `--hosts "x:1": write a number of hosts, or MIN:MAX, such as 2:4`},
		{args: "--nnodes 1 --listen 127.0.0.1:0 --self --nproc-per-node 2", sh: "echo $WORLD_SIZE $LOCAL_WORLD_SIZE", says: "2 2"},
	},
	"--nproc-per-node": {
		{args: "--nproc_per_node=2", sh: "echo $WORLD_SIZE", says: "2"},
		{args: "--nproc-per-node auto", env: "CUDA_VISIBLE_DEVICES=4,GPU-x,6", sh: "echo $WORLD_SIZE", says: "3"},
		{args: "--nproc-per-node auto --gpus 2", env: "CUDA_VISIBLE_DEVICES=4,GPU-x,6,7", sh: "echo $WORLD_SIZE", says: "2"},
		{args: "--nproc-per-node auto", env: "CUDA_VISIBLE_DEVICES=", sh: "[ $WORLD_SIZE = $(env -u OMP_NUM_THREADS nproc) ] && echo yes", says: "yes"},
		{args: "--nproc-per-node cpu", env: "CUDA_VISIBLE_DEVICES=4", sh: "[ $WORLD_SIZE = $(env -u OMP_NUM_THREADS nproc) ] && echo yes", says: "yes"},
		{args: "--nproc-per-node gpu", env: "CUDA_VISIBLE_DEVICES=", code: 2,
			says: "--ranks gpu: there is no GPU (CUDA_VISIBLE_DEVICES, or /dev/nvidia*): give a number, or cpu"},
		{args: "--nproc-per-node xpu", code: 2, says: `--ranks "xpu": give the number of ranks, from 1 to 65536, or auto, cpu or gpu`},
		{env: "PET_NPROC_PER_NODE=2", sh: "echo $WORLD_SIZE $PET_NPROC_PER_NODE", says: "2 2"},
	},
	"--rdzv-backend": {
		{args: "--rdzv_backend c10d", sh: "echo $MASTER_ADDR", says: "127.0.0.1"},
		{args: "--rdzv-backend gossip", code: 2,
			says: `--rdzv-backend "gossip": torchrun knows static, c10d, etcd, etcd-v2: leave it out, it has no effect here`},
	},
	"--rdzv-endpoint": {
		{args: "--rdzv-endpoint localhost:31999", sh: "echo $MASTER_ADDR $MASTER_PORT", says: "localhost 31999"},
		{args: "--rdzv-backend=c10d --rdzv-endpoint other.example:29400", sh: "echo $MASTER_ADDR", says: "127.0.0.1"},
		{args: "--rdzv-endpoint localhost", code: 2, says: `--rdzv-endpoint "localhost": write HOST:PORT, or leave it out: launch finds a free port`},
	},
	"--rdzv-id": {{args: "--rdzv_id job7", sh: "echo $TORCHELASTIC_RUN_ID; [ $MUSTER_RUN_ID != job7 ]", says: "job7"}},
	"--rdzv-conf": {
		{args: "--rdzv-conf join_timeout=1,is_host=1", sh: "echo $RANK", says: "0"},
		{args: "--rdzv-conf timeout", code: 2,
			says: `--rdzv-conf "timeout": write KEY=VALUE,KEY=VALUE, or leave it out: there is no rendezvous on one host`},
	},
	"--standalone": {
		{args: "--standalone --rdzv-id x --rdzv-endpoint other.example:1", sh: "echo $MASTER_ADDR; [ $TORCHELASTIC_RUN_ID != x ]", says: "127.0.0.1"},
		{env: "PET_STANDALONE=1", sh: "echo $RANK", says: "0"},
	},
	"--max-restarts": {{args: "--max_restarts=2", sh: "echo $TORCHELASTIC_MAX_RESTARTS $TORCHELASTIC_RESTART_COUNT; exit $((1-TORCHELASTIC_RESTART_COUNT))",
		says: "2 1"}},
	"--monitor-interval": {
		{args: "--monitor_interval 5", sh: "echo $RANK", says: "0"},
		{args: "--monitor-interval fast", code: 2,
			says: `--monitor-interval "fast": a number of seconds; leave it out: launch hears of a failure at once`},
	},
	"--start-method": {
		{args: "--start-method forkserver", sh: "echo $RANK", says: "0"},
		{args: "--start-method thread", code: 2,
			says: `--start-method "thread": torchrun knows spawn, fork, forkserver: leave it out, it has no effect here`},
	},
	"--event-log-handler": {
		{args: "--event-log-handler null", sh: "echo $RANK", says: "0"},
		{args: "--event-log-handler console", code: 2, says: "--event-log-handler console: that is a plug-in of Python's: use --journal FILE"},
	},
	"--role": {{args: "--role trainer", sh: "echo $ROLE_NAME $ROLE_RANK $ROLE_WORLD_SIZE", says: "trainer 0 1"}},
	"--module": {{args: "-m json.tool --help", says: "usage: .*json.tool"},
		{args: "--module --no-python", code: 2, says: "--module --no-python: a module is Python's: leave one out"}},
	"--no-python": {{args: "--no-python testdata/direct.py", says: "by its first line"}},
	"--run-path": {{args: "--run_path testdata/argv --lr 1", says: `\['testdata/argv', '--lr', '1'\] unbuffered`},
		{args: "--run-path --no-python", code: 2, says: "--no-python --run-path: one runs a program, the other a Python script: leave one out"}},
	"--log-dir":                  nil, // TestRedirectsAndTee, TestLogDirectory
	"--redirects":                {{args: "-r 0:4", code: 2, says: badStreams("redirects", "0:4")}},
	"--tee":                      {{args: "-t 3:1", code: 2, says: `--tee "3:1": the last rank is 0`}},
	"--local-ranks-filter":       {{args: "-n 2 --local_ranks_filter 1", sh: "echo rank $RANK", says: `^\[1\] rank 1\n$`}},
	"--duplicate-stdout-filters": nil, // TestFilters
	"--duplicate-stderr-filters": nil, // TestFilters
	"--log-line-prefix-template": {
		{args: "--role trainer --log-line-prefix-template ${role_name}:${rank}/${local_rank}%", sh: "echo :$RANK", says: "^trainer:0/0%:0\n$"},
		{env: "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE=<${rank}>", sh: "echo x", says: "^<0>x\n$"},
	},
	"--node-rank": {{args: "--node_rank=0", sh: "echo $NODE_RANK", says: "0"}, {args: "--node-rank 1", code: 2,
		says: "--node-rank 1: one launch runs the whole group: on its other hosts run launch agent --join HOST:PORT, and they are numbered as they join"}},
	"--master-addr": {
		{args: "--master_addr localhost", sh: "echo $MASTER_ADDR", says: "localhost"},
		{args: "--master-addr 192.0.2.1", code: 2, says: "--master-addr 192.0.2.1: it is no address of this host, where rank 0 is to listen: " +
			"leave it out, and the ranks meet at 127.0.0.1"},
	},
	"--master-port": {
		{args: "--master_port=31998", sh: "echo $MASTER_PORT", says: "31998"},
		{env: "PET_MASTER_PORT=31997", sh: "echo $MASTER_PORT", says: "31997"},
	}, // and TestMasterPortInUse
	"--local-addr": {{args: "--local-addr localhost", sh: "echo $MASTER_ADDR", says: "localhost"}},
	"--logs-specs": {{args: "--logs-specs default", sh: "echo $RANK", says: "0"}, {args: "--logs-specs mine", code: 2,
		says: "--logs-specs mine: that is a plug-in of Python's: use --log-dir, --redirects, --tee and --output"}},
	"--numa-binding": {{args: "--numa-binding socket", code: 2,
		says: "--numa-binding socket: launch binds with --bind core, numa, or lists of processors"}}, // and TestNumaBinding
	"--signals-to-handle": {{args: "--signals-to-handle SIGTERM,SIGUSR1", sh: "echo $RANK", says: "0"},
		{env: "TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGPIPE", code: 2, says: `TORCHELASTIC_SIGNALS_TO_HANDLE: --signals-to-handle "SIGTERM,SIGPIPE": launch stops its ranks on ` +
			"TERM, INT and HUP, and passes on USR1 and USR2: leave out PIPE"}},
	"--shutdown-timeout": {{args: "--shutdown-timeout -1", code: 2,
		says: `--shutdown-timeout "-1": write seconds, as torchrun has them, or --grace 30s`}}, // and TestShutdownTimeout
	"--virtual-local-rank": {{args: "-n 2 --virtual-local-rank", env: "CUDA_VISIBLE_DEVICES=7,8", sh: "echo $RANK $LOCAL_RANK $CUDA_VISIBLE_DEVICES",
		says: `\[1\] 1 0 8\n`}},
}

func badStreams(flag, text string) string {
	return fmt.Sprintf("--%s %q: write 1 for standard output, 2 for standard error, 3 for both or 0 for none, or that of some ranks, "+
		"such as 0:1,4-7:3", flag, text)
}

var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+)`[^|]*\\| (same|alias|better|no effect|refused) \\|")

// Every row of the page is true, and every flag of torchrun has one.
func TestTorchrunPage(t *testing.T) {
	page := readText(t, "../../docs/torchrun.md")
	table, _, _ := strings.Cut(page, "\n## The variables")
	rows := map[string]bool{}
	for _, m := range tableRow.FindAllStringSubmatch(table, -1) {
		name := m[1]
		cases, known := torchrunRows[name]
		if rows[name] = true; !known {
			t.Errorf("%s: a row without a test", name)
		}
		for i, c := range cases {
			t.Run(fmt.Sprint(name, " ", i), c.try)
		}
	}
	if n := strings.Count(table, "\n| `"); n != len(rows) {
		t.Errorf("%d rows, and %d of them are understood", n, len(rows))
	}
	for name := range torchrunRows {
		if !rows[name] {
			t.Errorf("%s: a test without a row", name)
		}
	}
	for _, name := range ofTorchrun {
		if !rows["--"+name] {
			t.Errorf("%s: a flag of torchrun without a row", name)
		}
	}
}

func (c torchCase) try(t *testing.T) {
	if key, value, set := strings.Cut(c.env, "="); set {
		t.Setenv(key, value)
	}
	args := strings.Fields(c.args)
	if c.sh != "" {
		args = append(args, "--", "sh", "-c", c.sh)
	} else if c.code == 2 {
		args = append(args, "true")
	}
	if c.code != 0 {
		processtest.Check(t)
		code, stdout, stderr := here(t, args...)
		if want := "launch: " + c.says + "\n"; code != c.code || stdout != "" || stderr != want {
			t.Errorf("exit status %d, %q, %q; want %d, %q", code, stdout, stderr, c.code, want)
		}
		return
	}
	cli := start(t, args...)
	cli.wants(0)
	if out := cli.stdout.String(); !regexp.MustCompile(c.says).MatchString(out) {
		t.Errorf("no %q in %q", c.says, out)
	}
}

// Every flag of torchrun is one of ours, by a name that we have, and read from its variable.
func TestTorchrunFlags(t *testing.T) {
	var code int
	flags := command(&code, nil, nil).Flags()
	for _, name := range ofTorchrun {
		flag := flags.Lookup(name)
		if flag == nil || flags.Lookup(strings.ReplaceAll(name, "-", "_")) != flag {
			t.Errorf("no flag %s", name)
			continue
		}
		want := "PET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if got := torchVariables(flag.Name); len(got) == 0 || got[0] != want {
			t.Errorf("%s is read from %q", name, got)
		}
	}
}

// What the page says that a rank finds, a rank finds.
func TestTorchrunEnvironment(t *testing.T) {
	_, page, _ := strings.Cut(readText(t, "../../docs/torchrun.md"), "\n## The variables")
	c := start(t, "-n", "2", "--", "env")
	c.wants(0)
	found := regexp.MustCompile("(?m)^\\| (`[A-Z_]+`.*?) \\|").FindAllStringSubmatch(page, -1)
	if len(found) < 11 {
		t.Fatalf("the table is not understood: %q", found)
	}
	for _, row := range found {
		for _, name := range regexp.MustCompile("[A-Z_]+").FindAllString(row[1], -1) {
			if !regexp.MustCompile(`(?m)^\[1\] ` + name + `=.`).MatchString(c.stdout.String()) {
				t.Errorf("no %s", name)
			}
		}
	}
}

// A flag wins over our variable, and that over torchrun's; the ranks inherit torchrun's alone.
func TestTorchrunVariables(t *testing.T) {
	t.Setenv("PET_ROLE", "theirs")
	t.Setenv("PET_NPROC_PER_NODE", "3")
	t.Setenv("LAUNCH_RANKS", "2")
	c := start(t, "--role", "flag", "--", "sh", "-c", `echo "$ROLE_NAME $WORLD_SIZE $PET_ROLE${LAUNCH_RANKS-}"`)
	c.wants(0)
	c.stdout.await(t, 1, `\[1\] flag 2 theirs\n`)
}

// Who has the port is named (torch.md c, ports). With an agent's store it has to be in use.
func TestMasterPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	us, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	who := fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(us)), os.Getpid())
	t.Run("refused", torchCase{args: "--master-port " + port, code: 2, says: "--master-port " + port + ": " + who + " listens there: end that one, " +
		"choose another port, or leave it out: launch then finds a free one"}.try)
	t.Run("an agent's", torchCase{args: "--master-port " + port + " --env TORCHELASTIC_USE_AGENT_STORE=True",
		sh: "echo $MASTER_PORT", says: port}.try)
}

// A port on which nobody listens is nobody's, whatever its table looks like.
func TestPortHolder(t *testing.T) {
	const table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:733D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1\n" +
		"   1: 0100007F:733D 0100007F:733E 01 00000000:00000000 00:00000000 00000000     0        0 18 1\n" +
		"   2: 0100007F:733E 00000000:0000 0A\n" + "torn\n"
	sockets := map[string]bool{}
	listening(table, 29501, sockets)
	listening(table, 29502, sockets)
	if len(sockets) != 1 || !sockets["socket:[17]"] {
		t.Errorf("%v", sockets)
	}
	for _, port := range []string{"x", "", "70000"} {
		if who := portHolder(port); who != "" {
			t.Errorf("%q: %s", port, who)
		}
	}
}

func TestNumaBinding(t *testing.T) {
	if _, err := bindings("numa", 1); err != nil {
		t.Skip("needs NUMA nodes:", err)
	}
	torchCase{args: "--numa-binding node", sh: "echo $RANK", says: "0"}.try(t)
}

// Seconds, and --grace wins, whoever else says how long.
func TestShutdownTimeout(t *testing.T) {
	processtest.Check(t)
	t.Setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "1.5")
	for _, c := range []struct{ args, grace string }{{"", "1.5s"}, {"--shutdown-timeout 4", "4s"}, {"--grace 7s", "7s"}} {
		code, stdout, _ := here(t, append(strings.Fields(c.args), "--dry-run", "true")...)
		if code != 0 || !strings.Contains(stdout, "\ngrace        "+c.grace+"\n") {
			t.Errorf("%q: %d, %s", c.args, code, stdout)
		}
	}
}

// What of two ranks goes where (E23 to E25, E28): files are what -r or -t name, and the console gets what -r does not take.
func TestRedirectsAndTee(t *testing.T) {
	const out0, err0, out1, err1 = "generation_0/0/stdout.log", "generation_0/0/stderr.log", "generation_0/1/stdout.log", "generation_0/1/stderr.log"
	for _, c := range []struct {
		args  string
		files []string
		shown string // streams on the console, as rank and stream
	}{
		{"", []string{out0, err0, out1, err1}, "o0 e0 o1 e1"},
		{"-r 0", nil, "o0 e0 o1 e1"},
		{"--redirects 1", []string{out0, out1}, "e0 e1"},
		{"-r 2", []string{err0, err1}, "o0 o1"},
		{"-r3", []string{out0, err0, out1, err1}, ""},
		{"--tee=1", []string{out0, out1}, "o0 e0 o1 e1"},
		{"-t 2", []string{err0, err1}, "o0 e0 o1 e1"},
		{"-t 3", []string{out0, err0, out1, err1}, "o0 e0 o1 e1"},
		{"-r 0:2 -t 0:1,1:2", []string{out0, err0, err1}, "o0 o1 e1"}, // E25
		{"-r 0-1:3 -t 1:3", []string{out0, err0, out1, err1}, "o1 e1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{"-n", "2", "--log-dir", dir}, strings.Fields(c.args)...)
			cli := start(t, append(args, "--", "sh", "-c", "echo o$RANK; echo e$RANK >&2")...)
			cli.wants(0)
			files := readTree(t, dir)
			for _, name := range c.files {
				want := map[bool]string{true: "o", false: "e"}[strings.Contains(name, "out")] + filepath.Base(filepath.Dir(name)) + "\n"
				if files[name] != want {
					t.Errorf("%s holds %q", name, files[name])
				}
			}
			if len(files) != len(c.files) {
				t.Errorf("files %q", files)
			}
			for _, line := range []string{"o0", "o1"} {
				if strings.Contains(cli.stdout.String(), "] "+line+"\n") != strings.Contains(c.shown, line) {
					t.Errorf("standard output %q", cli.stdout.String())
				}
			}
			for _, line := range []string{"e0", "e1"} {
				if strings.Contains(cli.stderr.String(), "] "+line+"\n") != strings.Contains(c.shown, line) {
					t.Errorf("standard error %q", cli.stderr.String())
				}
			}
		})
	}
}

// Without --log-dir files are in a new directory, and it is said where.
func TestRedirectsWithoutADirectory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := start(t, "-r", "1", "echo", "x")
	c.wants(0)
	dir := c.stderr.await(t, 1, `launch: logs in (.*/launch_.*)\n`)[0]
	if files := readTree(t, dir); files["generation_0/0/stdout.log"] != "x\n" || c.stdout.String() != "" {
		t.Errorf("%q, %q", files, c.stdout.String())
	}
}

// What torch refuses, and a rank that is not there (E03 to E06, E08).
func TestParseStreams(t *testing.T) {
	for text, want := range map[string]string{
		"": "[0 0 0]", "0": "[0 0 0]", "1": "[1 1 1]", "2": "[2 2 2]", "3": "[3 3 3]", "0:1,1:2": "[1 2 0]", "1-2:3": "[0 3 3]",
	} {
		if got, err := parseStreams("tee", text, 3); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"4", "11", "0:1,", "0:1,1", "1,0:1", "0:", ":1", "0:4", "x:1", "-1", "03", "0:11"} {
		if got, err := parseStreams("tee", text, 3); err == nil || err.Error() != badStreams("tee", text) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := parseStreams("tee", "12:1", 12); err == nil || err.Error() != `--tee "12:1": the last rank is 11` {
		t.Error(err)
	}
}

// Lines of all ranks that hold one of the texts are in one file, each with its prefix, also of a run that is interrupted (E26,
// E28).
func TestFilters(t *testing.T) {
	dir := t.TempDir()
	c := start(t, "-n", "2", "--log-dir", dir, "-r", "3", "--grace", "1h", "--duplicate-stdout-filters", "loss,a,,b",
		"--duplicate_stderr_filters", "warn", "--ready", "line:done", "--", "sh", "-c",
		`echo "loss $RANK"; echo "other a, b"; echo "a,b $RANK"; echo warn >&2; echo error >&2; echo done; exec sleep 1000`)
	run := func() map[string]string {
		files := map[string]string{}
		for _, stream := range []string{"stdout", "stderr"} {
			paths, _ := filepath.Glob(dir + "/*/generation_0/filtered_" + stream + ".log")
			for _, path := range paths {
				files[stream] = readText(t, path)
			}
		}
		return files
	}
	processtest.Eventually(t, "lines of both ranks", func() bool {
		return strings.Count(run()["stdout"], "\n") == 4 && strings.Count(run()["stderr"], "\n") == 2
	})
	c.signal(syscall.SIGINT)
	c.wants(130)
	got := run()
	for _, want := range []string{"[0] loss 0\n", "[1] loss 1\n", "[0] a,b 0\n", "[1] a,b 1\n"} {
		if strings.Count(got["stdout"], want) != 1 {
			t.Errorf("no %q in %q", want, got["stdout"])
		}
	}
	if got["stderr"] != "[0] warn\n[1] warn\n" && got["stderr"] != "[1] warn\n[0] warn\n" {
		t.Errorf("%q", got["stderr"])
	}
}
