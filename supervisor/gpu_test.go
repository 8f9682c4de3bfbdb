package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

// TestGPUs: what each rank sees, or why the ranks cannot be started.
func TestGPUs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := deviceDir
	deviceDir = dir
	t.Cleanup(func() { deviceDir = before })
	const unset = "unset"
	for name, test := range map[string]struct {
		gpus  GPUs
		ranks int
		own   string // CUDA_VISIBLE_DEVICES of the supervisor
		last  string // what the last rank sees
		wrong string
	}{
		"off":             {GPUs{}, 9, "3", "", ""},
		"counted":         {GPUs{PerRank: 1}, 2, unset, "CUDA_VISIBLE_DEVICES=1", ""},
		"too few counted": {GPUs{PerRank: 1}, 3, unset, "", "3 ranks with 1 each need 3 and there are 2"},
		"as many as said": {GPUs{PerRank: 2, Total: 8}, 4, unset, "CUDA_VISIBLE_DEVICES=6,7", ""},
		"some are left":   {GPUs{PerRank: 3, Total: 8}, 2, unset, "CUDA_VISIBLE_DEVICES=3,4,5", ""},
		"one too few":     {GPUs{PerRank: 3, Total: 8}, 3, unset, "", "need 9 and there are 8"},
		"our own list":    {GPUs{PerRank: 1}, 2, "5,7", "CUDA_VISIBLE_DEVICES=7", ""},
		"uuids":           {GPUs{PerRank: 2}, 1, " GPU-8932f937, MIG-2/1", "CUDA_VISIBLE_DEVICES=GPU-8932f937,MIG-2/1", ""},
		"none":            {GPUs{PerRank: 1}, 1, "", "", "need 1 and there are 0"},
		"hidden":          {GPUs{PerRank: 1}, 2, "4,-1,5", "", "need 2 and there are 1"},
		"contradiction":   {GPUs{PerRank: 1, Total: 8}, 1, "0,1", "", "lists 2 devices, and Total is 8"},
		"negative":        {GPUs{PerRank: -1}, 1, unset, "", "is not negative"},
		"no name":         {GPUs{PerRank: 1, Variables: []string{"A=B"}}, 1, unset, "", "is no name of a variable"},
		"ROCR and HIP":    {GPUs{PerRank: 1, Variables: []string{rocrVisible, hipVisible}}, 1, unset, "", "set one of the two"},
		"two variables": {GPUs{PerRank: 1, Total: 4, Variables: []string{rocrVisible, cudaVisible}}, 2, unset,
			"ROCR_VISIBLE_DEVICES=1 CUDA_VISIBLE_DEVICES=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(cudaVisible, test.own)
			if test.own == unset {
				os.Unsetenv(cudaVisible)
			}
			err := test.gpus.check(test.ranks)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("%v", err)
				}
				return
			}
			got := strings.Join(test.gpus.environment(test.ranks-1), " ")
			if err != nil || got != test.last {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestGPUsCount: of a list, as many as a rank may see; else as many as are said to be there.
func TestGPUsCount(t *testing.T) {
	t.Setenv(cudaVisible, "4,GPU-x,-1,5")
	if n, err := (GPUs{}).Count(); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := (GPUs{Total: 7}).Count(); err == nil {
		t.Errorf("%d devices, where 2 are listed", n)
	}
	t.Setenv(rocrVisible, "")
	if n, err := (GPUs{Variables: []string{rocrVisible}}).Count(); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestConditions: the command's and the GPUs, which every rank also finds in its environment; too few are a bad spec.
func TestConditions(t *testing.T) {
	t.Setenv(cudaVisible, "5,6")
	s := Spec{Ranks: Repeat(2, process.Command{Args: []string{"true"}, PIDs: 9}), GPUs: GPUs{PerRank: 1}}
	if got := s.Conditions(1); !slices.Equal(got, []string{"pids 9", "CUDA_VISIBLE_DEVICES=6"}) {
		t.Errorf("%q", got)
	}
	if env := s.Environment(0); !slices.Contains(env, "CUDA_VISIBLE_DEVICES=5") {
		t.Errorf("%q", env)
	}
	s.GPUs.PerRank = 2
	if _, err := Start(t.Context(), s); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "GPUs: 2 ranks") {
		t.Errorf("%v", err)
	}
}
