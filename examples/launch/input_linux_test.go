package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/process/processtest"
)

// Whatever is wrong with a file of rules is said at once, a line each, with its place, before anything is started.
func TestBadRules(t *testing.T) {
	processtest.Check(t)
	path := file(t, "rules.yaml", "rules:\n- {name: x, do: hope}\n- then: x\n  do: fail\n", 0o644)
	group := file(t, "group.yaml", "command: ls\nrules: "+path+"\n", 0o644)
	for _, args := range [][]string{
		{"--rules", path, "true"}, {"--rules", path, "--explain", "testdata/run.json"}, {"replay", "run.jsonl", "--rules", path}, {"up", group},
	} {
		code, stdout, stderr := here(t, args...)
		lines := strings.Split(stderr, "\n")
		if code != 2 || stdout != "" || len(lines) != 3 ||
			!strings.HasPrefix(lines[0], "launch: "+path+`:2:17: do: there is no action "hope": choose one of fail, `) ||
			!strings.HasPrefix(lines[1], "launch: "+path+`:3:3: a rule has no key "then": did you mean when?`) {
			t.Errorf("%q: exit status %d, %q, stderr:\n%s", args, code, stdout, stderr)
		}
	}
}

// Whatever is wrong with a command line is said in one line, before anything is started.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	plain := file(t, "plain", "no program\n", 0o644)
	badInterpreter := file(t, "script", "#!/does/not/exist\n", 0o755)
	noFile := dir + "/missing/file"
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no command":                 {nil, 2, "no command: say what each rank is to run, as in launch -n 4"},
		"no command after --":        {[]string{"-n", "2", "--"}, 2, "no command"},
		"empty command":              {[]string{""}, 2, "no command: say"},
		"unknown command":            {[]string{"no-such-program"}, 127, `"no-such-program" is not in PATH`},
		"missing program":            {[]string{"./no-such-program"}, 127, "no such file"},
		"missing script":             {[]string{"missing.py"}, 127, "missing.py: file does not exist"},
		"missing script of python":   {[]string{"python3", "-u", "missing.py"}, 127, "missing.py: file does not exist"},
		"script not in --chdir":      {[]string{"--chdir", dir, "testdata/raise.py"}, 127, "testdata/raise.py: file does not exist"},
		"directory as command":       {[]string{dir}, 126, "is a directory"},
		"not executable":             {[]string{plain}, 126, "is not executable (chmod +x "},
		"bad interpreter":            {[]string{badInterpreter}, 127, `"/does/not/exist" of ` + badInterpreter},
		"no ranks":                   {[]string{"-n", "0", "true"}, 2, `--ranks "0": give the number of ranks`},
		"ranks that are no number":   {[]string{"-n", "x", "true"}, 2, `--ranks "x": give the number of ranks`},
		"a fraction of a rank":       {[]string{"--nproc_per_node", "1.5", "true"}, 2, `--ranks "1.5": give`},
		"far too many ranks":         {[]string{"-n", "1000000000", "true"}, 2, "from 1 to 65536, or auto, cpu or gpu"},
		"negative grace":             {[]string{"--grace", "-1s", "true"}, 2, "--grace -1s: a time cannot be negative"},
		"negative timeout":           {[]string{"--timeout", "-1s", "true"}, 2, "--timeout -1s: a time cannot be negative"},
		"negative window":            {[]string{"--within", "-1s", "true"}, 2, "--within -1s: a time cannot be negative"},
		"negative start":             {[]string{"--start-timeout", "-1s", "true"}, 2, "a time cannot be negative"},
		"no time to start":           {[]string{"--start-timeout", "0", "true"}, 2, "give the ranks some time"},
		"grace that is no time":      {[]string{"--grace", "30", "true"}, 2, "--grace"},
		"negative restarts":          {[]string{"--max-restarts", "-2", "true"}, 2, "or -1 for any number"},
		"bad back-off":               {[]string{"--backoff", "soon", "true"}, 2, "write MIN or MIN,MAX, such as 1s,1m"},
		"negative back-off":          {[]string{"--backoff", "-1s", "true"}, 2, "cannot be negative"},
		"back-off that shrinks":      {[]string{"--backoff", "2s,1s", "true"}, 2, "MAX must be a time no shorter than MIN"},
		"unknown strategy":           {[]string{"--strategy", "hope", "true"}, 2, "choose one of all-for-one, one-for-one"},
		"restarts of fail-fast":      {[]string{"--strategy", "fail-fast", "--max-restarts", "3", "true"}, 2, "--max-restarts 3: --strategy fail-fast restarts nothing: leave one of them out"},
		"unknown output":             {[]string{"--output", "loud", "true"}, 2, "choose prefix, raw or none"},
		"unknown flag":               {[]string{"--colour", "true"}, 2, "there is no flag --colour: flags of the command go after it (see launch --help)"},
		"flag without value":         {[]string{"--report"}, 2, "--report: give it a value (see launch --help)"},
		"bad env":                    {[]string{"--env", "A", "true"}, 2, `--env "A": write KEY=VALUE`},
		"env without a name":         {[]string{"--env", "=A", "true"}, 2, `--env "=A": write KEY=VALUE`},
		"bad filter":                 {[]string{"--ranks-filter", "one", "true"}, 2, "write ranks and ranges, such as 0,3-5"},
		"filter backwards":           {[]string{"-n", "9", "--ranks-filter", "5-3", "true"}, 2, "write ranks and ranges"},
		"filter out of range":        {[]string{"-n", "4", "--ranks-filter", "3-4", "true"}, 2, "the last rank is 3"},
		"missing --chdir":            {[]string{"--chdir", dir + "/missing", "true"}, 2, "there is no such directory"},
		"a mute that speaks":         {[]string{"--speaks", "--plain", "true"}, 2, "without a socket nobody speaks"},
		"a file as --chdir":          {[]string{"--chdir", plain, "true"}, 2, "there is no such directory"},
		"missing report directory":   {[]string{"--report", noFile, "true"}, 2, "--report " + noFile + ": cannot write to its"},
		"a directory as report":      {[]string{"--report", dir, "true"}, 2, "it is a directory: name a file"},
		"missing event directory":    {[]string{"--events", noFile, "true"}, 2, "--journal " + noFile + ": cannot be written: no"},
		"a directory as events":      {[]string{"--events", dir, "true"}, 2, "is a directory"},
		"a file as log directory":    {[]string{"--log-dir", plain, "true"}, 2, "not a directory"},
		"rules that are not there":   {[]string{"--rules", noFile, "true"}, 2, "--rules " + noFile + ": cannot be read: no such file"},
		"a directory as rules":       {[]string{"--rules", dir, "true"}, 2, "--rules " + dir + ": cannot be read: is a directory"},
		"rules without an end":       {[]string{"--rules", "/dev/zero", "true"}, 2, "/dev/zero:1:1: the file has 1048576 bytes, and at most 65536 are read"},
		"a report without rules":     {[]string{"--explain", "testdata/run.json"}, 2, "say with --rules which rules"},
		"a command to explain":       {[]string{"--rules", "rules.yaml", "--explain", "testdata/run.json", "true"}, 2, "it starts nothing: leave the command out"},
		"a report that is not there": {[]string{"--rules", "rules.yaml", "--explain", noFile}, 2, "--explain " + noFile + ": cannot be read: no such file"},
		"a report that is none":      {[]string{"--rules", "rules.yaml", "--explain", plain}, 2, "give a file that --report wrote: no report: at byte"},
		"unknown success":            {[]string{"--success", "most", "true"}, 2, `--success "most": write all, any, rank:N, role:NAME, or quorum:N`},
		"success of no rank":         {[]string{"--success", "rank:1", "true"}, 2, "--success rank:1: the last rank is 0"},
		"quorum of too many":         {[]string{"--success", "quorum:2", "true"}, 2, "--success quorum:2: write how many of the ranks have to end well, from 1 to 1"},
		"quorum of nobody":           {[]string{"--success", "quorum:0", "true"}, 2, "--success quorum:0: write how many"},
		"negative lifetime":          {[]string{"--lifetime", "-1s", "true"}, 2, "--lifetime -1s: a time cannot be negative"},
		"silence without beats":      {[]string{"--silence", "1s", "true"}, 2, "--silence 1s: say with --heartbeat"},
		"silence below a beat":       {[]string{"--silence", "1s", "--heartbeat", "1s", "true"}, 2, "--silence 1s: give more than"},
		"too many heartbeats":        {[]string{"--heartbeat", "1us", "true"}, 2, "--heartbeat 1µs: give at least 1ms"},
		"two kinds of budget":        {[]string{"--within", "1s", "--decay", "1s", "true"}, 2, "--decay 1s: it stands in place of --within"},
		"stdin for all":              {[]string{"--stdin", "all", "cat"}, 2, "what one rank reads no other gets"},
		"stdin of a missing rank":    {[]string{"-n", "2", "--stdin", "2", "cat"}, 2, "--stdin 2: the last rank is 1"},
		"stdin of a missing file":    {[]string{"--stdin", noFile, "cat"}, 2, "there is no such file"},
		"stdin of a directory":       {[]string{"--stdin", dir, "cat"}, 2, "there is no such file"},
		"bad binding":                {[]string{"--bind", "socket", "true"}, 2, `--bind "socket": write none, core, numa, or`},
		"too few bindings":           {[]string{"-n", "2", "--bind", "0", "true"}, 2, "it has 1 lists for 2 ranks"},
		"missing processor":          {[]string{"-n", "2", "--bind", "0:4000", "true"}, 2, "rank 1: "},
		"too few cores":              {[]string{"-n", "60000", "--bind", "core", "true"}, 2, "60000 ranks and "},
		"nice that is no number":     {[]string{"--nice", "low", "true"}, 2, "--nice"},
		"nice out of range":          {[]string{"--nice", "20", "true"}, 2, "nice 20: give -20 to 19"},
		"score out of range":         {[]string{"--oom-score-adj", "-1001", "true"}, 2, "oom_score_adj -1001: give -1000 to 1000"},
		"unknown limit":              {[]string{"--limit", "files=3", "true"}, 2, `limit "files": choose one of`},
		"limit without a value":      {[]string{"--limit", "nofile", "true"}, 2, `--limit "nofile": write NAME=SOFT`},
		"limit that is no number":    {[]string{"--limit", "nofile=many", "true"}, 2, `--limit "nofile=many": write`},
		"soft above hard":            {[]string{"--limit", "nofile=3:2", "true"}, 2, "the soft limit must not be above"},
		"unknown readiness":          {[]string{"--ready", "soon", "true"}, 2, `--ready "soon": write tcp:HOST:PORT`},
		"readiness without port":     {[]string{"--ready", "tcp:localhost", "true"}, 2, `TCP "localhost": write host:port`},
		"readiness without host":     {[]string{"--ready", "http://", "true"}, 2, `HTTP "http://": write a URL`},
		"readiness of a bad line":    {[]string{"--ready", "line:(", "true"}, 2, "missing closing )"},
		"readiness of no line":       {[]string{"--ready", "line:", "true"}, 2, `--ready "line:": write`},
		"unknown signal":             {[]string{"--stop-signal", "HALT", "true"}, 2, `--stop-signal "HALT": write a signal's name`},
		"signal out of range":        {[]string{"--dump-signal", "99", "true"}, 2, `--dump-signal "99": write`},
		"deadly stop signal":         {[]string{"--stop-signal", "KILL", "true"}, 2, "no program can answer it"},
		"unknown user":               {[]string{"--user", "no-such-user", "true"}, 2, `there is no user "no-such-user"`},
		"unknown group":              {[]string{"--user", "root:no-such-group", "true"}, 2, `there is no group "no-such-group"`},
		"no user":                    {[]string{"--user", ":root", "true"}, 2, `there is no user ""`},
		"unset of a value":           {[]string{"--unset", "A=b", "true"}, 2, `--unset "A=b": write the name`},
		"GPUs that are no number":    {[]string{"--gpus", "all", "true"}, 2, `--gpus "all": write how many each rank sees`},
		"too few GPUs":               {[]string{"-n", "3", "--gpus", "1/2", "true"}, 2, "3 ranks with 1 each need 3 and there are 2"},
		"a variable for no GPUs":     {[]string{"--gpu-variables", "A", "true"}, 2, "say with --gpus how many"},
		"memory that is no size":     {[]string{"--memory", "lots", "true"}, 2, `--memory "lots": write bytes, or`},
		"no memory":                  {[]string{"--memory", "0", "true"}, 2, `--memory "0": write`},
		"bounds without cgroups":     {[]string{"--without", "cgroup", "--pids", "9", "true"}, 2, "no bounds of pids without cgroups"},
		"negative pids":              {[]string{"--pids", "-1", "true"}, 2, "--pids"},
		"unknown layer":              {[]string{"--without", "cgroups", "true"}, 2, "choose from cgroup, watchdog, deathsig"},
		"unknown verb of a prefix":   {[]string{"--prefix", "%x", "true"}, 2, "%r for the rank"},
		"half a verb of a prefix":    {[]string{"--prefix", "%", "true"}, 2, "%r for the rank"},
		"prefix of two lines":        {[]string{"--prefix", "a\nb", "true"}, 2, "it stands before each line"},
		"unwritable log directory":   {[]string{"--log-dir", "/proc/logs", "true"}, 2, "--log-dir /proc/logs"},
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			code, stdout, stderr := here(t, test.args...)
			if code != test.code {
				t.Errorf("exit status %d, want %d", code, test.code)
			}
			if stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "launch: ") ||
				!strings.Contains(stderr, test.says) || strings.Contains(stderr, "process: ") {
				t.Errorf("stdout %q, stderr %q, want %q", stdout, stderr, test.says)
			}
		})
	}
}

// What is wrong with the program, what it is set up with, and the limits of this machine is told at once.
func TestAllThatIsWrong(t *testing.T) {
	processtest.Check(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 2*maxRanks {
		t.Skipf("needs a limit of open files that %d ranks exceed: %d, %v", maxRanks, limit.Cur, err)
	}
	code, _, stderr := here(t, "-n", fmt.Sprint(limit.Cur/2), "--nice", "99", "no-such-program")
	if code != 127 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"nice 99: give", `"no-such-program" is not in PATH`, "raise ulimit -n"} {
		if strings.Count(stderr, want) != 1 {
			t.Errorf("%q does not tell once: %s", stderr, want)
		}
	}
	if strings.Contains(stderr, "rank ") || strings.Contains(stderr, "bad spec") {
		t.Errorf("%q: that is wrong with all ranks", stderr)
	}
}

// Nothing is left of a run that has not come about: no file, and none of the probes for one.
func TestBadInputLeavesNoFiles(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	code, _, _ := here(t, "--report", dir+"/report", "--events", dir+"/missing/events", "true")
	entries, err := os.ReadDir(dir)
	if code != 2 || err != nil || len(entries) != 0 {
		t.Errorf("exit status %d, %v, %v", code, entries, err)
	}
}

// A dry run starts nothing, makes nothing, and shows what every rank would find.
func TestDryRun(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	code, stdout, stderr := here(t, "-n", "3", "--dry-run", "--env", "COLOUR=red", "--chdir", dir, "--report", dir+"/r",
		"--events", dir+"/e", "--log-dir", dir+"/l", "--max-restarts", "2", "--", "python3", "-c", "print(1)")
	if code != 0 || stderr != "" {
		t.Errorf("exit status %d, %q", code, stderr)
	}
	for _, line := range []string{
		"world size   3", "command      python3 -c print(1)", "directory    " + dir, "grace        30s", "rank 2",
		"    RANK=2", "    WORLD_SIZE=3", "    COLOUR=red", "    TORCHELASTIC_MAX_RESTARTS=2", "worker       Python, with",
	} {
		if !strings.Contains(stdout, "\n"+line) {
			t.Errorf("no line %q in\n%s", line, stdout)
		}
	}
	if !strings.Contains(stdout, "\ncontainment  ") || !strings.Contains(stdout, "\nstrategy     all-for-one, 2 restarts") {
		t.Errorf("%s", stdout)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The long help has every flag, once, under a heading.
func TestHelp(t *testing.T) {
	processtest.Check(t)
	code, stdout, stderr := here(t, "--help-all")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "launch -n 4 -- python3 train.py") {
		t.Errorf("exit status %d, %q, %s", code, stderr, stdout)
	}
	for _, s := range new(flags).sections() {
		s.VisitAll(func(flag *pflag.Flag) {
			if flag.Hidden { // it has no effect but to be taken
				return
			}
			if strings.Count(stdout, " --"+flag.Name+" ")+strings.Count(stdout, " --"+flag.Name+"[=") < 1 {
				t.Errorf("no --%s", flag.Name)
			}
		})
		if !strings.Contains(stdout, "\n"+s.title+":\n") {
			t.Errorf("no %s", s.title)
		}
	}
}
